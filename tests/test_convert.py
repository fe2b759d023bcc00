"""What the engine does to source, and, as much, what it must leave alone."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from porter.convert import Ported, convert_source, convert_tree

CASES = sorted(p for p in (Path(__file__).parent / "cases").iterdir() if p.is_dir())
HEAD = "import torch\nfrom torch import nn, Tensor\n\n\ndef f(x: Tensor, y: Tensor):\n"


def ported(text: str) -> str:
    return convert_source(textwrap.dedent(text)).text


def line(expression: str) -> str:
    """An expression over tensors x and y, converted."""
    result = convert_source(f"{HEAD}    return {expression}\n")
    assert result.diagnostics == (), result.diagnostics
    return result.text.splitlines()[-1].removeprefix("    return ")


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_golden_files(case: Path) -> None:
    """`after.py` is what porter makes of `before.py`; to accept a change, write it anew and read the diff."""
    tree = convert_tree({"case.py": (case / "before.py").read_text("utf-8")})
    assert tree.diagnostics == ()
    assert tree.files["case.py"] == (case / "after.py").read_text("utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_converting_the_output_changes_nothing(case: Path) -> None:
    text = (case / "after.py").read_text("utf-8")
    again = convert_source(text)
    assert again.text == text
    assert again.diagnostics == () and again.extras == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x.size(0)", "x.shape[0]"),
        ("-x.size(-1)", "-x.shape[-1]"),
        ("(x + y).repeat(2, 1)", "(x + y).tile((2, 1))"),
        ("x.add(y + 1, alpha=2).size(0)", "x.add(y + 1, alpha=2).shape[0]"),
        ("(x if y is None else y).size(0)", "(x if y is None else y).shape[0]"),
        ("[x.size(i) for i in range(2)]", "[x.shape[i] for i in range(2)]"),
        ("f'{x.size(0)} of {y.size()}'", "f'{x.shape[0]} of {y.shape}'"),
        ("x.gather(1, y, sparse_grad=True)", "x.gather(1, y)"),
        ("x.gather(1,  y)", "x.gather(1,  y)"),
        ("x.div(y, rounding_mode='floor')", "ops.floor_divide(x, y)"),
        ("x.div(y, rounding_mode='trunc')", "ops.div(x, y, rounding_mode='trunc')"),
        ("nn.LeakyReLU()(x)", "nn.LeakyReLU(alpha=0.01)(x)"),
        ("torch.distributed.ReduceOp.SUM", "ops.ReduceOp.SUM"),  # though torch.distributed.ReduceOp itself is refused
        ("torch.__version__.split('+')", "mindspore.__version__.split('+')"),
        ("nn.MaxPool2d(3, stride=2, padding=1)(x)", "nn.MaxPool2d(3, stride=2, padding=1, pad_mode='pad')(x)"),
    ],
)
def test_expressions(before: str, after: str) -> None:
    assert line(before) == after


def test_an_in_place_call_becomes_an_assignment() -> None:
    text = ported(f"{HEAD}    z = x.clone()\n    z.add_(y + 1, alpha=2)\n    return z\n")
    assert "    z = (z + 2 * (y + 1)).astype(z.dtype)\n" in text


# --- what must not change ------------------------------------------------------------------------------------------------

UNTOUCHED = """\
import numpy as np


class Meter:
    def type(self):
        return "meter"

    def size(self, i):
        return i


def f(meter: Meter, cfg: dict, arr: np.ndarray, text: str, items: list, unknown):
    meter.type(), meter.size(0)
    arr.max(1), np.zeros((2, 3)).max(1), arr.mean(1, True), arr.repeat(2, 1)
    text.split(","), "a b".split(), items.index(3), [1].index(1), cfg.update(a=1), {}.update(b=2)
    unknown.view(-1)   # spaces,  and a comment
    return ( unknown.mean( 1 ) )
