"""Names bound on some ways only, maps over closures, del, update with keywords, nested comprehensions: a graph compiles their port."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import mindspore as ms
import numpy as np
import pytest

from porter.convert import convert_source

SOURCE = '''import torch
from torch import nn


def shifted(x, by=None):
    if by is not None:
        start = x * 0 + by
    y = x + 1
    if by is not None:
        y = y * start
    return y


def carried(x):
    for i in range(3):
        if i == 0:
            total = x
        else:
            total = total * 2 + x
    return total


class Scaled(nn.Module):
    def forward(self, x, factor=None, **kwargs):
        return x if factor is None else x * factor


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scaled = Scaled()
        self.linear = nn.Linear(3, 3)

    def halved(self, x):
        return x / 2

    def forward(self, x, mask=None, kind="plain", **kwargs):
        if mask is not None:
            kept = mask * 2
        n = x.shape[-1]
        widen = lambda t: t[..., :n] * (x.shape[0] + 1)
        a, b = map(widen, (x, x + 1))
        c, d = map(self.halved, (a, b))
        kwargs.update(factor=c)
        y = self.scaled(d, **kwargs)
        if mask is not None:
            y = y + kept
        if kind == "plain":
            z = self.linear(y)
        elif kind == "other":
            z = y
        del a, b
        sizes = [i for pair in ((1, 2), (3, 4)) for i in pair]
        return shifted(z) + shifted(z, 2) + carried(z) + sizes[2]
'''


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_the_port_compiles_and_gives_torchs_values(tmp_path: Path, mode: int) -> None:
    import torch

    ported = convert_source(SOURCE, path="names.py")
    assert not ported.diagnostics, ported.diagnostics
    (tmp_path / "original.py").write_text(SOURCE, "utf-8")
    (tmp_path / "ported.py").write_text(ported.text, "utf-8")
    net = _load(tmp_path / "original.py", "original_names").Net()
    ms.set_context(mode=mode)
    try:
        cell = _load(tmp_path / "ported.py", f"ported_names_{mode}").Net()
        for parameter, value in zip(cell.get_parameters(), net.parameters()):
            parameter.set_data(ms.Tensor(value.detach().numpy()))
        x, mask = np.arange(6, dtype=np.float32).reshape(2, 3) / 7, np.ones((2, 3), np.float32) * 3
        with torch.no_grad():
            plain, masked = net(torch.tensor(x)).numpy(), net(torch.tensor(x), torch.tensor(mask)).numpy()
        assert np.abs(plain - masked).max() > 0.1
        np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), plain, rtol=1e-5)
        np.testing.assert_allclose(cell(ms.Tensor(x), ms.Tensor(mask)).asnumpy(), masked, rtol=1e-5)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def _forward(body: str) -> str:
    text = f"import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x, mask=None, mode='a'):\n{body}"
    return convert_source(text).text.partition("mode='a'):\n")[2]


@pytest.mark.parametrize(
    "body",
    [
        "        if mask is None:\n            y = x\n        else:\n            y = x + mask\n        return y\n",
        "        if mask is None:\n            y = x\n        else:\n            raise ValueError(mode)\n        return y\n",
        "        if self.mode == 'a':\n            y = x\n        return y\n",
        "        for i in range(3):\n            y = x + i\n            x = y * 2\n        return x\n",
        "        if mask is None:\n            return x\n        y = x + mask\n        return [y for y in (y, x)]\n",
        "        try:\n            return y\n        except NameError:\n            y = x\n        return y\n",
        "        def inner():\n            return y\n        y = x\n        return inner()\n",
    ],
)
def test_what_is_bound_on_all_ways_stays_as_it_is(body: str) -> None:
    assert _forward(body) == body


def test_the_name_is_bound_where_all_its_uses_see_it() -> None:
    """Before the outermost loop that carries it, inside of the branch that is alone in using it, never before an elif."""
    carried = "        for i in range(3):\n            if i:\n                y = y + x\n            else:\n                y = x\n        return x\n"
    assert _forward(carried) == "        y = None\n" + carried
    branch = "        if mode == 'b':\n            return x\n        elif mode == 'c':\n            if mask is not None:\n                y = x\n            return y\n        return x\n"
    assert "        elif mode == 'c':\n            y = None\n            if mask is not None:\n" in _forward(branch)


def test_scripts_are_left_alone() -> None:
    source = "import torch\n\n\ndef main(epochs):\n    for epoch in range(epochs):\n        loss = epoch * 2\n    print(loss)\n"
    assert convert_source(source).text == source.removeprefix("import torch\n")


def test_a_network_with_a_method_compile_of_its_own(tmp_path: Path) -> None:
    """mindspore.nn.Cell.compile is what builds the graph; a network without its own keeps torch's meaning, and so does re.compile."""
    own = "import re\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.compile('adam')\n        self.pattern = re.compile('a')\n\n    def compile(self, optimizer):\n        self.optimizer = optimizer\n\n    def forward(self, x):\n        return x * 2\n"
    text = convert_source(own).text
    assert "self.compile_('adam')" in text and "def compile_(self" in text and "re.compile('a')" in text
    (tmp_path / "own.py").write_text(text, "utf-8")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        cell = _load(tmp_path / "own.py", "ported_own_compile").Net()
        assert cell(ms.Tensor(np.float32([3]))).asnumpy().tolist() == [6]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    other = "from torch import nn\n\n\nclass Other(nn.Module):\n    pass\n\n\ndef made():\n    Other().compile()\n    return Other()\n"
    assert "compile_" not in convert_source(own + other.partition("\n")[2]).text.partition("class Other")[2]


