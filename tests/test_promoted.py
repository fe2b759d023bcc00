"""Pointwise functions of integers are float32, as torch has them; of anything else they stay as short as they were."""

from __future__ import annotations

import numpy as np
import pytest

SOURCE = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def forward(self, x, ids):
        places = torch.arange(ids.shape[1]) + 1
        mask = x > 0
        scale = torch.rsqrt(torch.tensor(2))
        far = places.unsqueeze(0).log1p() + torch.cos(places - 1) * scale
        return torch.sigmoid(ids.long()) * far + torch.exp(x) + mask.sin() + torch.tanh(places * 0.5)
"""


@pytest.mark.parametrize("graph", [False, True])
def test_integers_are_promoted_as_in_torch(sides, graph):
    import mindspore
    import torch

    original, ported, text = sides(SOURCE)
    x = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    ids = np.array([[0, 1, 2], [3, 1, 0]])
    expected = original.Net()(torch.tensor(x), torch.tensor(ids)).numpy()
    mindspore.set_context(mode=mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)
    try:
        found = ported.Net()(mindspore.Tensor(x), mindspore.Tensor(ids)).asnumpy()
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert "ops.exp(x)" in text and "ops.tanh(places * 0.5)" in text


def test_unknown_and_floating_tensors_stay_plain(sides):
    text = sides("import torch\n\ndef f(x, y):\n    y = y.float()\n    return torch.cos(x) + torch.log(y) + torch.rsqrt(torch.tensor(2.0))\n").text
    assert "astype" not in text and "ops.cos(x) + ops.log(y) + ops.rsqrt(" in text


def test_each_function_that_is_promoted_gives_the_numbers_of_torch(sides):
    import mindspore
    import torch

    from porter.promoted import _FLOATING

    names = sorted(_FLOATING - {"expit"})
    lines = "".join(f"    found.append(torch.{n}(x.long()))\n    found.append(x.int().{n}())\n" for n in names)
    original, ported, text = sides(f"import torch\n\n\ndef f(x: torch.Tensor):\n    found = []\n{lines}    return found\n")
    assert text.count(".astype(mindspore.float32)") == 2 * len(names)
    x = np.array([1.2, 0.0, 1.9], dtype=np.float32)
    for name, wanted, got in zip([n for n in names for _ in range(2)], original.f(torch.tensor(x)), ported.f(mindspore.Tensor(x)), strict=True):
        assert got.dtype == mindspore.float32
        np.testing.assert_allclose(got.asnumpy(), wanted.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


def test_integers_stay_integers_through_functions_that_only_move_them(sides):
    import mindspore
    import torch

    original, ported, text = sides(
        "import torch\nfrom einops import rearrange, repeat\nfrom torch import arange, unsqueeze\n\n\n"
        "def f(n: int):\n    a = repeat(torch.arange(1, n + 1), 'n -> d n', d=2)\n    b = rearrange(unsqueeze(arange(n), 0), 'd n -> n d')\n"
        "    return torch.log(a), torch.cos(b)\n\n\ndef g(x):\n    return torch.log(repeat(x, 'n -> d n', d=2)), torch.cos(torch.unsqueeze(x, 0))\n"
    )
    for wanted, got in zip(original.f(3), ported.f(3), strict=True):
        assert got.dtype == mindspore.float32
        np.testing.assert_allclose(got.asnumpy(), wanted.numpy(), rtol=1e-6)
    assert text.count("astype") == 2
    assert torch.is_tensor(original.g(torch.ones(3))[0]) and "astype" not in text.partition("def g")[2]
