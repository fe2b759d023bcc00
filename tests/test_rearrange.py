"""Patterns of einops as chains of tensor methods, against einops itself."""

from __future__ import annotations

import pytest

from porter.convert import convert_source
from porter.rearrange import Rearrangement, method_chain, short_equation

torch = pytest.importorskip("torch")
einops = pytest.importorskip("einops")

CHAINS = [
    ("rearrange", "b n (h d) -> b h n d", (2, 5, 12), {"h": 3}, "x.reshape(x.shape[0], x.shape[1], 3, -1).swapaxes(1, 2)"),
    ("rearrange", "b h n d -> b n (h d)", (2, 3, 5, 4), {}, "x.swapaxes(1, 2).flatten(2)"),
    (
        "rearrange", "b c (h p) (w q) -> b (h w) (p q c)", (2, 5, 4, 6), {"p": 2, "q": 3},
        "x.reshape(x.shape[0], x.shape[1], x.shape[2] // 2, 2, x.shape[3] // 3, 3).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)",
    ),
    ("rearrange", "b n (k h d) -> k b h n d", (2, 5, 24), {"k": 3, "h": 2},
     "x.reshape(x.shape[0], x.shape[1], 3, 2, -1).permute(2, 0, 3, 1, 4)"),
    ("rearrange", "(b h) n d -> b n (h d)", (6, 5, 4), {"h": 3}, "x.reshape(-1, 3, x.shape[1], x.shape[2]).swapaxes(1, 2).flatten(2)"),
    ("rearrange", "a b c d e -> (a b) c (d e)", (2, 3, 4, 5, 6), {}, "x.flatten(3).flatten(0, 1)"),
    ("rearrange", "b d -> b 1 d ()", (2, 5), {}, "x.unsqueeze(1).unsqueeze(3)"),
    ("rearrange", "b 1 c () -> c b", (2, 1, 5, 1), {}, "x.squeeze(3).squeeze(1).swapaxes(0, 1)"),
    ("repeat", "n d -> (b n) d", (5, 4), {"b": 3}, "x.unsqueeze(0).broadcast_to((3, -1, -1)).flatten(0, 1)"),
    ("repeat", "b n -> b (n r)", (5, 4), {"r": 3}, "x.unsqueeze(2).broadcast_to((-1, -1, 3)).flatten(1)"),
    ("reduce mean", "b c h w -> b c", (2, 5, 4, 6), {}, "x.mean((2, 3))"),
    ("reduce max", "b c (h p) w -> b h c", (2, 5, 4, 6), {"p": 2},
     "x.reshape(x.shape[0], x.shape[1], -1, 2, x.shape[3]).amax((3, 4)).swapaxes(1, 2)"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "pattern", "shape", "lengths", "text"), CHAINS)
def test_a_pattern_is_its_chain(
    function: str, pattern: str, shape: tuple[int, ...], lengths: dict[str, int], text: str
) -> None:
    name, _, reduction = function.partition(" ")
    given = {axis: str(length) for axis, length in lengths.items()}
    chain = method_chain(Rearrangement(name, "x", True, pattern, given, reduction))
    assert chain == text
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = getattr(einops, name)(x, pattern, *([reduction] if reduction else []), **lengths)
    assert torch.equal(eval(text, {"x": x}), expected)


@pytest.mark.parametrize(
    ("function", "pattern", "lengths"),
    [
        ("rearrange", "b ... d -> b (...) d", {}),
        ("rearrange", "b (h w) -> b h w", {}),  # neither length is known
        ("rearrange", "b c -> b", {}),
        ("repeat", "b c -> b c r", {}),
        ("repeat", "h w -> h w 3", {}),
    ],
)
def test_a_pattern_without_a_short_form_goes_to_the_function(function: str, pattern: str, lengths: dict[str, str]) -> None:
    assert method_chain(Rearrangement(function, "x", True, pattern, lengths)) is None


def test_a_tensor_that_is_computed_is_not_computed_twice() -> None:
    assert method_chain(Rearrangement("rearrange", "self.q(x)", False, "b n (h d) -> b h n d", {"h": "3"})) is None
    assert method_chain(Rearrangement("rearrange", "self.q(x)", False, "b n d -> b d n", {})) == "self.q(x).swapaxes(1, 2)"


def test_einsum_patterns() -> None:
    assert short_equation("batch i d, batch j d -> batch i j") == "abc, adc -> abd"
    assert short_equation("b i d, b j d -> b i j") == "bid, bjd -> bij"
    assert short_equation("... i d, ... j d -> ... i j") == "...id, ...jd -> ...ij"


def test_what_may_be_a_list_goes_to_the_function() -> None:
    text = (
        "import torch\nfrom einops import rearrange\n\n\n"
        "def f(x: torch.Tensor, y):\n    return rearrange(x, 'b c -> c b'), rearrange(y, 'n b c -> b (n c)')\n"
    )
    ported = convert_source(text)
    assert "return x.swapaxes(0, 1), ms_extras.rearrange(y, 'n b c -> b (n c)')" in ported.text
    assert "einops" not in ported.text
    assert ported.diagnostics == ()


def test_a_lambda_that_is_mapped_in_a_network_becomes_a_comprehension() -> None:
    text = (
        "import torch\nfrom torch import nn\nfrom einops import rearrange\n\n\n"
        "class Net(nn.Module):\n    def forward(self, x: torch.Tensor, h: int):\n"
        "        q, k = map(lambda t: rearrange(t, 'b n (h d) -> b h n d', h = h), x.chunk(2, dim=-1))\n"
        "        return q, list(map(lambda t, u: t + u, (q, k), (k, q)))\n"
    )
    ported = convert_source(text)
    assert "q, k = [t.reshape(t.shape[0], t.shape[1], h, -1).swapaxes(1, 2) for t in x.chunk(2, -1)]" in ported.text
    assert "list([t + u for t, u in zip((q, k), (k, q))])" in ported.text
    assert ported.diagnostics == ()
