"""Flags of torch's that are given something else than a bool: MindSpore's layers want one."""

from __future__ import annotations

from porter.convert import convert_source

SOURCE = """from torch import nn


def conv(channels, out, bias=None, shift=True, count=0, rate=None):
    yield nn.Conv2d(channels, out, 1, bias=bias)
    yield nn.Conv2d(channels, out, 1, bias=shift)
    yield nn.Conv2d(channels, out, 1, bias=None)
    yield nn.Linear(channels, out, bias=count)
    yield nn.Linear(channels, out, bias=rate is None)
    yield nn.Linear(channels, out, bias=channels)
"""


def test_a_bool_is_made_only_where_it_may_not_be_one() -> None:
    result = convert_source(SOURCE, path="net.py")
    assert not result.diagnostics
    assert [line.partition("has_bias=")[2].removesuffix(", pad_mode='valid')").rstrip(")") for line in result.text.splitlines() if "has_bias" in line] == [
        "bool(bias", "shift", "False", "bool(count", "rate is None", "channels",
    ]  # fmt: skip
