"""Times `porter convert` on a tree of Python files against LibCST, which only parses and prints them, in one run.

    python benchmarks/bench_convert.py FOLDER [--repeat 3] [--check]

FOLDER is the tree of a large package, such as the unpacked wheel of timm. Both sides are whole processes on the same cores;
the least of the runs counts. --check fails where the ratio is above the goal.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 2.0
LIBCST = """
import sys
from pathlib import Path
import libcst
for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    libcst.parse_module(path.read_text("utf-8")).code
"""


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode > 1:
        raise SystemExit(f"{' '.join(command[:4])} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.py"))
    if not files:
        parser.error(f"no Python files under {options.folder}")
    lines = sum(path.read_text("utf-8").count("\n") for path in files)
    print(f"{len(files)} files, {lines:,} lines")
    plain, ported = [], []
    for _ in range(options.repeat):
        plain.append(seconds([sys.executable, "-c", LIBCST, str(options.folder)]))
        with tempfile.TemporaryDirectory() as folder:
            ported.append(seconds([sys.executable, "-m", "porter.cli", "convert", str(options.folder), "-o", f"{folder}/out"]))
        print(f"LibCST {plain[-1]:.1f} s, porter convert {ported[-1]:.1f} s")
    ratio = min(ported) / min(plain)
    print(f"porter convert / LibCST parse and print: {ratio:.2f} (goal: {GOAL})")
    return 1 if options.check and ratio > GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
