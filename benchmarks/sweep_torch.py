"""Worker of sweep.py on torch's side: builds the smallest variant of each architecture file and records what it computes.

Reads file names from stdin, one a line, and answers each with one line of JSON. State, inputs and outputs go to OUT.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

SMALL = re.compile(r"test_|nano|atto|femto|pico|xxs|xx_small|tiny|micro|xs|_s0|_b0|_m0|_t0|x0_25|0_5|small|18|_400|_002|_t\b|11\b")
CANDIDATES = 4
# Files whose networks are parts, or need more than a size: an expression and the shapes of the inputs (a list is one argument).
MAPS = [(2, 8, 12, 16), (2, 8, 6, 8), (2, 8, 3, 4)]
SPECIAL: dict[str, tuple[str, list[Any]]] = {
    "torchvision/models/detection/backbone_utils.py": ("resnet_fpn_backbone(backbone_name='resnet18', weights=None)", [(2, 3, 64, 96)]),
    "torchvision/models/detection/retinanet.py": ("RetinaNetHead(8, 3, 5)", [MAPS]),
    "torchvision/models/detection/fcos.py": ("FCOSHead(32, 3, 5)", [[(2, 32, 12, 16), (2, 32, 6, 8)]]),
    "torchvision/models/detection/ssd.py": ("SSDHead([8, 8, 8], [4, 6, 4], 5)", [MAPS]),
    "torchvision/models/detection/ssdlite.py": ("SSDLiteHead([8, 8, 8], [4, 6, 4], 5, nn.BatchNorm2d)", [MAPS]),
    "torchvision/models/detection/rpn.py": ("RPNHead(8, 3, 2)", [MAPS]),
    "torchvision/models/detection/faster_rcnn.py": ("FastRCNNConvFCHead((8, 7, 7), [8, 8], [32], nn.BatchNorm2d)", [(3, 8, 7, 7)]),
    "torchvision/models/detection/mask_rcnn.py": ("MaskRCNNHeads(8, (16, 12), 1)", [(3, 8, 7, 7)]),
    "torchvision/models/detection/keypoint_rcnn.py": ("KeypointRCNNHeads(8, (16, 12))", [(3, 8, 7, 7)]),
    "torchvision/models/optical_flow/raft.py": ("raft_small()", [(1, 3, 128, 136), (1, 3, 128, 136)]),
    "torchvision/models/vision_transformer.py": ("vit_b_32(image_size=96)", [(2, 3, 96, 96)]),
    "torchvision/models/googlenet.py": ("googlenet(init_weights=False)", [(2, 3, 64, 96)]),
    "torchvision/models/inception.py": ("inception_v3(init_weights=False)", [(2, 3, 96, 107)]),
    "torchvision/models/segmentation/deeplabv3.py": ("deeplabv3_mobilenet_v3_large(weights_backbone=None)", [(2, 3, 64, 96)]),
    "torchvision/models/segmentation/fcn.py": ("fcn_resnet50(weights_backbone=None)", [(2, 3, 64, 96)]),
    "torchvision/models/segmentation/lraspp.py": ("lraspp_mobilenet_v3_large(weights_backbone=None)", [(2, 3, 64, 96)]),
    "torchvision/models/video/mvit.py": ("mvit_v2_s()", [(1, 3, 16, 224, 224)]),
}  # fmt: skip


class Skipped(Exception):
    """The file holds no architecture, or needs a package beside torch."""


@dataclass(frozen=True)
class Variant:
    """An expression in a module that builds a network, and the shapes it is called with."""

    module: str
    builder: str
    shapes: list[Any]


def functions_of(package: str, module: Any) -> dict[str, Any]:
    """The functions of a module that its package registers as builders of networks."""
    if package == "timm":
        names = importlib.import_module("timm.models._registry")._module_to_models.get(module.__name__.split(".")[-1], ())
        return {name: getattr(module, name) for name in sorted(names)}
    models = importlib.import_module("torchvision.models._api").BUILTIN_MODELS.values()
    return {f.__name__: f for f in models if f.__module__ == module.__name__}


def smallest(functions: dict[str, Any]) -> tuple[str, Any]:
    """The network with the fewest parameters among those with names that sound small, built without storage."""
    ranked = sorted(functions, key=lambda name: (-len(SMALL.findall(name)), len(name), name))
    built: list[tuple[int, str, Any]] = []
    problem: Exception = Skipped("nothing is registered here")
    for name in ranked:
        try:
            with torch.device("meta"):
                network = functions[name]()
        except Exception as error:  # some builders read values while they build
            problem = error
            try:
                network = functions[name]()
            except Exception as again:
                problem = again
                continue
        built.append((sum(p.numel() for p in network.parameters()), name, network))
        if len(built) == CANDIDATES:
            break
    if not built:
        raise problem
    _, name, network = min(built, key=lambda entry: entry[:2])
    return name, network


def variants(package: str, file: str) -> Iterator[Variant]:
    """What to try for a file, small images first."""
    name = file.removesuffix(".py").replace("/", ".")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise Skipped(f"needs another package: {error}") from error
    if file in SPECIAL:
        yield Variant(name, *SPECIAL[file])
        return
    functions = functions_of(package, module)
    if not functions:
        raise Skipped("no architecture of its own")
    chosen, network = smallest(functions)
    config = getattr(network, "pretrained_cfg", None) or {}
    native = tuple(config.get("input_size", (3, 224, 224)))[1:]
    if "/video/" in file:
        yield from (Variant(name, f"{chosen}()", [(2, 3, *size)]) for size in ((8, 64, 96), (16, 112, 112)))
        return
    if config.get("fixed_input_size") or "image_size" in inspect.signature(functions[chosen]).parameters:
        for side in (64, 112):
            yield Variant(name, f"{chosen}(img_size={side})", [(2, 3, side, side)])
    else:
        for size in ((64, 96), (96, 96), (128, 128)):
            yield Variant(name, f"{chosen}()", [(2, 3, *size)])
    yield Variant(name, f"{chosen}()", [(1, 3, *native)])


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """The tensors of a result in their order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(tensors_of, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(tensors_of, value))


