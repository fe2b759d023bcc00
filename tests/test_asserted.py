"""Assertions about the flag of gradients: those on tensors go, those on parameters and those that ask for more stay."""

from __future__ import annotations

import mindspore
import numpy as np
import torch

SOURCE = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x, mask):
        assert (not mask.requires_grad) and not x.requires_grad, "inputs only"
        assert self.scale.requires_grad
        assert x.shape[0] == 2
        return x * self.scale * mask


def check(x: torch.Tensor):
    if x is not None:
        assert not x.requires_grad
    return x
"""


def test_assertions_that_a_mindspore_tensor_cannot_answer_go(sides) -> None:
    original, ported, text = sides(SOURCE)
    assert "mask.requires_grad" not in text and "inputs only" not in text and "        pass\n    return x\n" in text
    assert "assert self.scale.requires_grad\n        assert x.shape[0] == 2\n" in text
    x, mask = np.ones((2, 3), np.float32), np.array([1, 0, 1], np.float32)
    expected = original.Net()(torch.tensor(x), torch.tensor(mask)).detach().numpy()
    np.testing.assert_array_equal(ported.Net()(mindspore.Tensor(x), mindspore.Tensor(mask)).asnumpy(), expected)
    assert ported.check(mindspore.Tensor(x)).shape == (2, 3)


FLAGS = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Parameter(torch.ones(3)).requires_grad_(False)
        self.free = nn.Parameter(torch.ones(3), requires_grad=False).requires_grad_()
        self.later = nn.Parameter(torch.ones(3))
        self.later.requires_grad_(False)
        self.plain = nn.Parameter(torch.ones(3))


def flags(net):
    return {name: p.requires_grad for name, p in net.named_parameters()}
"""


def test_a_new_parameter_has_the_flag_set_where_it_is_made(sides) -> None:
    original, ported, _ = sides(FLAGS)
    wanted = {name: p.requires_grad for name, p in original.Net().named_parameters()}
    assert wanted == {"frozen": False, "free": True, "later": False, "plain": True}
    assert {p.name: p.requires_grad for p in ported.Net().get_parameters()} == wanted