"""


def test_other_peoples_methods_are_left_alone() -> None:
    for text in (UNTOUCHED, "import torch\n" + UNTOUCHED + "\n\nprint(torch.ones(2))\n"):
        result = convert_source(text)
        assert UNTOUCHED.partition("import numpy as np\n")[2] in result.text
        assert all(d.code == "MSP301" for d in result.diagnostics)


def test_an_unknown_receiver_is_named_and_left_alone() -> None:
    result = convert_source("import torch\n\n\ndef f(cfg):\n    y = torch.ones(2)\n    return cfg.type('x'), y\n")
    assert "cfg.type('x')" in result.text
    assert [(d.code, d.location.line) for d in result.diagnostics] == [("MSP301", 6)]
    assert "annotate it" in result.diagnostics[0].help


def test_a_file_without_torch_keeps_every_byte() -> None:
    text = "# -*- coding: utf-8 -*-\r\nx = ( 1,2 )\t# odd\r\n\r\n\r\n\r\ndef f( a ):\r\n  return a.view(2)"
    assert convert_source(text).text == text


def test_comments_and_untouched_lines_survive() -> None:
    before = textwrap.dedent("""\
        # before the imports
        import torch  # the framework
        import os   # odd   spacing

        # a remark, between
        table = {  'a' : 1,
                   'b':2 }  # not formatted
        net = torch.nn.Linear(  # the head
            3,   # in
            4,   # out
        )
        # the end""")
    after = ported(before)
    for comment in ("# before the imports", "# a remark, between", "# the head", "# in", "# out", "# the end"):
        assert comment in after
    assert "table = {  'a' : 1,\n           'b':2 }  # not formatted\n" in after
    assert "import os   # odd   spacing\n" in after


# --- imports -------------------------------------------------------------------------------------------------------------


def names_are_bound(text: str) -> None:
    import builtins

    tree = ast.parse(text)
    bound = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert used - bound == set(), text


