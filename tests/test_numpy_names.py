"""numpy's keywords, which torch's builtins take for their own: axis, keepdims, x, a, x1, x2."""

from __future__ import annotations

import pytest

from porter.convert import convert_source
from porter.signature import NUMPY_NAMES, parse_signature
from porter.table import load_table

SOURCE = "import torch\nfrom torch import Tensor\n\ndef f(x: Tensor, y: Tensor, k):\n    return {}\n"

# what torch 2.13 accepts: the call, and the same in torch's own names
ACCEPTED = [
    ("x.sum(axis=1, keepdims=True)", "x.sum(dim=1, keepdim=True)"),
    ("torch.sum(x, axis=(0, 1))", "torch.sum(x, dim=(0, 1))"),
    ("torch.cat([x, y], axis=1)", "torch.cat([x, y], dim=1)"),
    ("torch.stack((x, y), axis=-1)", "torch.stack((x, y), dim=-1)"),
    ("torch.max(x, axis=1)[0]", "torch.max(x, dim=1)[0]"),
    ("x.argmax(axis=1, keepdims=True)", "x.argmax(dim=1, keepdim=True)"),
    ("x.std(axis=1, keepdims=True)", "x.std(dim=1, keepdim=True)"),
    ("x.squeeze(axis=1)", "x.squeeze(dim=1)"),
    ("torch.unsqueeze(x, axis=1)", "torch.unsqueeze(x, dim=1)"),
    ("torch.softmax(x=x, axis=1)", "torch.softmax(input=x, dim=1)"),
    ("torch.add(x1=x, x2=y, alpha=2)", "torch.add(input=x, other=y, alpha=2)"),
    ("torch.exp(a=x)", "torch.exp(input=x)"),
    ("x.cumsum(axis=-1)", "x.cumsum(dim=-1)"),
    ("torch.any(x > 0, axis=0)", "torch.any(x > 0, dim=0)"),
    ("torch.maximum(x1=x, x2=y)", "torch.maximum(input=x, other=y)"),
    ("torch.mean(x, axis=k)", "torch.mean(x, dim=k)"),
]
# torch's Python functions and constructors have no such parser
REFUSED = [
    "torch.norm(x, axis=1)",
    "torch.nn.functional.softmax(x, axis=1)",
    "torch.nn.Softmax(axis=1)",
    "torch.split(x, 1, axis=1)",
    "torch.flip(x, axes=(0,))",
    "torch.permute(x, axes=(0, 2, 1))",
]


def ported(call: str) -> tuple[str, list[str]]:
    found = convert_source(SOURCE.format(call))
    return found.text, [str(d) for d in found.diagnostics]


@pytest.mark.parametrize(("call", "own"), ACCEPTED)
def test_a_call_with_numpy_names_is_ported_like_its_torch_form(call: str, own: str) -> None:
    torch = pytest.importorskip("torch")
    x, y = torch.arange(12.0).reshape(2, 2, 3), torch.ones(2, 2, 3)
    given = {"torch": torch, "x": x, "y": y, "k": 1}
    assert torch.equal(eval(call, given), eval(own, given))
    text, said = ported(call)
    assert (text, said) == ported(own)
    assert said == []
    assert "torch" not in text


@pytest.mark.parametrize("call", REFUSED)
def test_what_torch_itself_refuses(call: str) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"unexpected keyword|got an invalid combination|missing|required"):
        eval(call, {"torch": torch, "x": torch.ones(2, 1, 3)})


def test_torch_has_no_further_numpy_names() -> None:
    """Every other keyword that numpy has for a reduction or a ufunc is unknown to the parser."""
    torch = pytest.importorskip("torch")
    x = torch.ones(2, 3)
    for name in ("axes", "dims", "keep_dims", "ax", "array", "arr"):
        assert name not in NUMPY_NAMES
        with pytest.raises(TypeError):
            torch.sum(x, **{name: 1})
        with pytest.raises(TypeError):
            torch.sum(**{name: x})


def test_a_name_is_bound_once() -> None:
    signature = parse_signature("torch.sum(input, dim=None, keepdim=False)")
    assert signature.bind(["x"], {"axis": "1"}).arguments == {"input": "x", "dim": "1"}  # type: ignore[union-attr]
    assert signature.bind(["x"], {"axis": "1", "dim": "1"}) is None
    assert signature.bind(["x"], {"x": "x"}) is None
    # a parameter of that very name, or **kwargs, comes first
    assert parse_signature("f(x, input)").bind(["1"], {"x": "2"}) is None
    assert parse_signature("f(dim, **rest)").bind(["1"], {"axis": "2"}).extra == {"axis": "2"}  # type: ignore[union-attr]


def test_no_row_has_a_parameter_that_a_numpy_name_would_hide() -> None:
    """A row may have `x` itself; then `input` beside it would be ambiguous."""
    both = [
        row.name
        for row in load_table()
        if any({numpy, torch} <= set(row.signature.by_name) for numpy, torch in NUMPY_NAMES.items())
    ]
    assert both == []
