"""Figures of `porter weights`: time against cp and against the frameworks in one run, and peak resident memory."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from porter.weights.entries import DTYPES, Entry  # noqa: E402
from porter.weights.write import Sink, write_safetensors, write_torch  # noqa: E402

PORTER = "import sys; from porter.weights.command import weights; weights(sys.argv[1:])"
TORCH_SAVE = """
import sys, torch
state = {}
for i in range(int(sys.argv[2])):
    state[f"layers.{i}.weight"] = torch.randn(int(sys.argv[3]), int(sys.argv[3]))
    state[f"layers.{i}.bias"] = torch.randn(int(sys.argv[3]))
torch.save(state, sys.argv[1])
"""
FRAMEWORKS = """
import sys, torch, mindspore
state = torch.load(sys.argv[1])
params = [{"name": name, "data": mindspore.Tensor(value.numpy())} for name, value in state.items()]
mindspore.save_checkpoint(params, sys.argv[2])
"""
MIB = 1 << 20


def run(*command: str) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak resident MiB of a process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3"}
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def best(times: int, target: Path, *command: str) -> tuple[float, float, float]:
    """The fastest of several runs, each onto a file that does not exist yet."""
    runs = []
    for _ in range(times):
        target.unlink(missing_ok=True)
        runs.append(run(*command))
    return min(r[0] for r in runs), min(r[1] for r in runs), max(r[2] for r in runs)


def convert(times: int, source: Path, target: Path, *options: str) -> tuple[float, float, float]:
    return best(times, target, sys.executable, "-c", PORTER, str(source), "-o", str(target), *options)


def write(path: Path, entries: Mapping[str, Entry]) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR)
    sink = Sink(descriptor)
    if path.suffix == ".pth":
        write_torch(sink, entries, "archive")
    else:
        write_safetensors(sink, entries, {"format": "pt"})
    sink.finish()
    os.close(descriptor)


def one_gibibyte(folder: Path, times: int) -> list[list[str]]:
    source = folder / "one.pth"
    run(sys.executable, "-c", TORCH_SAVE, str(source), "16", "4096")
    copy = best(times, folder / "copy.pth", "cp", str(source), str(folder / "copy.pth"))
    (folder / "copy.pth").unlink()
    rows = [["cp of 1 GiB", f"{copy[0]:.2f} s", f"{copy[1]:.2f} s", "", ""]]
    for suffix in (".ckpt", ".safetensors"):
        took = convert(times, source, folder / f"one{suffix}", "--no-verify")
        rows.append(figure(f"1 GiB .pth to {suffix}", took, f"{took[0] / copy[0]:.2f} x cp (<= 2.5)"))
        if suffix == ".ckpt":
            ours = took[0]
        (folder / f"one{suffix}").unlink()
    checked = convert(1, source, folder / "one.ckpt")
    rows.append(figure("the same, verified", checked, ""))
    (folder / "one.ckpt").unlink()
    theirs = best(
        1, folder / "ms.ckpt", sys.executable, "-c", FRAMEWORKS, str(source), str(folder / "ms.ckpt")
    )
    rows.append(figure("torch.load + save_checkpoint", theirs, f"{theirs[0] / ours:.1f} x ours (>= 4)"))
    return rows


def figure(name: str, took: tuple[float, float, float], note: str) -> list[str]:
    return [name, f"{took[0]:.2f} s", f"{took[1]:.2f} s", f"{took[2]:.0f} MiB", note]


def shards(folder: Path) -> list[list[str]]:
    bf16 = DTYPES["bfloat16"]
    weight_map = {}
    for shard in range(8):
        part = {f"h.{shard}.{i}.w": Entry(bf16, (4096, 4096), constant=b"\x80\x3f") for i in range(16)}
        write(folder / f"shard-{shard}.safetensors", part)
        weight_map.update(dict.fromkeys(part, f"shard-{shard}.safetensors"))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    took = convert(1, index, folder / "shards.ckpt")
    return [figure("4 GiB sharded bf16, verified", took, "<= 400 MiB")]


def large(folder: Path) -> list[list[str]]:
    write(folder / "large.pth", {"a.w": Entry(DTYPES["float32"], (671_088_640,), constant=b"\0\0\x80?")})
    took = convert(1, folder / "large.pth", folder / "large.ckpt")
    return [figure("one tensor of 2.5 GiB, verified", took, "<= 400 MiB")]


def many(folder: Path) -> list[list[str]]:
    run(sys.executable, "-c", TORCH_SAVE, str(folder / "many.pth"), "20000", "8")
    took = convert(1, folder / "many.pth", folder / "many.ckpt")
    return [figure("40,000 small tensors, verified", took, "<= 5 s")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where to put up to 9 GiB; a temporary folder by default")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", help="one, shards, large or many")
    options = parser.parse_args()
    parts = {
        "one": lambda folder: one_gibibyte(folder, options.times),
        "many": many,
        "large": large,
        "shards": shards,
    }
    for name, part in parts.items():
        if options.only in (None, name):
            folder = Path(tempfile.mkdtemp(prefix="porter-bench-", dir=options.folder))
            try:
                for row in part(folder):
                    print(f"{row[0]:34s} {row[1]:>9s}  {row[2]:>9s} cpu  {row[3]:>9s}  {row[4]}", flush=True)
            finally:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
