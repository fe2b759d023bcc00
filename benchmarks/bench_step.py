"""Times a training step of the ported GENet in GRAPH mode against the same step written by hand.

    python benchmarks/bench_step.py [--runs N] [--batch N] [--size PX] [--check]

Both steps are nn.TrainOneStepCell around GENet-ResNet-50 theta plus with cross entropy and SGD with momentum; the one by hand
has the network of genet_by_hand.py, nn.CrossEntropyLoss and nn.Momentum, the ported one what porter makes of
reference_torch/genet/train.py. They run alternately in one process; the ratio is the median of the ratios of neighbours.
With --check the exit status is 1 where the ratio is above 1.05 or the losses differ.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LARGEST_RATIO = 1.05
RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-4


def both_steps() -> tuple[Any, Any]:
    """The step by hand and the ported one, from the same weights."""
    from mindspore import nn

    from benchmarks.bench_forward import hand_and_ported
    from ported_ms.genet import train

    hand, ported = hand_and_ported()
    groups = [
        {"params": [p for p in hand.trainable_params() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in hand.trainable_params() if p.ndim == 1], "weight_decay": 0.0},
    ]
    own = nn.TrainOneStepCell(nn.WithLossCell(hand, nn.CrossEntropyLoss()), nn.Momentum(groups, RATE, MOMENTUM))
    criterion = train.create_criterion("cross_entropy", 1000, 0.0)
    optimizer = train.create_optimizer(ported, RATE, MOMENTUM, DECAY)
    other = nn.TrainOneStepCell(nn.WithLossCell(ported, criterion), optimizer)
    return own.set_train(), other.set_train()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=224, help="of the images; the networks are built for 224 pixels")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()

    import mindspore
    import numpy as np

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    numbers = np.random.RandomState(0)
    images = mindspore.Tensor(numbers.randn(options.batch, 3, options.size, options.size).astype(np.float32))
    labels = mindspore.Tensor(numbers.randint(0, 1000, options.batch).astype(np.int32))
    steps = both_steps()
    losses = [[float(step(images, labels).asnumpy()) for _ in range(3)] for step in steps]
    assert len(set(losses[0])) == 3, "the weights did not move"
    difference = max(abs(a - b) / abs(a) for a, b in zip(*losses))
    seconds: tuple[list[float], list[float]] = ([], [])
    for run in range(options.runs):
        for which in (0, 1) if run % 2 else (1, 0):
            started = time.perf_counter()
            steps[which](images, labels).asnumpy()
            seconds[which].append(time.perf_counter() - started)
    ratio = statistics.median(ours / theirs for theirs, ours in zip(*seconds))
    print("mode      by hand   ported   ratio  losses differ by")
    print(f"GRAPH    {statistics.median(seconds[0]):6.3f} s {statistics.median(seconds[1]):6.3f} s  {ratio:5.3f}  {difference:.1e}")
    return int(options.check and not (ratio <= LARGEST_RATIO and difference <= 1e-4))


if __name__ == "__main__":
    sys.exit(main())
