"""Fusion of Conv2d + BatchNorm2d (+ ReLU): where it is done, where it must not be, and that nothing changes by it."""

from __future__ import annotations

import textwrap

import pytest

from porter.convert import PortedTree, convert_tree
from porter.fuse import load_fusions

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom torch import Tensor\n\n\n"
INIT = """
self.conv = nn.Conv2d(c, 8, 3, padding=1, bias=False)
self.bn = nn.BatchNorm2d(8, eps=1e-3, momentum=0.05)
self.relu = nn.ReLU()
"""


def program(init: str, forward: str, more: str = "") -> str:
    """A module `Net(c)` with the given statements, and what else stands in the file."""
    body = textwrap.indent(textwrap.dedent(init).strip(), " " * 8)
    forward = textwrap.indent(textwrap.dedent(forward).strip(), " " * 8)
    return (
        f"{HEAD}class Net(nn.Module):\n    def __init__(self, c: int, s: int = 1):\n        super().__init__()\n{body}\n\n"
        f"    def forward(self, x: Tensor) -> Tensor:\n{forward}\n{textwrap.dedent(more)}"
    )


def fused(text: str) -> PortedTree:
    return convert_tree({"net.py": text}, fuse=True)


def plain(text: str) -> str:
    return convert_tree({"net.py": text}).files["net.py"]


def construct(tree: PortedTree) -> list[str]:
    """The statements of `construct`, without blank lines."""
    lines = tree.files["net.py"].split("def construct")[1].splitlines()[1:]
    return [line.strip() for line in lines if line.startswith("        ") and line.strip()]


def test_rows_name_what_the_weight_converter_needs() -> None:
    rows = {f.name: f for f in load_fusions()}
    assert list(rows) == ["conv_bn_relu", "conv_bn"]
    assert rows["conv_bn_relu"].place("conv") == "conv"
    assert rows["conv_bn_relu"].place("bn") == "batchnorm"
    assert rows["conv_bn_relu"].place("act") is None
    assert not rows["conv_bn_relu"].has_state("act")


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ("x = self.conv(x)\nx = self.bn(x)\nx = self.relu(x)\nreturn x", ["x = self.conv(x)", "return x"]),
        ("return self.relu(self.bn(self.conv(x)))", ["return self.conv(x)"]),
        ("y = self.bn(self.conv(x))\nreturn self.relu(y)", ["y = self.conv(x)", "return y"]),
        ("a = self.conv(x)\nb = self.bn(a)\nd = self.relu(b)\nreturn d + x", ["d = self.conv(x)", "return d + x"]),
        ("y = self.conv(x)\nreturn self.relu(self.bn(y))", ["y = self.conv(x)", "return y"]),
        ("y = self.conv(x)\ny = self.relu(self.bn(y)) + x\nreturn y", ["y = self.conv(x)", "y = y + x", "return y"]),
        ("if c:\n    x = self.conv(x)\n    x = self.bn(x)\n    x = self.relu(x)\nreturn x", ["if c:", "x = self.conv(x)", "return x"]),
    ],
)  # fmt: skip
def test_attributes_with_relu(forward: str, expected: list[str]) -> None:
    tree = fused(program(INIT, forward))
    assert construct(tree) == expected
    text = tree.files["net.py"]
    assert "self.bn" not in text
    assert "self.relu" not in text
    assert "activation='relu'" in text
    assert "momentum=0.95" in text
    assert "eps=1e-3" in text
    assert tree.fusions == ({"class": "net.Net", "renames": {"conv": "conv.conv", "bn": "conv.batchnorm"}},)


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ("y = self.bn(self.conv(x)) + x\nreturn self.relu(y)", ["y = self.conv(x) + x", "return self.relu(y)"]),
        ("y = self.bn(self.conv(x))\nreturn self.relu(y) + y", ["y = self.conv(x)", "return self.relu(y) + y"]),
        ("y = self.bn(self.conv(x))\nreturn self.relu(y) if c else x", ["y = self.conv(x)", "return self.relu(y) if c else x"]),
        ("y = self.bn(self.conv(x))\nif c:\n    y = self.relu(y)\nreturn y", ["y = self.conv(x)", "if c:", "y = self.relu(y)", "return y"]),
        ("y = self.bn(self.conv(x))\nz = F.relu(x)\ny = self.relu(y)\nreturn y + z",
         ["y = self.conv(x)", "z = ops.relu(x)", "y = self.relu(y)", "return y + z"]),
    ],
)  # fmt: skip
def test_attributes_without_relu(forward: str, expected: list[str]) -> None:
    tree = fused(program(INIT, forward))
    assert construct(tree) == expected
    assert "activation" not in tree.files["net.py"]
    assert "self.relu = nn.ReLU()" in tree.files["net.py"]


