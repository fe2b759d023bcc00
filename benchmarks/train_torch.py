"""Recorder of train_scripts.py on torch's side: python train_torch.py RECORD STEPS SCRIPT ARGUMENT..."""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from train_streams import Record, Streams, run_script

NETWORKS: list[torch.nn.Module] = []
KEPT: dict[str, torch.nn.Module] = {}


def outermost() -> dict[str, torch.nn.Module]:
    """Networks that hold parameters and are part of no other, by the order in which they were made."""
    inner = {id(child) for network in NETWORKS for child in network.modules() if child is not network}
    found = [network for network in NETWORKS if id(network) not in inner and any(True for _ in network.parameters())]
    return {f"network-{number}": network for number, network in enumerate(found)}


class Start:
    """Writes the state of every network before the first optimizer is made, and of later ones when they are first used."""

    def __init__(self, folder: Path, streams: Streams) -> None:
        self.folder, self.streams = folder, streams
        self.saved: set[int] = set()

    def save(self) -> None:
        new = {name: n for name, n in outermost().items() if id(n) not in self.saved}
        for name, network in new.items():
            torch.save(network.state_dict(), self.folder / f"{name}.start.pth")
            self.saved.add(id(network))
            nudge(network)
            KEPT[name] = network
        if new:
            self.streams.restart()


def nudge(network: torch.nn.Module) -> None:
    """In the control run weights start one rounding step away: how far losses part then is the script's own doing."""
    if os.environ.get("TRAIN_NUDGE"):
        numbers = np.random.default_rng(0)
        with torch.no_grad():
            for parameter in network.parameters():
                signs = numbers.integers(0, 2, tuple(parameter.shape)) * 2 - 1
                parameter.mul_(torch.from_numpy(np.asarray(1 + signs * 2.0**-23)).to(parameter.dtype))


