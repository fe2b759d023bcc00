"""LU factors as flows with invertible convolutions make them."""

from __future__ import annotations

import mindspore
import numpy as np
import pytest
import torch

SOURCE = """\
import torch


def factors(q: torch.Tensor):
    P, L, U = torch.lu_unpack(*q.lu())
    return P, L, U, torch.linalg.lu(q)
"""


@pytest.mark.filterwarnings("ignore:torch.lu is deprecated")
def test_factors_give_the_matrix_again_and_are_those_of_torch(sides) -> None:
    original, ported, _ = sides(SOURCE)
    q = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0].astype(np.float32)
    wanted = original.factors(torch.tensor(q))
    found = ported.factors(mindspore.Tensor(q))
    P, L, U = (t.asnumpy() for t in found[:3])
    np.testing.assert_allclose(P @ L @ U, q, atol=1e-5)
    assert (np.eye(6) != P).any()  # rows were exchanged
    for got, want in zip([*found[:3], *found[3]], [*wanted[:3], *wanted[3]], strict=True):
        assert got.dtype == mindspore.float32
        np.testing.assert_allclose(got.asnumpy(), want.numpy(), atol=1e-5)


def test_a_gradient_through_the_factors_is_refused_aloud(sides) -> None:
    _, ported, _ = sides(SOURCE)
    with pytest.raises(RuntimeError, match="bprop"):
        mindspore.grad(lambda a: (ported.factors(a)[3][2] ** 2).sum())(mindspore.Tensor(np.eye(3, dtype=np.float32) + 1))
