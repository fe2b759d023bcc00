"""Times a training step of the ported GENet in GRAPH mode against the same step written by hand.

    python benchmarks/bench_step.py [--runs N] [--batch N] [--size PX] [--loop] [--check]

With --loop the ported one is train_one_epoch as it is emitted, a schedule of the learning rate included, and the one by hand is
the same loop around mindspore.value_and_grad. Otherwise both steps are nn.TrainOneStepCell around GENet-ResNet-50 theta plus with cross entropy and SGD with momentum; the one by hand
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
from collections.abc import Callable, Iterator
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


def both_loops() -> tuple[Any, Any]:
    """The steps of the loop by hand and of the emitted one; each call trains on one batch."""
    import mindspore
    from mindspore import nn

    from benchmarks.bench_forward import hand_and_ported
    from ported_ms.genet import train

    hand, ported = hand_and_ported()
    criterion = nn.CrossEntropyLoss()
    groups = [
        {"params": [p for p in hand.trainable_params() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in hand.trainable_params() if p.ndim == 1], "weight_decay": 0.0},
    ]
    momentum = nn.Momentum(groups, RATE, MOMENTUM)
    hand.set_train()

    def forward(images: Any, labels: Any) -> Any:
        return criterion(hand(images), labels)

    differentiate = mindspore.value_and_grad(forward, None, momentum.parameters)

    def by_hand(images: Any, labels: Any) -> float:
        loss, gradients = differentiate(images, labels)
        momentum(gradients)
        return float(loss.item())

    optimizer = train.create_optimizer(ported, RATE, MOMENTUM, DECAY)
    scheduler = train.create_scheduler(optimizer, 10**9)
    own = train.create_criterion("cross_entropy", 1000, 0.0)

    def emitted(batches: Any) -> float:
        return float(train.train_one_epoch(ported, batches, own, optimizer, scheduler, None, 0))

    return by_hand, emitted


class Alternating:
    """Batches for the emitted loop; before each of them the step by hand runs once, so that the two are timed side by side."""

    def __init__(self, by_hand: Callable[..., float], batch: tuple[Any, Any], steps: int) -> None:
        self.by_hand, self.batch, self.steps = by_hand, batch, steps
        self.losses: list[float] = []
        self.seconds: tuple[list[float], list[float]] = ([], [])

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for _ in range(self.steps):
            started = time.perf_counter()
            self.losses.append(self.by_hand(*self.batch))
            self.seconds[0].append(_elapsed(started))
            started = time.perf_counter()
            yield self.batch
            self.seconds[1].append(_elapsed(started))


def _elapsed(started: float) -> float:
    """Seconds since then, what still runs on the device included: the loss is there before the optimizer is done."""
    import mindspore

    mindspore.runtime.synchronize()
    return time.perf_counter() - started


def as_call(step: Any, images: Any, labels: Any) -> Callable[[], float]:
    return lambda: float(step(images, labels).asnumpy())


def time_calls(images: Any, labels: Any, runs: int) -> tuple[tuple[list[float], list[float]], float]:
    """Seconds of each call of the two steps, and the largest relative difference of their losses."""
    steps = tuple(as_call(step, images, labels) for step in both_steps())
    losses = [[step() for _ in range(3)] for step in steps]
    assert len(set(losses[0])) == 3, "the weights did not move"
    seconds: tuple[list[float], list[float]] = ([], [])
    for run in range(runs):
        for which in (0, 1) if run % 2 else (1, 0):
            started = time.perf_counter()
            steps[which]()
            seconds[which].append(time.perf_counter() - started)
    return seconds, max(abs(a - b) / abs(a) for a, b in zip(*losses))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=224, help="of the images; the networks are built for 224 pixels")
    parser.add_argument("--loop", action="store_true", help="the loop as it is emitted, and the same loop by hand")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()

    import mindspore
    import numpy as np

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    numbers = np.random.RandomState(0)
    images = mindspore.Tensor(numbers.randn(options.batch, 3, options.size, options.size).astype(np.float32))
    labels = mindspore.Tensor(numbers.randint(0, 1000, options.batch).astype(np.int32))
    if options.loop:
        by_hand, emitted = both_loops()
        batches = Alternating(by_hand, (images, labels), options.runs + 2)
        loss = emitted(batches)
        difference = abs(statistics.fmean(batches.losses) - loss) / abs(loss)
        # the first step of each is compiled, and the second still warms up
        seconds = (batches.seconds[0][2:], batches.seconds[1][2:])
        assert len(set(batches.losses)) > 1, "the weights did not move"
    else:
        seconds, difference = time_calls(images, labels, options.runs)
    ratio = statistics.median(ours / theirs for theirs, ours in zip(*seconds))
    print("mode      by hand   ported   ratio  losses differ by")
    print(f"GRAPH    {statistics.median(seconds[0]):6.3f} s {statistics.median(seconds[1]):6.3f} s  {ratio:5.3f}  {difference:.1e}")
    return int(options.check and not (ratio <= LARGEST_RATIO and difference <= 1e-4))


if __name__ == "__main__":
    sys.exit(main())
