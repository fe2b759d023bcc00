"""A program's own named tuples keep their names where Python reads them, and are read by place where a graph does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from porter.convert import convert_source
from porter.parity.ported import load_source
from porter.trace import trace

SOURCE = """import collections

import torch

Settings = collections.namedtuple("Settings", ["width", "stride", "scale"])


def rounded(settings):
    return int(settings.width) + 0


class Net(torch.nn.Module):
    def __init__(self, settings=Settings(3, [1], 2.5)):
        super().__init__()
        self.settings = settings
        self.head = torch.nn.Linear(rounded(settings), settings.width)

    def forward(self, x):
        values, _ = torch.sort(x, 1), None
        if self.settings.stride == 1:
            return x
        return self.head(x) * self.settings.scale + torch.max(x, 1).values[:, None] + values.values
"""


def test_names_stay_outside_of_graphs(tmp_path: Path, compare) -> None:
    (tmp_path / "net.py").write_text(SOURCE, "utf-8")
    facts = trace("net:Net()", ("float32[2,3]",), (tmp_path / "net.py",))
    result = convert_source(SOURCE, path="net.py", facts=facts)
    assert not result.diagnostics
    before, after = result.text.split("def construct")
    assert "int(settings.width)" in before and "rounded(settings), settings.width)" in before
    assert "self.settings[1] == 1" in after and "self.settings[2]" in after and ".values" not in after
    original = load_source(tmp_path / "sides", "original_named", SOURCE, "").Net()
    cell = load_source(tmp_path / "sides", "ported_named", result.text, result.extras).Net()
    compare(cell, original, np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32))


STATIC = """import collections
from typing import NamedTuple

import torch
from torch import nn

Block = collections.namedtuple("Block", ["width", "stride", "scale"])
Block.__new__.__defaults__ = (None,) * len(Block._fields)


class Sides(NamedTuple):
    left: torch.Tensor
    factor: float = 0.5


class Layer(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block
        self.head = nn.Linear(block.width, block.width)

    def forward(self, x):
        if self.block.stride == 1 and self.block.scale:
            x = x + self.head(x) * self.block.scale
        return Sides(x)


def decoded(texts):
    return [Block(width=int(t[0]), stride=[int(t[1])], scale=float(t[2])) for t in texts], len(texts)


class Net(nn.Module):
    def __init__(self, blocks, settings):
        super().__init__()
        self.settings = settings
        self.layer = Layer(blocks[0]._replace(stride=1))

    def forward(self, x):
        sides = self.layer(x)
        return sides.left * sides.factor + self.settings.stride

    @classmethod
    def new(cls):
        blocks, _ = decoded(["342"])
        return cls(blocks, Plain())


class Plain:
    stride = 2.0
"""


def test_fields_are_known_without_a_run() -> None:
    result = convert_source(STATIC, path="net.py")
    assert "self.block[1] == 1 and self.block[2]" in result.text and "sides[0] * sides[1]" in result.text
    assert "nn.Dense(block.width, block.width)" in result.text, "outside of the network names stay"
    assert "self.settings.stride" in result.text, "an object of the same attribute is no tuple"


def test_fields_without_a_run_have_equal_values(sides, compare) -> None:
    both = sides(STATIC, "MSP616")  # no gradient passes through Sides in a graph
    compare(both.ported.Net.new(), both.original.Net.new(), np.random.default_rng(4).normal(size=(2, 3)).astype(np.float32))