def watch_networks(start: Start) -> None:
    make, call, optimizer = torch.nn.Module.__init__, torch.nn.Module.__call__, torch.optim.Optimizer.__init__

    def made(self: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        NETWORKS.append(self)
        make(self, *args, **kwargs)

    depth = [0]

    def called(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if depth[0] == 0 and any(True for _ in self.parameters()):
            start.save()
        depth[0] += 1
        try:
            return call(self, *args, **kwargs)
        finally:
            depth[0] -= 1

    def optimized(self: Any, *args: Any, **kwargs: Any) -> None:
        start.save()
        optimizer(self, *args, **kwargs)

    copying = copy.deepcopy

    def copied(x: Any, memo: Any = None, *more: Any) -> Any:
        """A copy is made without __init__; one of a network that has its weights already has them too."""
        result = copying(x, memo, *more)
        if memo is None and isinstance(x, torch.nn.Module) and id(x) not in start.saved:
            NETWORKS.append(result)
        return result

    copy.deepcopy = copied
    torch.nn.Module.__init__ = made  # type: ignore[method-assign]
    torch.nn.Module.__call__ = called  # type: ignore[method-assign]
    torch.optim.Optimizer.__init__ = optimized  # type: ignore[method-assign]


def watch_losses(record: Record) -> None:
    backward = torch.Tensor.backward

    def recorded(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        record.before_loss()
        record.losses.append(float(self.detach().double().sum()))
        backward(self, *args, **kwargs)

    torch.Tensor.backward = recorded  # type: ignore[method-assign]


def sizes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    given = args or kwargs.get("size", ())
    return tuple(given[0]) if len(given) == 1 and not isinstance(given[0], int) else tuple(given)


def placed(array: Any, kwargs: dict[str, Any], like: torch.Tensor | None = None) -> torch.Tensor:
    dtype = kwargs.get("dtype") or (like.dtype if like is not None else torch.get_default_dtype())
    return torch.from_numpy(np.asarray(array)).to(dtype).requires_grad_(kwargs.get("requires_grad", False))


def fix_random_numbers(streams: Streams) -> None:
    """Everything that draws after the start does it from the shared streams."""

    def randint(*args: Any, **kwargs: Any) -> torch.Tensor:
        args = (*args, *(kwargs[k] for k in ("low", "high", "size") if k in kwargs))
        low, high, size = args if len(args) == 3 else (0, *args)
        drawn = np.floor(streams.uniform(size) * np.float32(high - low)) + low
        return placed(np.minimum(drawn, high - 1), {"dtype": torch.int64, **kwargs})

    def normal(mean: Any, std: Any = 1.0, size: Any = None, **kwargs: Any) -> torch.Tensor:
        shape = size if size is not None else (mean * std + torch.zeros(())).shape
        return placed(streams.normal(shape), kwargs) * std + mean

    def in_place(draw: Callable[..., Any]) -> Callable[..., torch.Tensor]:
        def changed(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            kwargs.pop("generator", None)
            with torch.no_grad():
                return self.copy_(torch.from_numpy(np.asarray(draw(self, *args, **kwargs))))

        return changed

    def bernoulli(self: torch.Tensor, p: Any = None, **_: Any) -> torch.Tensor:
        return (torch.from_numpy(streams.uniform(self.shape)) < (self if p is None else p)).to(self.dtype)

    def multinomial(weights: torch.Tensor, num_samples: int, replacement: bool = False, **_: Any) -> torch.Tensor:
        return torch.from_numpy(streams.chosen(weights.detach().numpy(), num_samples, replacement))

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return input * torch.from_numpy(streams.kept(input.shape, p)).to(input.dtype) if training and p > 0 else input

    def feature_dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        shape = (*input.shape[:2], *(1 for _ in input.shape[2:]))
        return input * torch.from_numpy(streams.kept(shape, p)).to(input.dtype) if training and p > 0 else input

    attention = F.scaled_dot_product_attention

    def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
                                     is_causal: bool = False, scale: float | None = None, **more: Any) -> torch.Tensor:  # fmt: skip
        if dropout_p == 0:
            return attention(query, key, value, attn_mask, 0.0, is_causal, scale=scale, **more)
        scores = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
        return dropout(scores.softmax(-1), dropout_p) @ value

    functions: dict[str, Callable[..., Any]] = {
        "randn": lambda *a, **k: placed(streams.normal(sizes(a, k)), k),
        "rand": lambda *a, **k: placed(streams.uniform(sizes(a, k)), k),
        "randn_like": lambda x, **k: placed(streams.normal(x.shape), k, x),
        "rand_like": lambda x, **k: placed(streams.uniform(x.shape), k, x),
        "randint": randint, "normal": normal, "bernoulli": bernoulli, "multinomial": multinomial,
        "randperm": lambda n, **k: placed(streams.permutation(n), {"dtype": torch.int64, **k}),
    }  # fmt: skip
    for name, function in functions.items():
        setattr(torch, name, functools.wraps(getattr(torch, name))(function))
    torch.utils.data.dataset.randperm = torch.randperm  # type: ignore[attr-defined]  # random_split has it by its name
    torch.Tensor.normal_ = in_place(lambda x, mean=0.0, std=1.0: streams.normal(x.shape) * std + mean)  # type: ignore[method-assign]
    torch.Tensor.uniform_ = in_place(lambda x, a=0.0, b=1.0: streams.uniform(x.shape) * (b - a) + a)  # type: ignore[method-assign]
    torch.Tensor.bernoulli = bernoulli  # type: ignore[method-assign]
    torch.Tensor.multinomial = multinomial  # type: ignore[method-assign]
    F.dropout, F.dropout2d, F.dropout3d = dropout, feature_dropout, feature_dropout
    F.scaled_dot_product_attention = scaled_dot_product_attention


def fix_recurrent_dropout(streams: Streams) -> None:
    """Recurrent networks run layer by layer, with a mask of the shared streams between two layers, time before batch."""

    def layered(whole: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: torch.Tensor, hx: Any, weights: list[torch.Tensor], bias: Any, layers: Any, p: float, training: Any,
                bidirectional: Any, *batch_first: bool) -> tuple[torch.Tensor, ...]:  # fmt: skip
            # packed sequences have other arguments
            if not batch_first or not training or p == 0:
                return whole(x, hx, weights, bias, layers, p, training, bidirectional, *batch_first)  # type: ignore[no-any-return]
            x = x.transpose(0, 1) if batch_first[0] else x
            each, directions = len(weights) // layers, 2 if bidirectional else 1
            ends = []
            for layer in range(layers):
                if layer:
                    x = x * torch.from_numpy(streams.kept(x.shape, p)).to(x.dtype)
                rows = slice(layer * directions, (layer + 1) * directions)
                own = [h[rows] for h in hx] if isinstance(hx, tuple) else hx[rows]
                x, *end = whole(x, own, weights[layer * each : (layer + 1) * each], bias, 1, 0.0, True, bidirectional, False)
                ends.append(end)
            return x.transpose(0, 1) if batch_first[0] else x, *(torch.cat(parts) for parts in zip(*ends))

        return run

    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        setattr(torch._VF, name, layered(getattr(torch._VF, name)))


def load_in_process() -> None:
    """Samples are made in the order in which the script asks for them."""
    make = torch.utils.data.DataLoader.__init__

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        args = (*args[:5], 0, *args[6:]) if len(args) > 5 else args
        dropped = ("num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "multiprocessing_context")
        make(self, *args, **{k: v for k, v in kwargs.items() if k not in dropped})

    torch.utils.data.DataLoader.__init__ = made  # type: ignore[method-assign]


def main(path: str, steps: str, script: str, *arguments: str) -> None:
    torch.set_num_threads(1)
    streams, record = Streams(), Record(Path(path), int(steps))
    watch_networks(Start(Path(path).parent, streams))
    watch_losses(record)
    fix_random_numbers(streams)
    fix_recurrent_dropout(streams)
    load_in_process()

    def finish() -> None:
        for name, network in KEPT.items():
            torch.save(network.state_dict(), Path(path).parent / f"{name}.end.pth")

    run_script(script, list(arguments), record, finish)


if __name__ == "__main__":
    main(*sys.argv[1:])
