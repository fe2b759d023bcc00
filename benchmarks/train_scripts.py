"""Runs training scripts on both frameworks from the same start and compares their losses.

    python benchmarks/train_scripts.py CASES.json [--only NAME ...] [--out DIR] [--control]

CASES.json is a list of {"name", "root": folder with the script, "script": "main.py", "args": [...], "steps": 20,
"data": folder laid beside and above the script, "convert": [files, if not the whole root], "path": [folders for PYTHONPATH],
"torch_path": [folders for torch's side]}. The script runs unmodified: networks get torch's weights when the first
optimizer is made, random numbers come from one numpy stream on both sides, and every loss that goes backward is recorded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SETTINGS = {"ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}


def prepare(case: dict[str, Any], work: Path) -> str:
    """Copies the script, converts it and lays the data beside both; what porter says of it."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(case["root"], work / "torch", symlinks=True)
    sources = [str(work / "torch" / name) for name in case.get("convert", [])] or [str(work / "torch")]
    command = [sys.executable, "-m", "porter.cli", "convert", *sources, "-o", str(work / "mindspore")]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(HERE.parent)})
    for folder in (work, work / "torch", work / "mindspore"):
        if "data" in case:
            shutil.copytree(case["data"], folder, dirs_exist_ok=True)
    return result.stdout + result.stderr


def record(case: dict[str, Any], work: Path, side: str, limit: float, control: bool = False) -> dict[str, Any]:
    paths = [*(case.get("torch_path", []) if side == "torch" else []), *case.get("path", [])]
    paths.append(str(work / side))
    environment = {**os.environ, **SETTINGS, **case.get("env", {}), "PYTHONPATH": os.pathsep.join(paths)}
    file = work / f"{side}.json"
    if control:
        environment["TRAIN_NUDGE"] = "1"
        file = work / "control" / file.name
        file.parent.mkdir(exist_ok=True)
    command = [sys.executable, str(HERE / f"train_{side}.py"), str(file), str(case.get("steps", 20)), case["script"], *case.get("args", [])]
    began = time.monotonic()
    # what was recorded until the limit counts
    with file.with_suffix(".log").open("w") as log, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=work / side, env=environment, stdout=log, stderr=log, timeout=limit)
    found = json.loads(file.read_text()) if file.exists() else {"losses": [], "notes": [], "error": "died"}
    return {**found, "seconds": round(time.monotonic() - began, 1)}


def compare(reference: list[float], own: list[float]) -> list[float]:
    """Relative differences, loss by loss."""
    return [abs(a - b) / max(abs(a), 1e-6) for a, b in zip(reference, own)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("train_scripts"))
    parser.add_argument("--control", action="store_true", help="also run torch against itself, one rounding step away")
    parser.add_argument("--limit", type=float, default=400)
    options = parser.parse_args()
    for case in json.loads(options.cases.read_text()):
        if options.only and case["name"] not in options.only:
            continue
        work = (options.out / case["name"]).resolve()
        said = prepare(case, work)
        controlled = record(case, work, "torch", options.limit, control=True)["losses"] if options.control else []
        sides = {side: record(case, work, side, options.limit) for side in ("torch", "mindspore")}
        one, other = sides["torch"], sides["mindspore"]
        off = compare(one["losses"], other["losses"])
        (work / "result.json").write_text(json.dumps({"diagnostics": said, "differences": off, **sides}, indent=1))
        worst = f"worst {max(off):.1e}, of 20 {max(off[:20]):.1e}" if off else "no losses"
        own = compare(one["losses"], controlled)
        worst += f" (torch against itself {max(own):.1e}, of 20 {max(own[:20]):.1e})" if own else ""
        ends = " ".join(f"{name} {value:.1e}" for name, value in other.get("parameters", {}).items())
        print(f"{case['name']}: {len(one['losses'])}/{len(other['losses'])} losses, {worst}, parameters: {ends or '-'}, "
              f"{one['seconds']}/{other['seconds']} s", flush=True)  # fmt: skip
        for side, found in sides.items():
            for text in [*found["notes"], *found["error"].strip().splitlines()[-1:]]:
                print(f"    {side}: {text}")


if __name__ == "__main__":
    main()
