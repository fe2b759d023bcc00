"""Recorder of train_scripts.py on MindSpore's side: python train_mindspore.py RECORD STEPS SCRIPT ARGUMENT..."""

from __future__ import annotations

import copy
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops
from train_streams import Record, Streams, run_script

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

CELLS: list[nn.Cell] = []
KEPT: dict[str, nn.Cell] = {}


def outermost(optimizers: tuple[type, ...]) -> dict[str, nn.Cell]:
    """Networks that hold parameters and are part of no other, by the order in which they were made."""
    cells = [c for c in CELLS if not isinstance(c, optimizers) and "_params" in c.__dict__]
    inner = {id(child) for cell in cells for _, child in cell.cells_and_names() if child is not cell}
    found = [cell for cell in cells if id(cell) not in inner and any(True for _ in cell.get_parameters())]
    return {f"network-{number}": cell for number, cell in enumerate(found)}


def ported(cell: nn.Cell, source: Path) -> dict[str, Any]:
    """A torch state under the names of a Cell."""
    from porter.weights import cells
    from porter.weights.convert import convert_weights, table_rows

    target = source.with_suffix(".ckpt")
    convert_weights(source, target, plan=cells.plan_of(cell, table_rows()), verify=False)
    return dict(mindspore.load_checkpoint(str(target)))


class Start:
    """Gives every network torch's state before the first optimizer is made, and later ones when they are first used."""

    def __init__(self, folder: Path, streams: Streams, record: Record, optimizers: tuple[type, ...]) -> None:
        self.folder, self.streams, self.record, self.optimizers = folder, streams, record, optimizers
        self.loaded: set[int] = set()

    def load(self) -> None:
        new = {name: c for name, c in outermost(self.optimizers).items() if id(c) not in self.loaded}
        for name, cell in new.items():
            self.loaded.add(id(cell))
            source = self.folder / f"{name}.start.pth"
            if not source.exists():
                self.record.notes.append(f"{name} has no counterpart in torch")
                continue
            _, left = mindspore.load_param_into_net(cell, ported(cell, source))
            self.record.notes += [f"{name}: not loaded: {left}"] if left else []
            KEPT[name] = cell
        if new:
            self.streams.restart()


def watch_networks(start: Start) -> None:
    make, call = nn.Cell.__init__, nn.Cell.__call__

    def made(self: nn.Cell, *args: Any, **kwargs: Any) -> None:
        CELLS.append(self)
        make(self, *args, **kwargs)

    depth = [0]

    def called(self: nn.Cell, *args: Any, **kwargs: Any) -> Any:
        if depth[0] == 0 and not isinstance(self, start.optimizers) and any(True for _ in self.get_parameters()):
            start.load()
        depth[0] += 1
        try:
            return call(self, *args, **kwargs)
        finally:
            depth[0] -= 1

    copying = copy.deepcopy

    def copied(x: Any, memo: Any = None, *more: Any) -> Any:
        result = copying(x, memo, *more)
        if memo is None and isinstance(x, nn.Cell) and id(x) not in start.loaded and all(result is not c for c in CELLS):
            CELLS.append(result)
        return result

    copy.deepcopy = copied
    nn.Cell.__init__, nn.Cell.__call__ = made, called
    for optimizer in start.optimizers:
        optimizer.__init__ = loading_first(optimizer.__init__, start)  # type: ignore[misc]


def loading_first(make: Callable[..., None], start: Start) -> Callable[..., None]:
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        start.load()
        make(self, *args, **kwargs)

    return made


