"""Ports every architecture file of timm and torchvision and compares what both frameworks compute.

    python benchmarks/sweep.py [--package timm|torchvision] [--only NAME ...] [--failed] [--out DIR]

The wheels are downloaded (pip, without dependencies) and unpacked under OUT/src; nothing of them is installed. One
process builds, with torch, the smallest network of each file (by parameters, among four whose names sound small) at a
small image size, gives constant parameters noise and batch norms statistics, and stores state, inputs and outputs. One
static conversion ports the whole tree. One MindSpore process, in which neither torch nor porter can be imported while
ported code runs, builds each network, loads the weights that porter.weights ports, and compares values: equal means a
difference of at most 1e-4 of the largest magnitude, or ten times torch's own float32 error. A process that crashes or
takes longer than --limit seconds for a network is started anew. What torch computed is kept for the next run.

A difference is silent where no file whose code ran has a diagnostic. Files that need compiled operators are replaced on
both sides (OVERLAYS); those that build nothing are listed as skipped. OUT gets sweep.json and sweep.md. Exit status 1
where fewer than --target of the networks are equal, one differs silently, or a text figure is not what it must be.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import select
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sweep_text import TextFigures, figures_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from porter.convert import PortedTree, convert_tree  # noqa: E402
from porter.diagnostics import Diagnostic  # noqa: E402
from porter.files import read_tree, write_tree  # noqa: E402

PACKAGES = {"torchvision": "torchvision==0.29.1", "timm": "timm==1.0.31"}
PRESETS = "\n\n".join(
    f"class {name}:\n    def __init__(self, **settings):\n        self.settings = settings\n"
    for name in ("ImageClassification", "VideoClassification", "SemanticSegmentation", "ObjectDetection", "OpticalFlow")
)
MODES = "from enum import Enum\n\n\nclass InterpolationMode(Enum):\n    NEAREST = 'nearest'\n    BILINEAR = 'bilinear'\n    BICUBIC = 'bicubic'\n"
OPS = """from .boxes import batched_nms, box_convert, box_iou, clip_boxes_to_image, generalized_box_iou, nms, remove_small_boxes
from .ciou_loss import complete_box_iou_loss
from .diou_loss import distance_box_iou_loss
from .feature_pyramid_network import FeaturePyramidNetwork
from .focal_loss import sigmoid_focal_loss
from .giou_loss import generalized_box_iou_loss
from .misc import Conv2dNormActivation, Conv3dNormActivation, FrozenBatchNorm2d, MLP, Permute, SqueezeExcitation
from .stochastic_depth import stochastic_depth, StochasticDepth


def roi_align(*arguments, **keywords):
    raise NotImplementedError


class MultiScaleRoIAlign:
    pass
"""
NO_OPS = "def _has_ops():\n    return False\n\n\ndef _assert_has_ops():\n    raise RuntimeError('no compiled operators')\n"
FOLDERS = ("segmentation", "video", "optical_flow", "detection", "quantization")
# Written over the sources and over the ported files alike: package files that import everything, and compiled operators.
OVERLAYS: dict[str, dict[str, str]] = {
    "torchvision": {
        "torchvision/__init__.py": "",
        "torchvision/extension.py": NO_OPS,
        "torchvision/ops/__init__.py": OPS,
        "torchvision/transforms/__init__.py": "",
        "torchvision/transforms/_presets.py": f"{MODES}\n\n{PRESETS}",
        **{f"torchvision/models{part}/__init__.py": "" for part in ("", *(f"/{name}" for name in FOLDERS))},
    },
    "timm": {
        "timm/__init__.py": "from .version import __version__\n",
        "timm/data/__init__.py": "from .constants import *\n",
        "timm/models/__init__.py": "from ._registry import *\n",
        "torchvision/__init__.py": "",
        "torchvision/ops/__init__.py": "",
        "torchvision/ops/misc.py": "class FrozenBatchNorm2d:\n    pass\n",
    },
}
SETTINGS = {"ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def unpack(package: str, out: Path) -> Path:
    """The folder of a package's wheel, downloaded once."""
    folder = out / "wheel" / package
    if not folder.is_dir():
        wheels = out / "wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "-d", str(wheels), PACKAGES[package]], check=True)
        with zipfile.ZipFile(next(wheels.glob(f"{package}-*.whl"))) as archive:
            names = [n for n in archive.namelist() if n.startswith(f"{package}/") and n.endswith(".py")]
            archive.extractall(folder, names)
    return folder


def lay_over(folder: Path, package: str) -> None:
    for name, text in OVERLAYS[package].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def architectures(folder: Path, package: str) -> list[str]:
    """The model files of a package; those with a leading underscore hold machinery."""
    files = sorted((folder / package / "models").rglob("*.py"))
    return [f.relative_to(folder).as_posix() for f in files if not f.name.startswith("_") and f.name != "feature_extraction.py"]


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