def sample(shapes: list[Any], generator: np.random.RandomState) -> list[Any]:
    """Normal numbers of the given shapes; a list of shapes is one argument."""
    return [
        sample(shape, generator) if isinstance(shape, list) else torch.from_numpy(generator.randn(*shape).astype("float32"))
        for shape in shapes
    ]  # fmt: skip


def unsettle(network: torch.nn.Module, inputs: list[Any]) -> None:
    """Constant parameters get noise, and batch norms the statistics of the inputs: a fresh network hides mistakes."""
    generator = np.random.RandomState(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point() and parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
                parameter += torch.from_numpy(0.1 * generator.randn(*parameter.shape)).to(parameter.dtype)
        norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
        network.eval()
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        try:
            if norms:
                network(*inputs)
        except ValueError:  # one value a channel: the statistics stay as they are
            pass
        for norm, momentum in zip(norms, momenta):
            norm.eval()
            norm.momentum = momentum
            norm.running_mean.nan_to_num_()
            norm.running_var.nan_to_num_(nan=1.0).clamp_(min=max(1e-6, 0.05 * float(norm.running_var.nanmean())))


@contextmanager
def recorded(root: Path, ran: set[tuple[str, int]]) -> Iterator[None]:
    """Collects file and first line of each function below root that runs inside."""
    prefix = f"{root}/"

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(prefix):
            ran.add((frame.f_code.co_filename.removeprefix(prefix), frame.f_code.co_firstlineno))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def run(variant: Variant, root: Path, target: Path) -> dict[str, Any]:
    """Builds, unsettles and runs a network; writes state, inputs and outputs beside `target`."""
    ran: set[tuple[str, int]] = set()
    torch.manual_seed(0)
    with recorded(root, ran):
        network = eval(variant.builder, vars(sys.modules[variant.module]))
    inputs = sample(variant.shapes, np.random.RandomState(0))
    unsettle(network, inputs)
    with torch.no_grad(), recorded(root, ran):
        outputs = list(tensors_of(network(*inputs)))
        torch.manual_seed(2)
        again = list(tensors_of(network(*inputs)))
    if not outputs or not all(bool(torch.isfinite(o).all()) for o in outputs):
        raise ValueError("no outputs, or not finite")
    if not all(torch.equal(a, b) for a, b in zip(outputs, again)):
        raise Skipped("draws random numbers")
    torch.save(network.state_dict(), target.with_suffix(".pth"))
    arrays = {f"in{i}": value.numpy() for i, value in enumerate(tensors_of(inputs))}
    np.savez(target.with_suffix(".npz"), **arrays, **{f"out{i}": value.numpy() for i, value in enumerate(outputs)})
    return {
        "module": variant.module, "builder": variant.builder, "shapes": variant.shapes, "ran": sorted(ran),
        "parameters": sum(p.numel() for p in network.parameters()), "rounding": rounding(network, inputs, outputs),
    }  # fmt: skip


def rounding(network: torch.nn.Module, inputs: list[Any], outputs: list[torch.Tensor]) -> float:
    """The largest error of torch's own float32, as a part of the largest magnitude; 0 where float64 does not run."""

    def double(value: Any) -> Any:
        return [double(v) for v in value] if isinstance(value, list) else value.double()

    try:
        with torch.no_grad():
            exact = list(tensors_of(network.double()(*double(inputs))))
        return max(
            float((e - o.double()).abs().max() / max(float(e.abs().max()), 1e-3))
            for e, o in zip(exact, outputs) if o.is_floating_point() and o.numel()
        )  # fmt: skip
    except Exception:
        return 0.0


def one(package: str, file: str, root: Path, target: Path) -> dict[str, Any]:
    """The record of a file: the first variant that runs, or why none does."""
    why = "nothing to try"
    try:
        for variant in variants(package, file):
            try:
                return {"file": file, "status": "ready", **run(variant, root, target)}
            except Skipped:
                raise
            except Exception as error:
                why = f"{variant.builder}: {type(error).__name__}: {error}"[:300]
    except Skipped as reason:
        return {"file": file, "status": "skipped", "why": str(reason)[:300]}
    except Exception as error:
        why = f"{type(error).__name__}: {error}"[:300]
    return {"file": file, "status": "not built by torch", "why": why}


def main() -> None:
    package, root, out = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3])
    answers = sys.stdout
    sys.stdout = sys.stderr
    torch.set_num_threads(1)
    sys.path.insert(0, str(root))
    for line in sys.stdin:
        file = line.strip()
        target = out / file.removesuffix(".py").replace("/", ".")
        record = one(package, file, root, target.with_name(target.name + ".x"))
        print(json.dumps(record), file=answers, flush=True)


if __name__ == "__main__":
    main()
