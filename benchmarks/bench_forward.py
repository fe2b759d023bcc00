"""Times the ported GENet-ResNet-50 theta plus against the same network written by hand, and the command line's start.

    python benchmarks/bench_forward.py [--runs N] [--check]

Both networks run alternately in one process, batch 1, 224 pixels; the ratio is that of the median times. With --check
the exit status is 1 where a figure is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")

ROOT = Path(__file__).resolve().parents[1]
LARGEST_RATIO = 1.05
LONGEST_START = 0.3


def hand_and_ported() -> tuple[Any, Any]:
    """The two networks with the same weights."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.genet_by_hand import GENet50
    from ported_ms.genet.model import ge_resnet50_theta_plus

    hand, ported = GENet50(), ge_resnet50_theta_plus()
    theirs, ours = list(hand.get_parameters()), list(ported.get_parameters())
    by_shape: dict[tuple[int, ...], list[Any]] = {}
    for parameter in theirs:
        by_shape.setdefault((*parameter.shape, parameter.name.rpartition(".")[2]), []).append(parameter)
    for parameter in ours:  # the order of registration is the same within each shape and kind
        by_shape[(*parameter.shape, parameter.name.rpartition(".")[2])].pop(0).set_data(parameter.value())
    assert not any(by_shape.values())
    hand.set_train(False)
    ported.set_train(False)
    return hand, ported


def times(networks: tuple[Any, Any], image: Any, runs: int) -> tuple[list[float], list[float]]:
    """Seconds of each forward run, alternately."""
    found: tuple[list[float], list[float]] = ([], [])
    for network in networks:
        network(image).asnumpy()
    for run in range(runs):
        for which in (0, 1) if run % 2 else (1, 0):
            started = time.perf_counter()
            networks[which](image).asnumpy()
            found[which].append(time.perf_counter() - started)
    return found


def bench_forward(runs: int) -> bool:
    """Prints the table of both modes; tells whether every ratio is good."""
    import mindspore
    import numpy as np

    networks = hand_and_ported()
    image = mindspore.Tensor(np.random.RandomState(0).randn(1, 3, 224, 224).astype(np.float32))
    good = True
    print("mode      by hand   ported   ratio  difference")
    for mode in ("PYNATIVE", "GRAPH"):
        mindspore.set_context(mode=getattr(mindspore, f"{mode}_MODE"))
        hand, ported = (network(image).asnumpy() for network in networks)
        difference = float(np.abs(hand - ported).max() / np.abs(hand).max())
        theirs, ours = times(networks, image, runs)
        ratio = statistics.median(ours) / statistics.median(theirs)
        good = good and ratio <= LARGEST_RATIO and difference < 1e-4
        print(
            f"{mode:9} {statistics.median(theirs):6.3f} s {statistics.median(ours):6.3f} s  {ratio:5.3f}  {difference:.1e}"
        )
    return good


def bench_start(runs: int) -> bool:
    """Prints the start time of two commands, the best of some runs; tells whether both are good."""
    good = True
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    for arguments in (["--help"], ["explain", "torch.nn.Conv2d"]):
        command = [sys.executable, "-m", "porter.cli", *arguments]
        best = float("inf")
        for _ in range(runs):
            started = time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                print(f"porter {' '.join(arguments)} failed: {done.stderr.strip().splitlines()[-1]}")
                return False
            best = min(best, time.perf_counter() - started)
        good = good and best <= LONGEST_START
        print(f"porter {' '.join(arguments):26} {best:.3f} s")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    good = [bench_start(min(options.runs, 7)), bench_forward(options.runs)]
    return int(options.check and not all(good))


if __name__ == "__main__":
    sys.exit(main())
