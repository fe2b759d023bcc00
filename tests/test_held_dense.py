"""Sparse tensors are held dense; what a dense tensor would answer otherwise is named."""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
import pytest
import torch
from test_training import ported_module, torch_module

from porter.convert import convert_source

HEAD = "import torch\n\n\ndef f(x: torch.Tensor, flag=None):\n    "


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ("return x.is_sparse", []),
        ("return torch.sparse.mm(x, x) if x.is_sparse else x", ["MSP201"]),
        ("return x.pow(-0.5)", []),
        ("return x.to_sparse().pow(-0.5)", ["MSP604"]),
        ("return x.to_sparse().pow(2)", []),
        ("return x.to_sparse()._nnz()", ["MSP101"]),
        ("return torch.sparse.softmax(x, 1)", ["MSP201"]),
    ],
)
def test_what_a_dense_tensor_answers_otherwise_is_named(body: str, codes: list[str]) -> None:
    assert [d.code for d in convert_source(HEAD + body + "\n").diagnostics] == codes


GRAPH = """import torch


def normalized(edges, weights, nodes):
    links = torch.sparse_coo_tensor(edges, weights, (nodes, nodes))
    links = torch.eye(nodes) + links
    scale = torch.diag(links.sum(1) ** -0.5).to_sparse()
    return (scale @ links @ scale).to_sparse()


def smoothed(edges, weights, x):
    return torch.spmm(normalized(edges, weights, 4), x).tanh()
"""


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_a_graph_is_normalized_as_in_torch(tmp_path: Path) -> None:
    edges = np.array([[0, 0, 3, 2], [1, 1, 2, 0]])
    weights, x = np.array([1, 2, 3, 0.5], np.float32), np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    reference = torch_module(GRAPH, "graph_reference").smoothed(torch.tensor(edges), torch.tensor(weights), torch.tensor(x))
    ported = ported_module(GRAPH, tmp_path, "graph_ported").smoothed(mindspore.Tensor(edges), mindspore.Tensor(weights), mindspore.Tensor(x))
    np.testing.assert_allclose(ported.asnumpy(), reference.numpy(), rtol=1e-5)


def test_a_gradient_through_to_sparse_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    """torch gives the zeros a gradient in a product, and none in a sum."""
    source = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.sparse.sum(x.to_sparse())\n"
    grad = mindspore.grad(ported_module(source, tmp_path, "sparse_sum").f)
    with pytest.raises(RuntimeError, match="no gradient through to_sparse"):
        grad(mindspore.Tensor([1.0, 0.0]))
