"""Questions that code asks of torch itself, answered for the port."""

from __future__ import annotations

import pytest
import torch

from porter.convert import convert_source


def _ported(expression: str) -> str:
    ported = convert_source(f"import torch\n\n\ndef f(x: torch.Tensor):\n    return {expression}\n")
    assert ported.diagnostics == ()
    return ported.text.splitlines()[-1].removeprefix("    return ")


def test_the_keywords_of_a_function_are_torchs() -> None:
    assert eval(_ported("torch.meshgrid.__kwdefaults__")) == torch.meshgrid.__kwdefaults__
    assert _ported("'indexing' in torch.meshgrid.__kwdefaults__") == "'indexing' in {'indexing': None}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("getattr(torch.cpu, '_is_avx2_supported', lambda: False)()", "(lambda: False)()"),
        ("getattr(torch, 'no_such_thing', None)", "None"),
        ("getattr(x, 'tag', None)", "getattr(x, 'tag', None)"),
        ("getattr(torch, 'exp', None)(x)", "ms_extras.exp(x)"),
    ],
)
def test_a_member_that_the_port_lacks_is_its_default(before: str, after: str) -> None:
    assert _ported(before) == after


def test_a_call_within_a_stated_limit_is_named():
    source = "import torch\n\n\ndef f(x: torch.Tensor, k):\n    return torch.topk(x, k, sorted={0})\n"
    found = {given: [d.code for d in convert_source(source.replace("{0}", given)).diagnostics] for given in ("False", "True", "k > 1")}
    assert found == {"False": ["MSP604"], "True": [], "k > 1": []}
