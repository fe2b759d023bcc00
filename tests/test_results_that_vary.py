"""What a call gives follows what it is given: pools with indices, checkpointed functions, layers that hand through."""

from __future__ import annotations

import textwrap

import pytest

from porter.convert import convert_source


def ported(setup: str, forward: str, before: str = "") -> tuple[str, list[str]]:
    """The last line of forward as it is ported, and the codes of the diagnostics."""
    source = "import torch\nfrom torch import nn\nfrom torch.utils.checkpoint import checkpoint\n\n\n" + textwrap.dedent(before)
    source += "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    source += textwrap.indent(textwrap.dedent(setup), " " * 8) + "\n\n    def forward(self, x: torch.Tensor):\n"
    source += textwrap.indent(textwrap.dedent(forward), " " * 8) + "\n"
    result = convert_source(source, path="net.py")
    return result.text.rstrip().splitlines()[-1].strip(), [d.code for d in result.diagnostics]


@pytest.mark.parametrize(
    ("setup", "forward"),
    [
        ("self.pool = nn.MaxPool2d(2)", "y = self.pool(x)"),
        ("self.skip = nn.Identity()", "y = self.skip(x)"),
        ("self.body = nn.Sequential(nn.MaxPool1d(3), nn.Identity())", "y = self.body(x)"),
        ("self.attend = nn.MultiheadAttention(8, 2)", "y, _ = self.attend(x, x, x)"),
        ("self.body = nn.Linear(3, 4)", "y = checkpoint(self.body, x, use_reentrant=False)"),
        ("pass", "def run(t):\n    return t + 1\ny = checkpoint(run, x)"),
        ("pass", "y = torch.unique(x)"),
        ("pass", "y = x.unique()"),
    ],
)
def test_a_result_is_known_to_be_a_tensor(setup: str, forward: str) -> None:
    assert ported(setup, f"{forward}\nreturn y.transpose(0, 1)") == ("return y.swapaxes(0, 1)", [])


@pytest.mark.parametrize(
    ("setup", "forward"),
    [
        ("self.pool = nn.MaxPool2d(2, return_indices=True)", "y = self.pool(x)"),
        ("pass", "y = torch.unique(x, return_counts=True)"),
        ("self.body = build()", "y = checkpoint(self.body, x)"),
    ],
)
def test_a_result_that_may_be_something_else_is_not_taken_for_a_tensor(setup: str, forward: str) -> None:
    line, codes = ported(setup, f"{forward}\nreturn y.repeat(2, 1)", "from elsewhere import build\n\n\n")
    assert line == "return y.repeat(2, 1)" and "MSP301" in codes


def test_a_checkpointed_function_is_given_what_follows_it() -> None:
    before = "def block(t, scale):\n    return t.transpose(0, 1) * scale\n\n\n"
    source = f"import torch\nfrom torch import nn\nfrom torch.utils.checkpoint import checkpoint\n\n\n{before}class Net(nn.Module):\n    def forward(self, x: torch.Tensor):\n        return checkpoint(block, x, 2.0)\n"
    assert "return t.swapaxes(0, 1) * scale" in convert_source(source).text
