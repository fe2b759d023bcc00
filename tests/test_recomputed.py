"""Gradient checkpointing by hand: the call alone, whose gradient is MindSpore's own; a backward pass that does more stays refused."""

from __future__ import annotations

import numpy as np
import pytest

from porter.convert import convert_source

FUNCTION = """\
import torch
import torch.nn as nn


class Recompute(torch.autograd.Function):
    \"\"\"Keeps no activations.\"\"\"

    @staticmethod
    def forward(ctx, run, length, *args):
        ctx.run = run
        ctx.inputs = list(args[:length])
        ctx.rest = list(args[length:])
        with torch.no_grad():
            outputs = ctx.run(*ctx.inputs)
        return outputs

    @staticmethod
    def backward(ctx, *grads):
        ctx.inputs = [x.detach().requires_grad_(True) for x in ctx.inputs]
        with torch.enable_grad():
            copies = [x.view_as(x) for x in ctx.inputs]
            outputs = ctx.run(*copies)
        found = torch.autograd.grad(outputs, ctx.inputs + ctx.rest, grads, allow_unused=True)
        del outputs
        return (None, None) + found
"""
NET = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        nn.init.constant_(self.layer.weight, 0.3)
        nn.init.constant_(self.layer.bias, -0.1)

    def part(self, x, y):
        return torch.tanh(self.layer(x)) * y

    def forward(self, x, y):
        inputs = (x, y)
        return Recompute.apply(self.part, len(inputs), *inputs, *tuple(self.parameters())) + x
"""


def test_the_call_has_the_values_and_gradients_of_torch(sides):
    import mindspore
    import torch

    original, ported, text = sides(FUNCTION + NET, "MSP611")  # a graph does not list the parameters
    assert "outputs = run(*inputs)" in text and "bprop" not in text and "stop_gradient" not in text
    x, y = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), np.full((2, 3), 0.7, np.float32)
    net, cell = original.Net(), ported.Net()
    given = [torch.tensor(a, requires_grad=True) for a in (x, y)]
    expected = net(*given)
    expected.square().sum().backward()

    def loss(*values):
        return cell(*values).square().sum()

    values = [mindspore.Tensor(a) for a in (x, y)]
    np.testing.assert_allclose(cell(*values).asnumpy(), expected.detach().numpy(), rtol=1e-6)
    inputs, weights = mindspore.grad(loss, grad_position=(0, 1), weights=mindspore.ParameterTuple(cell.trainable_params()))(*values)
    for leaf, got in zip(given, inputs, strict=True):
        np.testing.assert_allclose(got.asnumpy(), leaf.grad.numpy(), rtol=1e-5, atol=1e-6)
    for leaf, got in zip(net.parameters(), weights, strict=True):
        np.testing.assert_allclose(got.asnumpy(), leaf.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ctx.run(*copies)", "run_another(*copies)"),
        ("torch.enable_grad()", "torch.no_grad()"),
        ("torch.autograd.grad(outputs, ctx.inputs + ctx.rest, grads, allow_unused=True)", "tuple(grads)"),
        ("            outputs = ctx.run(*ctx.inputs)\n", "            outputs = ctx.run(*ctx.inputs)\n            outputs = outputs * 2\n"),
        ("        ctx.run = run\n", "        ctx.run = run\n        ctx.save_for_backward(*args)\n"),
        ("        ctx.run = run\n", "        ctx.run = make(run)\n"),
        ("        ctx.inputs = list(args[:length])\n", "        ctx.length = args\n        ctx.inputs = list(args[:length])\n"),
        ("        with torch.no_grad():\n            outputs = ctx", "        with torch.cuda.device(0):\n            outputs = ctx"),
    ],
)
def test_another_forward_or_backward_stays_refused(old, new):
    assert old in FUNCTION
    assert "MSP211" in [d.code for d in convert_source(FUNCTION.replace(old, new)).diagnostics]
