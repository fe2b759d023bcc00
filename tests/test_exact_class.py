"""An object's very class, `type(m) == nn.Linear`, and torch.nn.Parameter as a class: the port asks for classes that exist there."""

from __future__ import annotations

import textwrap

import pytest

from porter.convert import convert_source


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("type(m) == nn.Linear", "type(m) == nn.Dense"),
        ("nn.Linear == type(m)", "nn.Dense == type(m)"),
        ("type(m) is not nn.ReLU", "type(m) is not nn.ReLU"),
        ("m.__class__ in (nn.Linear, Own)", "m.__class__ in (nn.Dense, Own)"),
        ("type(m) == nn.Conv2d", "type(m) in (ms_extras.Conv2d, nn.Conv2d)"),
        ("type(m) != nn.Conv2d", "type(m) not in (ms_extras.Conv2d, nn.Conv2d)"),
        ("isinstance(m, nn.parameter.Parameter)", "isinstance(m, Parameter)"),
        ("isinstance(m, (torch.Tensor, nn.Parameter))", "isinstance(m, (Tensor, Parameter))"),
        ("type(m) is nn.Parameter", "type(m) is Parameter"),
        ("type(m) == Own", "type(m) == Own"),
        ("type(m) == int", "type(m) == int"),
        ("m == nn.Linear", "m == ms_extras.Linear"),
    ],
)
def test_exact_class(test: str, expected: str) -> None:
    source = f"""
        import torch
        from torch import nn

        class Own(nn.Module):
            pass

        def ask(m):
            return {test}
    """
    result = convert_source(textwrap.dedent(source))
    assert not result.diagnostics
    assert result.text.rstrip().endswith(f"return {expected}")


def test_class_that_is_handed_on_is_asked_for_too() -> None:
    """A layer whose class is a value is of the class with torch's signature, which `type(m) == nn.Linear` must count."""
    source = """
        from torch import nn

        def ask(m, make=nn.Linear):
            return type(m) == nn.Linear
    """
    assert "type(m) in (nn.Dense, ms_extras.Linear)" in convert_source(textwrap.dedent(source)).text
