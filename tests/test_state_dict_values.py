"""The values of state_dict() are the network's own: what changes them in place changes the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import Sides, same_weights

SOURCE = """import copy
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0]))
        self.register_buffer("count", torch.tensor([4]))

    def forward(self, x):
        return self.fc(x) * self.scale


class Average:
    def __init__(self, model):
        self.ema = copy.deepcopy(model).eval()

    @torch.no_grad()
    def augmented(self, model):
        state = model.state_dict()
        for k, v in self.ema.state_dict().items():
            if v.dtype.is_floating_point:
                v *= 0.75
                v += 0.25 * state[k].detach()

    def copied(self, model):
        with torch.no_grad():
            for ours, theirs in zip(self.ema.state_dict().values(), model.state_dict().values()):
                ours.copy_(0.75 * ours + 0.25 * theirs)

    def by_key(self, model):
        own = self.ema.state_dict()
        for key, value in model.state_dict().items():
            own[key].copy_(value)
        own["scale"].mul_(3)


def averaged(model: Net, how):
    average = Average(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    model.scale.mul_(2)
    getattr(average, how)(model)
    return average.ema
"""


@pytest.mark.parametrize("how", ["augmented", "copied", "by_key"])
def test_what_is_changed_in_place_is_the_network(sides: Callable[[str], Sides], how: str) -> None:
    both = sides(SOURCE)
    reference, own = both.original.Net(), both.ported.Net()
    same_weights(own, reference)
    wanted = both.original.averaged(reference, how).state_dict()
    found = {p.name: p.asnumpy() for p in both.ported.averaged(own, how).get_parameters()}
    assert not torch.equal(wanted["scale"], torch.tensor([1.0, 2.0, 3.0]))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-6, err_msg=name)