IMPORTS = {
    "star": "from torch.nn import *\nfrom torch import *\n\nnet = Sequential(Conv2d(3, 4, 3), ReLU())\nx = zeros(2, 3)\n",
    "members": "from torch.nn import Conv2d as C, functional as F\nfrom torch import relu\n\nc = C(3, 4, 3)\nprint(relu, F.relu)\n",
    "aliases": "import torch as t, torch.nn as tn\nimport torch.nn.functional as F\n\nn = tn.ReLU()\nx = F.relu(t.ones(2))\n",
    "bare": "import torch\n\nnet = torch.nn.Conv2d(3, 4, 3)\nloss = torch.nn.functional.mse_loss\n",
    "inside": "def f():\n    import torch\n    from torch import nn\n    return nn.ReLU()(torch.ones(2))\n",
    "taken": "import torch\n\nnn = 3\nops = 4\nnet = torch.nn.ReLU()\nx = torch.relu(torch.ones(nn, ops))\n",
    "tried": "try:\n    import torch\n    HAS = True\nexcept ImportError:\n    torch = None\n    HAS = False\n\nx = torch.ones(2)\n",
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_every_name_stays_bound(kind: str) -> None:
    result = convert_source(IMPORTS[kind])
    assert result.diagnostics == ()
    names_are_bound(result.text)
    assert "torch" not in {n.id for n in ast.walk(ast.parse(result.text)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def test_a_tried_import_keeps_both_branches() -> None:
    text = ported(IMPORTS["tried"])
    assert "try:\n    HAS = True\nexcept ImportError:\n" in text


@pytest.mark.parametrize(
    ("tried", "otherwise", "called"),
    [
        ("torch.nn.utils.parametrizations", "torch.nn.utils", "ms_extras.parametrized_weight_norm("),
        ("torch.nn.utils.newest", "torch.nn.utils", "ms_extras.weight_norm("),
        ("apex.norms", "torch.nn.utils", "ms_extras.weight_norm("),
    ],
)
def test_what_is_tried_first_is_meant_where_torch_has_it(tried: str, otherwise: str, called: str) -> None:
    text = f"from torch import nn\n\ntry:\n    from {tried} import weight_norm\nexcept ImportError:\n    from {otherwise} import weight_norm\n\n"
    assert called in ported(text + "\ndef f():\n    return weight_norm(nn.Conv1d(2, 3, 1))\n")


def test_relative_imports_and_packages() -> None:
    tree = convert_tree(
        {
            "pkg/__init__.py": "from .net import Net\n",
            "pkg/net.py": "from torch import nn\n\nfrom .layers import conv, nn as also_nn\n\n\nclass Net(nn.Module):\n"
            "    def __init__(self):\n        super().__init__()\n        self.c = conv(3, norm=also_nn.BatchNorm2d)\n\n"
            "    def forward(self, x):\n        return self.c(x).mean((2, 3))\n",
            "pkg/layers.py": "import torch.nn as nn\n\n\ndef conv(c, norm=nn.BatchNorm2d):\n"
            "    return nn.Sequential(nn.Conv2d(c, 4, 1), norm(4))\n",
        }
    )
    assert tree.diagnostics == ()
    assert tree.files["pkg/__init__.py"] == "from .net import Net\n"
    assert "from .layers import conv" in tree.files["pkg/net.py"]
    assert "from . import ms_extras" in tree.files["pkg/layers.py"]
    assert tree.extras == ("pkg/ms_extras.py",)


def test_annotations_written_as_strings() -> None:
    text = ported('import torch\nfrom typing import Literal\n\n\ndef f(x: "torch.Tensor", m: Literal["torch"]) -> "list[torch.Tensor]":\n    return [x]\n')
    assert 'def f(x: "Tensor", m: Literal["torch"]) -> "list[Tensor]":' in text


def test_no_grad_as_a_block_and_as_a_decorator() -> None:
    text = ported(
        "import torch\n\n\n@torch.no_grad()\ndef f(x: torch.Tensor):\n    with torch.no_grad():\n        y = x.size(0)\n    return y\n"
    )
    assert text.endswith("def f(x: Tensor):\n    y = x.shape[0]\n    return y\n")
    assert "no_grad" not in text


def test_typing_overloads_go() -> None:
    text = ported(
        "import torch\n\n\n@torch.jit._overload\ndef f(x):\n    # type: (int) -> int\n    pass\n\n\ndef f(x):\n    return torch.relu(x)\n"
    )
    assert text.count("def f(x)") == 1


def test_a_refused_call_stays_and_the_output_parses() -> None:
    result: Ported = convert_source("import torch\n\nx = torch.nn.FractionalMaxPool2d(2, 3)\ny = torch.ones(2)\n")
    ast.parse(result.text)
    assert "FractionalMaxPool2d(2, 3)" in result.text
    assert [(d.code[:4], d.location.line) for d in result.diagnostics] == [("MSP2", 3)]
    assert result.diagnostics[0].help and result.diagnostics[0].rule.startswith("mappings/nn/pooling.yaml:")


def test_the_readme_shows_what_porter_writes() -> None:
    blocks = (Path(__file__).parents[1] / "README.md").read_text("utf-8").split("```python\n")[1:]
    before, after = (block.partition("```")[0] for block in blocks[:2])
    assert convert_source(before).text == after


def test_tabs_and_form_feeds_stay() -> None:
    """A file that is indented with tabs, or cut in pages, ports like any other."""
    loop = """
        import torch
        from torch import nn, Tensor
        \x0c
        class Net(nn.Module):
            def forward(self, x: Tensor):
                with torch.no_grad():
                    y = x.size(0)
                if torch.jit.is_scripting():
                    z = 1
                else:
                    z = x.add(1, alpha=2)
                return y * z
        \x0c
        def train(net: nn.Module, loader):
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            for x, y in loader:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(net(x), y)
                loss.backward()
                optimizer.step()
    """
    spaced = textwrap.dedent(loop).replace("\x0c\n", "")
    tabbed = textwrap.dedent(loop).replace("    ", "\t")
    plain, result = convert_source(spaced), convert_source(tabbed)
    assert not result.diagnostics
    assert result.text.count("\x0c") == 2
    assert result.text.replace("\x0c\n", "").replace("\t", "    ") == plain.text
    assert "value_and_grad" in result.text and "\n    " not in result.text