def test_relu_may_be_shared() -> None:
    init = INIT + "self.conv2 = nn.Conv2d(8, 8, 1)\nself.bn2 = nn.BatchNorm2d(8)\n"
    forward = "x = self.relu(self.bn(self.conv(x)))\nx = self.relu(self.bn2(self.conv2(x)))\nreturn self.relu(x + 1)"
    tree = fused(program(init, forward))
    assert construct(tree) == ["x = self.conv(x)", "x = self.conv2(x)", "return self.relu(x + 1)"]
    assert "self.relu = nn.ReLU()" in tree.files["net.py"]
    assert "has_bias=True" in tree.files["net.py"]


CHAIN = "x = self.conv(x)\nx = self.bn(x)\nx = self.relu(x)\nreturn x"
OTHER = "\n\nclass Other(nn.Module):\n    def forward(self, x: Tensor) -> Tensor:\n        return x\n"


@pytest.mark.parametrize(
    ("init", "forward", "more"),
    [
        pytest.param(INIT, "y = self.conv(x)\nreturn self.bn(y) + y", "", id="the result of the convolution is read twice"),
        pytest.param(INIT, "y = self.conv(x)\nz = self.bn(y)\nreturn z + y", "", id="read again later"),
        pytest.param(INIT, "y = self.conv(x)\nx = F.relu(x)\nreturn self.bn(y) + x", "", id="not one right after the other"),
        pytest.param(INIT, "x = self.bn(self.conv(x))\nreturn self.conv(x)", "", id="a shared convolution"),
        pytest.param(INIT, "x = self.bn(self.conv(x))\nreturn self.bn(x)", "", id="a shared norm"),
        pytest.param(INIT, "y = self.conv(x)\nreturn self.bn(y) if y.ndim else x", "", id="conditional"),
        pytest.param(INIT, "y = self.conv(x)\nf = lambda: self.bn(y)\nreturn f() + f()", "", id="in a lambda"),
        pytest.param(INIT, "for _ in range(2):\n    x = self.conv(x)\nx = self.bn(x)\nreturn x", "", id="a loop around one of them"),
        pytest.param(INIT + "nn.init.zeros_(self.bn.weight)\n", CHAIN, "", id="read in the initialisation"),
        pytest.param(INIT, CHAIN, "\n\nnet = Net(3)\nnn.init.zeros_(net.bn.weight)\n", id="read elsewhere in the program"),
        pytest.param(INIT, CHAIN, "\n\ndef head(m):\n    return m.conv\n", id="read through something unknown"),
        pytest.param(INIT, CHAIN, "\n\nnet = Net(3)\nnet.conv = nn.Conv2d(3, 8, 1)\n", id="replaced"),
        pytest.param(INIT, CHAIN, "\n\nnet = Net(3)\nfor m in net.modules():\n    m.register_forward_hook(print)\n", id="hooked"),
        pytest.param(INIT, CHAIN, "\n\nnet = Net(3)\nlayers = list(net.children())\n", id="taken apart"),
        pytest.param(INIT, CHAIN, "\n\nnet = Net(3)\ngetattr(net, 'bn')\n", id="named in a string"),
        pytest.param(INIT, CHAIN, "\n\nskip = ['conv.weight']\n", id="a name of a weight in a string"),
        pytest.param(INIT, CHAIN, "\n\nnet = Net(3)\nnorms = [p for n, p in net.named_parameters() if 'bn' in n]\n", id="a part of a name"),
        pytest.param(INIT, CHAIN, "\n\ndef get(m: nn.Module, name: str):\n    return getattr(m, name)\n", id="getattr of any name"),
        pytest.param(INIT, CHAIN, "\n\nclass Sub(Net):\n    def forward(self, x: Tensor) -> Tensor:\n        return self.conv(x)\n", id="a subclass"),
        pytest.param(INIT.replace("BatchNorm2d(8", "BatchNorm2d(16"), CHAIN, "", id="features that do not match"),
        pytest.param(INIT.replace("BatchNorm2d(8", "BatchNorm2d(s"), CHAIN, "", id="features not known to match"),
        pytest.param(INIT.replace("1e-3", "1e-3, affine=False"), CHAIN, "", id="a norm without weights"),
        pytest.param(INIT.replace("1e-3", "1e-3, track_running_stats=False"), CHAIN, "", id="a norm without statistics"),
        pytest.param(INIT.replace("0.05", "None"), CHAIN, "", id="a cumulative average"),
        pytest.param(INIT.replace("padding=1", "padding=1, padding_mode='reflect'"), CHAIN, "", id="another padding"),
        pytest.param(INIT.replace("self.bn =", "if s > 1:\n    self.bn ="), CHAIN, "", id="built under a condition"),
        pytest.param(INIT + "if s > 1:\n    self.bn = nn.BatchNorm2d(8)\n", CHAIN, "", id="built twice"),
        pytest.param(INIT.replace("nn.BatchNorm2d", "nn.InstanceNorm2d"), CHAIN, "", id="another norm"),
    ],
)  # fmt: skip
def test_left_alone(init: str, forward: str, more: str) -> None:
    text = program(init, forward, more)
    tree = fused(text)
    assert tree.fusions == ()
    assert tree.files["net.py"] == plain(text)


