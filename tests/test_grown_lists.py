"""Lists of cells that grow: MindSpore's CellList misnames what a list gains once it has an owner."""

from __future__ import annotations

from porter.convert import convert_source

TEXT = """\
from torch import nn


def prepend({parameter}, layer):
    layers.insert(0, layer)


layers = []


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.ups = nn.ModuleList([])
        {use}
        prepend({given}, nn.Linear(2, 3))
"""


def test_a_list_that_a_function_is_given_and_adds_to_is_torchs() -> None:
    text = TEXT.format(parameter="layers", use="pass", given="self.ups")
    assert "self.ups = ms_extras.ModuleList([])" in convert_source(text).text


def test_a_plain_list_may_grow() -> None:
    text = TEXT.format(parameter="layers", use="found = []", given="found")
    assert "self.ups = nn.CellList([])" in convert_source(text).text
