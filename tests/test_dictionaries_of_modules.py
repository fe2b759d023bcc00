"""Dictionaries of modules: inside of a list of modules, and read by name in a compiled graph."""

from __future__ import annotations

import numpy as np

from porter.convert import convert_source

SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict(dict(first=nn.Linear(3, 4), second=nn.Linear(4, 3)))
        self.blocks = nn.ModuleList([nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)}) for _ in range(2)])
        self.plain = nn.ModuleList([nn.Linear(3, 3)])

    def forward(self, x):
        x = self.parts.second(torch.relu(self.parts.first(x)))
        for block in self.blocks:
            x = x + block["b"](torch.tanh(block["a"](x)))
        return x + self.plain[0](x)

    def named(self):
        return list(self.parts.keys())
"""


def test_a_module_is_read_as_an_entry_where_a_graph_reads_it() -> None:
    text = convert_source(SOURCE, path="net.py").text
    assert 'self.parts["second"]' in text and 'self.parts["first"](x)' in text
    assert "self.parts.keys()" in text, "a method of the dictionary is no entry"


def test_a_list_of_plain_modules_stays_mindspores_own() -> None:
    alone = SOURCE.replace('nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})', "nn.Linear(3, 3)")
    assert "nn.CellList([" in convert_source(alone, path="net.py").text
    assert "ms_extras.ModuleList([" in convert_source(SOURCE, path="net.py").text


def test_values_are_equal(sides, compare) -> None:
    both = sides(SOURCE)
    compare(both.ported.Net(), both.original.Net(), np.random.default_rng(6).normal(size=(2, 3)).astype(np.float32))


def test_a_function_without_a_name_reads_entries_that_a_graph_finds(sides) -> None:
    import mindspore
    import torch

    source = (
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.mlp = nn.ModuleDict(dict(fc=nn.Linear(3, 4), act=nn.Tanh()))\n        m = self.mlp\n"
        "        self.run = lambda x: m.act(m.fc(x))\n        for p in self.parameters():\n            nn.init.constant_(p, 0.2)\n        print(m.act)\n\n"
        "    def forward(self, x):\n        return x.sum() + self.run(x)\n"
    )
    original, ported, text = sides(source)
    assert "m['act'](m['fc'](x))" in text and "print(m.act)" in text
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    wanted = original.Net()(torch.tensor(x)).detach().numpy()
    for mode in (mindspore.PYNATIVE_MODE, mindspore.GRAPH_MODE):
        mindspore.set_context(mode=mode)
        try:
            np.testing.assert_allclose(ported.Net()(mindspore.Tensor(x)).asnumpy(), wanted, rtol=1e-5)
        finally:
            mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