class Worker:
    """A process that answers lines, started anew when it dies or takes too long."""

    def __init__(self, *command: str, log: Path, limit: float, lives: int) -> None:
        self.command, self.log, self.limit, self.lives = command, log, limit, lives
        self.process: subprocess.Popen[str] | None = None
        self.answered = 0

    def ask(self, line: str) -> dict[str, Any]:
        """The answer to a line, or {"why": ...}."""
        if self.process is None:
            with open(self.log, "a") as log:
                self.process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                    env={**os.environ, **SETTINGS}, cwd=self.log.parent,
                )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], self.limit)
            answer = self.process.stdout.readline() if ready else ""
        except BrokenPipeError:
            ready, answer = [True], ""
        self.answered += 1
        if not answer:
            why = "the process died" if ready else f"more than {self.limit:.0f} s"
            self.close()
            return {"why": why}
        if self.answered % self.lives == 0:  # memory that the framework keeps
            self.close()
        result: dict[str, Any] = json.loads(answer)
        return result

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Runs:
    """Both frameworks' workers for one package: what torch computed is kept in `store`, results in `done`."""

    def __init__(self, package: str, places: tuple[Path, Path, Path, Path], limit: float) -> None:
        source, ported, self.store, self.done = places
        self.store.mkdir(parents=True, exist_ok=True)
        torch = [sys.executable, str(HERE / "sweep_torch.py"), package, str(source), str(self.store)]
        self.torch = Worker(*torch, log=self.store / "torch.log", limit=limit, lives=40)
        mindspore = [sys.executable, "-P", str(HERE / "sweep_mindspore.py"), str(ported), str(self.store)]
        self.mindspore = Worker(*mindspore, log=self.store / "mindspore.log", limit=limit, lives=25)
        self.results: dict[str, dict[str, Any]] = json.loads(self.done.read_text()) if self.done.exists() else {}

    def kept(self, file: str) -> Path:
        return self.store / (file.removesuffix(".py").replace("/", ".") + ".json")

    def record(self, file: str) -> dict[str, Any]:
        """What torch computes for a file."""
        kept = self.kept(file)
        if not kept.exists():
            record = {"file": file, "status": "not built by torch", **self.torch.ask(file)}
            kept.write_text(json.dumps(record))
        result: dict[str, Any] = json.loads(kept.read_text())
        return result

    def compare(self, record: dict[str, Any]) -> dict[str, Any]:
        """How far the ported network gets."""
        answer = self.mindspore.ask(json.dumps(record))
        result = {"file": record["file"], "equal": False, "stage": "process", **answer}
        self.results[record["file"]] = result
        self.done.write_text(json.dumps(self.results, indent=1))
        return result

    def close(self) -> None:
        self.torch.close()
        self.mindspore.close()


# --- what was said about the code that ran -----------------------------------------------------------------------------


def functions_in(text: str) -> list[tuple[int, int]]:
    """First and last line of every function, inner ones last."""
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    spans = [(min([n.lineno, *(d.lineno for d in n.decorator_list)]), n.end_lineno or n.lineno) for n in nodes]
    return sorted(spans)


def said_of(
    record: Mapping[str, Any], diagnostics: Mapping[str, list[Diagnostic]], texts: Mapping[str, str]
) -> tuple[list[Diagnostic], bool]:
    """The diagnostics inside functions that ran, and whether any file of the network has one."""
    ran = {(path, line) for path, line in record["ran"]}
    own = {path for path, _ in ran} | {record["file"]}
    found = []
    for path in sorted(own & diagnostics.keys()):
        spans = functions_in(texts[path])
        for diagnostic in diagnostics[path]:
            around = [s for s in spans if s[0] <= diagnostic.location.line <= s[1]]
            if not around or (path, around[-1][0]) in ran:
                found.append(diagnostic)
    return found, bool(own & diagnostics.keys())


def judge(
    results: dict[str, dict[str, Any]], records: Mapping[str, dict[str, Any]], tree: PortedTree, texts: Mapping[str, str]
) -> None:
    """Adds to each failed result what porter had said, and marks the silent ones."""
    by_file: dict[str, list[Diagnostic]] = {}
    for diagnostic in tree.diagnostics:
        by_file.setdefault(diagnostic.location.path, []).append(diagnostic)
    for file, result in results.items():
        if result["equal"]:
            continue
        said, any_said = said_of(records[file], by_file, texts)
        result["said"] = [str(d).split("\n")[0] for d in said]
        result["silent"] = result["stage"] == "values" and not any_said


# --- the report --------------------------------------------------------------------------------------------------------


def cause_of(result: Mapping[str, Any]) -> str:
    if result["stage"] == "values" and "why" not in result:
        return f"differs by {result['worst']:.1e} (allowed {result['tolerance']:.1e})"
    return f"{result['stage']}: {result.get('why', '')} {result.get('place', '')}"[:420]