LEFT = '''from torch import nn


class Net(nn.Module):
    def forward(self, x):
        """Doubled
then lowered."""
        y = x * 2
# a comment of its own
        z = """text
kept"""
        return y - len(z)

    def other(self):
# nobody compiles this
        return 1
'''


def test_comments_left_of_their_method_move_to_it(tmp_path: Path) -> None:
    text = convert_source(LEFT).text
    assert "        # a comment of its own\n" in text and "        then lowered." in text and '"""text\nkept"""' in text
    moved = LEFT.replace('"""text\nkept"""', "'text'")
    (tmp_path / "left.py").write_text(convert_source(moved).text, "utf-8")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        cell = _load(tmp_path / "left.py", "ported_left").Net()
        assert cell(ms.Tensor(np.float32([5]))).asnumpy().tolist() == [6]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    plain = "from torch import nn\n\n\ndef plain(x):\n    y = x\n# left\n    return y\n"
    assert "\n# left\n" in convert_source(plain).text


WRAPPED = '''from functools import wraps

from torch import nn


def lowered(fn):
    @wraps(fn)
    def inner(self, x):
        return fn(self, x) - 1
    return inner


def timed(fn):
    @wraps(fn)
    def inner(*args):
        return fn(*args)
    return inner


class Net(nn.Module):
    @lowered
    def forward(self, x):
        return x * 2


@timed
def script(path):
    return path
'''


def test_a_graph_compiles_what_a_decorator_makes(tmp_path: Path) -> None:
    """With functools.wraps it would compile the function that was wrapped: 10 in place of 9, and not a word."""
    text = convert_source(WRAPPED).text
    assert text.count("@wraps(fn)") == 1 and "def timed(fn):\n    @wraps(fn)\n" in text
    (tmp_path / "wrapped.py").write_text(text, "utf-8")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        cell = _load(tmp_path / "wrapped.py", "ported_wrapped").Net()
        assert cell(ms.Tensor(np.float32([5]))).asnumpy().tolist() == [9]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


PAIRS = '''from itertools import combinations

import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        parts = torch.split(x, 1, dim=1)
        found = []
        for i, (a, b) in enumerate(combinations(parts, 2)):
            found.append(a * b + i)
        for i, j in combinations(range(3), 2):
            found.append(parts[i] - parts[j])
        return torch.cat(found, dim=1)


def triples(names):
    return list(combinations(names, 2))
'''


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_pairs_of_tensors_in_a_network(tmp_path: Path, mode: int) -> None:
    import torch

    ported = convert_source(PAIRS)
    assert "return list(combinations(names, 2))" in ported.text and ported.text.count("ms_extras.pairs(") == 2
    (tmp_path / "pairs.py").write_text(PAIRS, "utf-8")
    (tmp_path / "ported_pairs.py").write_text(ported.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    sys.path.insert(0, str(tmp_path))
    ms.set_context(mode=mode)
    try:
        expected = _load(tmp_path / "pairs.py", "original_pairs").Net()(torch.tensor(x)).numpy()
        cell = _load(tmp_path / "ported_pairs.py", f"ported_pairs_{mode}").Net()
        np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), expected)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        sys.path.remove(str(tmp_path))
        sys.modules.pop("ms_extras", None)
