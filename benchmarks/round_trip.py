"""Ports real checkpoints to MindSpore and back, and compares every tensor with the first bit for bit.

    python benchmarks/round_trip.py [--out DIR] [--least N]

The networks are those that benchmarks/sweep.py kept in DIR (torchvision's and timm's architectures: state dict, ported
tree), and the three of facenet_pytorch, whose wheel holds trained weights in torch's legacy format; the wheel is
downloaded, not installed. Names come from the ported Cells. BatchNorm's num_batches_tracked has no counterpart in
MindSpore: it comes back as 0, and is counted apart. Exit status 1 where a tensor differs, a conversion fails, or fewer
than N checkpoints were compared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep_mindspore import alone

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from porter.convert import convert_tree  # noqa: E402
from porter.diagnostics import InputError  # noqa: E402
from porter.weights import cells  # noqa: E402
from porter.weights.convert import WeightsError, convert_weights, table_rows  # noqa: E402
from porter.weights.names import same_values  # noqa: E402
from porter.weights.read import open_checkpoint  # noqa: E402

FACENET = "facenet-pytorch==2.6.0"
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Case:
    """A torch checkpoint and the ported Cell that it belongs to."""

    name: str
    checkpoint: Path
    tree: Path
    module: str
    builder: str


def swept(out: Path) -> Iterator[Case]:
    """The networks that a sweep found equal."""
    for package in ("torchvision", "timm"):
        done = out / f"{package}.json"
        results: dict[str, Any] = json.loads(done.read_text()) if done.exists() else {}
        for file in (f for f, result in results.items() if result.get("equal")):
            base = out / "store" / package / f"{file.removesuffix('.py').replace('/', '.')}.x"
            record = json.loads(base.with_suffix(".json").read_text())
            yield Case(file, base.with_suffix(".pth"), out / "ported" / package, record["module"], record["builder"])


def facenet(out: Path) -> Iterator[Case]:
    """The three cascaded networks of a face detector, with their trained weights."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(out), FACENET]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(out.glob("facenet_pytorch-*.whl"))) as wheel:
        source = wheel.read("facenet_pytorch/models/mtcnn.py").decode()
        for name in ("pnet", "rnet", "onet"):
            wheel.extract(f"facenet_pytorch/data/{name}.pt", out)
    # the detector around the networks needs more of the package than they do
    source = source[: source.index("class MTCNN(")].replace("from .utils.detect_face import detect_face, extract_face", "")
    tree = out / "ported"
    tree.mkdir(exist_ok=True)
    for path, text in convert_tree({"mtcnn.py": source}).files.items():
        (tree / path).write_text(text)
    for name in ("PNet", "RNet", "ONet"):
        checkpoint = out / "facenet_pytorch" / "data" / f"{name.lower()}.pt"
        yield Case(f"facenet_pytorch {name}", checkpoint, tree, "mtcnn", f"{name}(pretrained=False)")


def plan_of(case: Case, rows: Any) -> Any:
    sys.path.insert(0, str(case.tree))
    try:
        with alone():
            module = importlib.import_module(case.module)
            network = eval(case.builder, vars(module))
        return cells.plan_of(network, rows, cells.read_fusions(module))
    finally:
        sys.path.remove(str(case.tree))


def differences(first: Path, last: Path) -> tuple[int, list[str], int]:
    """How many tensors are equal bit for bit, which are not, and how many counters of batches were left aside."""
    with open_checkpoint(first) as a, open_checkpoint(last) as b:
        lost = {name for name in a.entries if name.endswith(COUNTER)}
        wrong = sorted((a.entries.keys() ^ b.entries.keys()) - lost)
        for name in (a.entries.keys() & b.entries.keys()) - lost:
            here, there = a.entries[name], b.entries[name]
            if (here.dtype, here.shape) != (there.dtype, there.shape) or not same_values(here, there):
                wrong.append(name)
        return len(a.entries) - len(lost) - len(wrong), wrong, len(lost)


def round_trip(case: Case, folder: Path, rows: Any) -> tuple[bool, str]:
    try:
        plan = plan_of(case, rows)
        there, back = folder / "there.ckpt", folder / "back.pth"
        convert_weights(case.checkpoint, there, plan=plan, rows=rows)
        convert_weights(there, back, plan=plan, rows=rows)
    except (WeightsError, InputError) as error:
        return False, str(error).splitlines()[0][:200]
    equal, wrong, counters = differences(case.checkpoint, back)
    return not wrong, f"{equal} equal, {len(wrong)} differ {wrong[:3] or ''}, {counters} counters of batches left aside"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sweep", help="the folder of a sweep")
    parser.add_argument("--least", type=int, default=33, help="how many checkpoints must be compared")
    options = parser.parse_args()
    rows, good, count = table_rows(), 0, 0
    with tempfile.TemporaryDirectory(prefix="porter-round-trip-") as name:
        folder = Path(name)
        for case in [*facenet(folder), *swept(options.out)]:
            equal, said = round_trip(case, folder, rows)
            count, good = count + 1, good + equal
            print(f"{'equal' if equal else 'FAILS':6s} {case.name:48s} {said}", flush=True)
    print(f"{good} of {count} checkpoints come back bit for bit")
    sys.exit(0 if good == count >= options.least else 1)


if __name__ == "__main__":
    main()
