"""The cart pole of gymnasium under its interface, for the recorders of train_scripts.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


class CartPole:
    """A pole on a cart, in steps of 20 ms; Barto, Sutton and Anderson (1983)."""

    def __init__(self) -> None:
        self.spec = SimpleNamespace(reward_threshold=475.0)
        self.numbers = np.random.default_rng(0)
        self.state = np.zeros(4)
        self.steps = 0

    def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.numbers = np.random.default_rng(seed)
        self.state, self.steps = self.numbers.uniform(-0.05, 0.05, 4), 0
        return self.state.astype(np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        place, speed, angle, turn = self.state
        force = 10.0 if action == 1 else -10.0
        push = (force + 0.05 * turn**2 * np.sin(angle)) / 1.1
        spin = (9.8 * np.sin(angle) - np.cos(angle) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(angle) ** 2 / 1.1))
        pull = push - 0.05 * spin * np.cos(angle) / 1.1
        self.state = self.state + 0.02 * np.array([speed, pull, turn, spin])
        self.steps += 1
        fallen = bool(abs(self.state[0]) > 2.4 or abs(self.state[2]) > 12 * np.pi / 180)
        return self.state.astype(np.float32), 1.0, fallen, self.steps >= 500, {}

    def render(self) -> None:
        pass


def make(name: str, **_: Any) -> CartPole:
    if name != "CartPole-v1":
        raise ValueError(f"the stand-in has no environment {name!r}")
    return CartPole()