def test_a_class_of_the_same_attribute_names_is_no_reader() -> None:
    more = OTHER.replace("return x", "return x * self.bn").replace("def forward", "bn = 2\n\n    def forward")
    tree = fused(program(INIT, CHAIN, more))
    assert construct(tree)[:2] == ["x = self.conv(x)", "return x"]


def test_arguments_must_mean_the_same_at_the_convolution() -> None:
    init = "self.conv = nn.Conv2d(c, s, 3)\ns = 2 * s\nself.bn = nn.BatchNorm2d(s)\n"
    assert fused(program(init, "return self.bn(self.conv(x))")).fusions == ()


SEQUENTIAL = """
self.body = nn.Sequential(
    nn.Conv2d(c, 8, 3, padding=1),
    nn.BatchNorm2d(8),  # whitened
    nn.ReLU(),
    nn.Conv2d(8, 4, 1, stride=s), nn.BatchNorm2d(4),
    nn.Conv2d(4, 4, 1),
)
"""


def test_sequential() -> None:
    tree = fused(program(SEQUENTIAL, "return self.body(x)"))
    text = tree.files["net.py"]
    assert text.count("Conv2dBnAct") == 2
    assert text.count("BatchNorm2d") == 0
    assert "# whitened" in text
    assert "nn.Conv2d(4, 4, 1, " in text
    assert tree.fusions == ()


@pytest.mark.parametrize(
    ("forward", "more"),
    [
        ("return self.body[0](x)", ""),
        ("for layer in self.body:\n    x = layer(x)\nreturn x", ""),
        ("for i, layer in enumerate(self.body):\n    x = layer(x) + i\nreturn x", ""),
        ("return self.body(x)", "\n\nlast = Net(3).body[-1]\n"),
        ("return self.body(x)", "\n\ndef tail(m):\n    return m.body[-1]\n"),
        ("return self.body(x)", "\n\nskip = ['body.0.weight']\n"),
    ],
)
def test_sequential_that_is_picked_from(forward: str, more: str) -> None:
    text = program(SEQUENTIAL, forward, more)
    assert "Conv2dBnAct" not in fused(text).files["net.py"]


def test_the_ported_text_parses_with_long_arguments() -> None:
    init = INIT.replace("nn.Conv2d(c, 8,", "nn.Conv2d(in_channels=c, out_channels=8, kernel_size=").replace(
        "= 3", "=3"
    )
    tree = fused(program(init, CHAIN))
    assert max(map(len, tree.files["net.py"].splitlines())) <= 110
    compile(tree.files["net.py"], "net.py", "exec")
