"""A list that a gradient function adds to is not its argument, and the function of an optimizer that may not exist stands beside its step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mindspore import Tensor
from test_training import HEAD, batches, copy_weights, ported_module, torch_module

GROWN = """
def train(model: Net, loader, adapt):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if adapt:
        scale = torch.full((1,), 0.5, requires_grad=True)
        of_scale = torch.optim.SGD([scale], lr=0.1)
    found = []
    for epoch in range(2):
        shares = []
        kept = []
        for x, y in loader:
            out = model(x)
            shares += [(out > 0).float().mean().item()]
            shares += [1.0, 2.0]
            loss = ((out - y) ** 2).mean()
            kept.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if adapt:
                with torch.no_grad():
                    out = model(x)
                fit = ((scale * out - y) ** 2).mean()
                of_scale.zero_grad()
                fit.backward()
                of_scale.step()
                found.append(fit.item())
        found += [sum(shares), sum(kept)]
    return found
"""


@pytest.mark.parametrize("adapt", [True, False])
def test_lists_grow_in_the_gradient_function(adapt: bool, tmp_path: Path) -> None:
    name = f"grown_{adapt}".lower()
    expected, ported = torch_module(HEAD + GROWN, name), ported_module(HEAD + GROWN, tmp_path, name)
    model, cell = expected.Net(), ported.Net().set_train()
    copy_weights(model, cell)
    data = batches(3, (4, 5), (4, 3))
    theirs = expected.train(model, [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in data], adapt)
    np.testing.assert_allclose(ported.train(cell, [(Tensor(x), Tensor(y)) for x, y in data], adapt), theirs, rtol=1e-4)
