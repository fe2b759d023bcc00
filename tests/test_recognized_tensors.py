"""What shows that an unknown value is a tensor: arguments that arrays do not take, and uses before a name is bound anew."""

from __future__ import annotations

import pytest

from porter.convert import convert_source


def _line(expression: str) -> tuple[str, list[str]]:
    ported = convert_source(f"import torch\n\n\ndef f(cfg, n):\n    z = torch.ones(2)\n    return {expression}, z\n")
    return ported.text.splitlines()[-1].removeprefix("    return ").removesuffix(", z"), [d.code for d in ported.diagnostics]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("n.transpose(1, 2)", "n.swapaxes(1, 2)"),
        ("n.transpose(-2, -3)", "n.swapaxes(-2, -3)"),
        ("n.flatten(2).transpose(0, 1)", "n.flatten(2).swapaxes(0, 1)"),
        ("n.repeat(1, 2, 3)", "n.tile((1, 2, 3))"),
    ],
)
def test_arguments_that_only_tensors_take(before: str, after: str) -> None:
    assert _line(before) == (after, [])


@pytest.mark.parametrize("call", ["n.transpose(1, 0)", "n.transpose(-2, -1)", "n.transpose(0, 1)", "n.repeat(2, 1)"])
def test_arguments_that_an_array_takes_prove_nothing(call: str) -> None:
    text, codes = _line(call)
    assert text == call and codes == ["MSP301"]


def test_a_statement_reads_a_name_before_it_binds_it() -> None:
    text = "import torch\n\n\ndef pool(x, kind):\n    if kind:\n        x = torch.cat([\n            x,\n            x.view(x.size(0), x.size(1)),\n        ])\n    return x\n"
    ported = convert_source(text)
    assert "x.view(x.shape[0], x.shape[1])" in ported.text and ported.diagnostics == ()


def test_a_name_bound_before_its_use_is_another() -> None:
    text = "import torch\n\n\ndef count(x, kind):\n    x = kind(x)\n    return x.flip(0), torch.ones(2), x.size(0)\n"
    assert any(d.code == "MSP301" for d in convert_source(text).diagnostics)