def watch_losses(record: Record) -> None:
    transform = mindspore.value_and_grad

    def recorded(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        inner = transform(*args, **kwargs)

        def run(*inputs: Any, **named: Any) -> Any:
            if len(record.losses) >= record.steps:
                inner(*inputs, **named)  # torch has run forward once more when it stops, and its statistics have moved
            record.before_loss()
            results = inner(*inputs, **named)
            loss = results[0][0] if isinstance(results[0], tuple) else results[0]
            record.losses.append(float(loss.astype(mindspore.float32).sum().asnumpy()))
            return results

        return run

    mindspore.value_and_grad = recorded


def keep_numpy_numbers() -> None:
    """MindSpore's initializers draw their seeds from numpy's generator, which then goes on to other numbers than beside torch."""
    own = types.ModuleType("numpy")
    own.__dict__.update(np.__dict__)
    own.__dict__["random"] = np.random.RandomState(0)
    mindspore.common.initializer.np = own


def fix_random_numbers(streams: Streams, extras: Any) -> None:
    """Everything that draws after the start does it from the shared streams."""

    def shaped(draw: Callable[..., Any]) -> Callable[..., Tensor]:
        def drawn(*size: Any, dtype: Any = None, **_: Any) -> Tensor:
            size = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
            return Tensor(draw(size), dtype or mindspore.float32)

        return drawn

    def dropout(input: Tensor, p: float = 0.5, training: bool = True, **_: Any) -> Tensor:
        return input * Tensor(streams.kept(input.shape, p), input.dtype) if training and p > 0 else input

    def dropout2d(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
        shape = (*input.shape[:2], *(1 for _ in input.shape[2:]))
        return input * Tensor(streams.kept(shape, p), input.dtype) if training and p > 0 else input

    def multinomial(input: Tensor, num_samples: int, replacement: bool = True, **_: Any) -> Tensor:
        return Tensor(streams.chosen(input.asnumpy(), num_samples, replacement), mindspore.int32)

    ops.randn, ops.rand = shaped(streams.normal), shaped(streams.uniform)
    ops.randn_like = lambda input, dtype=None, **_: Tensor(streams.normal(input.shape), dtype or input.dtype)
    ops.rand_like = lambda input, dtype=None, **_: Tensor(streams.uniform(input.shape), dtype or input.dtype)
    ops.dropout, ops.dropout2d, ops.dropout3d, ops.multinomial = dropout, dropout2d, dropout2d, multinomial
    nn.Dropout.construct = lambda self, x: dropout(x, self.p, self.training)
    nn.Dropout2d.construct = nn.Dropout3d.construct = lambda self, x: dropout2d(x, 1 - self.keep_prob, self.training)
    mindspore.set_seed = lambda seed: None
    if hasattr(extras, "random_numbers"):
        extras.random_numbers = lambda generator=None: SampleNumbers(streams)
    if hasattr(extras, "permutation"):
        extras.permutation = lambda count, generator=None: streams.permutation(count).tolist()
    if extras is not None:
        fix_image_transforms(streams, extras)
    if hasattr(extras, "randperm"):
        extras.randperm = lambda n, dtype=None, **_: Tensor(streams.permutation(n), dtype or mindspore.int64)


class SampleNumbers:
    """The random numbers of samplers with replacement, from the shared streams."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    def randint(self, low: int, high: int, count: int) -> Any:
        drawn = np.floor(self.streams.uniform((count,)) * np.float32(high - low)) + low
        return np.minimum(drawn, high - 1).astype(np.int64)

    def permutation(self, count: int) -> Any:
        return self.streams.permutation(count)

    def choice(self, count: int, size: int, replace: bool, shares: Any) -> Any:
        return self.streams.chosen(np.asarray(shares), size, replace)

    def random_sample(self, size: tuple[int, ...]) -> Any:
        return self.streams.uniform(size)

    def standard_normal(self, size: tuple[int, ...]) -> Any:
        return self.streams.normal(size)


def fix_image_transforms(streams: Streams, extras: Any) -> None:
    """Random crops and flips draw their numbers as torchvision does, one at a time."""
    integer = getattr(np.random.randint, "before", np.random.randint)
    emitted = {extras.__name__, *getattr(np.random.randint, "emitted", ())}

    def randint(*args: Any, **kwargs: Any) -> Any:
        ours = len(args) == 1 and not kwargs and sys._getframe(1).f_globals.get("__name__") in emitted
        return int(streams.uniform((1,))[0] * np.float32(args[0])) if ours else integer(*args, **kwargs)

    randint.before, randint.emitted = integer, emitted  # type: ignore[attr-defined]
    np.random.randint = randint  # type: ignore[assignment]
    if hasattr(extras, "uniform"):
        extras.uniform = lambda low, high: float((streams.uniform((1,)) * (high - low) + low)[0])  # in float32, as beside torch
    if hasattr(extras, "happens"):
        extras.happens = lambda p: streams.uniform((1,))[0] < p


def load_in_process(extras: Any) -> None:
    """Samples are made in the order in which the script asks for them."""
    if not hasattr(extras, "DataLoader"):
        return
    make = extras.DataLoader.__init__

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.num_workers = 0

    extras.DataLoader.__init__ = made


def emitted_modules(script: str) -> list[Any]:
    """The emitted module beside the script and those of packages, each of which has its own."""
    sys.path.insert(0, str(Path(script).resolve().parent))
    found = []
    for file in sorted(Path.cwd().rglob("ms_extras.py")):
        beside = file.parent == Path(script).resolve().parent
        name = "ms_extras" if beside else ".".join(file.relative_to(Path.cwd()).with_suffix("").parts)
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        found += [module] if not beside else []
        found = [module, *found] if beside else found
    return found


def main(path: str, steps: str, script: str, *arguments: str) -> None:
    modules = emitted_modules(script)
    optimizers = (nn.Optimizer, mindspore.experimental.optim.Optimizer)
    optimizers = (*optimizers, *(m.Optimizer for m in modules if hasattr(m, "Optimizer")))
    streams, record = Streams(), Record(Path(path), int(steps))
    keep_numpy_numbers()
    watch_networks(Start(Path(path).parent, streams, record, optimizers))
    watch_losses(record)
    for extras in modules or [None]:
        fix_random_numbers(streams, extras)
        load_in_process(extras)

    def finish() -> None:
        for name, cell in KEPT.items():
            source = Path(path).parent / f"{name}.end.pth"
            if source.exists():
                record.parameters[name] = furthest(cell, ported(cell, source))

    run_script(script, list(arguments), record, finish)


def furthest(cell: nn.Cell, reference: dict[str, Any]) -> float:
    """The largest difference of a parameter, as a part of that parameter's largest value."""
    worst = 0.0
    for name, parameter in cell.parameters_dict().items():
        own, other = parameter.asnumpy(), reference[name].asnumpy()
        worst = max(worst, float(np.abs(own - other).max() / max(float(np.abs(other).max()), 1e-6)))
    return worst


if __name__ == "__main__":
    main(*sys.argv[1:])