def report(package: str, content: Mapping[str, Any], figures: TextFigures) -> Iterator[str]:
    """The page of a package, line by line."""
    results, records = content["results"], content["records"]
    equal = sum(r["equal"] for r in results.values())
    silent = [f for f, r in results.items() if r.get("silent")]
    yield f"## {PACKAGES[package]}\n"
    yield f"{equal} of {len(results)} networks have equal values ({100 * equal / max(len(results), 1):.1f} %); silent: {len(silent)}.\n"
    yield (
        f"{figures.files} files, {figures.lines} lines: {len(figures.unparsable)} outputs do not parse; "
        f"{figures.comments} comments, {len(figures.lost)} lost, {len(figures.removed_with_code)} gone with removed code; "
        f"{figures.without_torch} files without torch, {len(figures.touched)} of them changed; "
        f"{content['diagnostics']} diagnostics; conversion {content['seconds']} s.\n"
    )
    yield from (f"- touched: {path}" for path in figures.touched)
    yield from (f"- lost comment: {place}" for place in figures.lost[:40])
    failed = [r for r in results.values() if not r["equal"]]
    if failed:
        yield "\n| file | network | cause | said by porter of code that ran |\n| --- | --- | --- | --- |"
    for r in failed:
        said = "; ".join(r.get("said", [])[:4])
        row = [r["file"], records[r["file"]]["builder"], ("silent: " if r.get("silent") else "") + cause_of(r), said]
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    others = [r for r in records.values() if r["status"] != "ready"]
    for (status, why), count in Counter((r["status"], r.get("why", "")) for r in others).items():
        names = ", ".join(r["file"] for r in others if (r["status"], r.get("why", "")) == (status, why))
        yield f"\n{status} ({count}): {why}: {names}"


def sweep(package: str, options: argparse.Namespace) -> tuple[dict[str, Any], TextFigures]:
    """Everything for one package."""
    out: Path = options.out
    wheel, source, ported = unpack(package, out), out / "src" / package, out / "ported" / package
    if not source.is_dir():
        shutil.copytree(wheel, source)
        lay_over(source, package)
    texts, _ = read_tree((wheel,))
    say(f"{package}: converting {len(texts)} files")
    started = time.monotonic()
    tree = convert_tree(texts)
    seconds = round(time.monotonic() - started, 1)
    shutil.rmtree(ported, ignore_errors=True)
    write_tree(ported, tree.files, {})
    lay_over(ported, package)
    figures = figures_of(texts, tree.files)
    say(f"{package}: {seconds} s, {len(tree.diagnostics)} diagnostics; text figures {summary(figures)}")
    done = out / f"{package}.json"
    if options.fresh:
        done.unlink(missing_ok=True)
    runs = Runs(package, (source, ported, out / "store" / package, done), options.limit)
    run(runs, architectures(source, package), options)
    records = {f: runs.record(f) for f in architectures(source, package) if runs.kept(f).exists()}
    judge(runs.results, records, tree, texts)
    content = {"results": runs.results, "records": records, "seconds": seconds, "diagnostics": len(tree.diagnostics)}
    return content, figures


def summary(figures: TextFigures) -> str:
    return json.dumps({k: len(v) if isinstance(v, list) else v for k, v in asdict(figures).items()})


def run(runs: Runs, files: list[str], options: argparse.Namespace) -> None:
    """Asks torch, then MindSpore, for each file that the options choose."""
    chosen = [f for f in files if not options.only or any(name in f for name in options.only)]
    if options.failed:
        chosen = [f for f in chosen if not runs.results.get(f, {}).get("equal")]
    for count, file in enumerate(chosen, 1):
        record = runs.record(file)
        if record["status"] != "ready":
            say(f"{count}/{len(chosen)} {file}: {record['status']}: {record.get('why', '')}")
            continue
        result = runs.compare(record)
        state = "equal" if result["equal"] else f"fails at {result['stage']}"
        say(f"{count}/{len(chosen)} {file} {record['builder']} {state} {result.get('worst', '')} {result.get('why', '')[:200]}")
    runs.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--package", choices=sorted(PACKAGES), action="append", help="both without it")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="files whose path has NAME in it")
    parser.add_argument("--failed", action="store_true", help="only what was not equal in the last run")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results (what torch computed is kept)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sweep")
    parser.add_argument("--limit", type=float, default=180, help="seconds for one network in one framework")
    parser.add_argument("--target", type=float, default=85, help="percent of the networks that must be equal")
    options = parser.parse_args()
    options.out = options.out.resolve()
    return options


def main() -> None:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    pages, passed, contents = ["# Sweep over published packages\n"], True, {}
    for package in options.package or list(PACKAGES):
        content, figures = sweep(package, options)
        pages += report(package, content, figures)
        contents[package] = {**content, "text": asdict(figures)}
        results = content["results"].values()
        rate = 100 * sum(r["equal"] for r in results) / max(len(results), 1)
        passed &= rate >= options.target and not any(r.get("silent") for r in results)
        passed &= not (figures.unparsable or figures.lost or figures.touched)
    (options.out / "sweep.json").write_text(json.dumps(contents, indent=1))
    (options.out / "sweep.md").write_text("\n".join(pages) + "\n")
    print("\n".join(pages))
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
