"""Tensors that train outside of a network, and parameters that a script changes by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_training import ported_module, torch_module

from porter.convert import convert_source

BY_HAND = """
import torch

w = torch.tensor([1.0, 0.5], requires_grad=True)
b = torch.zeros(1, requires_grad=True)


def predict(x):
    return (x * w).sum() + b


losses = []
for epoch in range(4):
    for x, y in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]:
        loss = ((predict(x) - y) ** 2).sum()
        if w.grad is not None:
            w.grad.zero_()
        loss.backward()
        UPDATE
        b.grad = None
        losses.append(loss.item())
"""
UPDATES = {
    "data": "w.data -= 0.01 * w.grad.data; b.data = b.data - 0.02 * b.grad",
    "no_grad": "\n        with torch.no_grad():\n            w -= 0.01 * w.grad\n            b.sub_(0.02 * b.grad)",
    "list": "\n        for p in [w, b]:\n            p.data.add_(p.grad.data, alpha=-0.01)",
}


@pytest.mark.parametrize("name", UPDATES)
def test_leaves_are_changed_by_hand(name: str, tmp_path: Path) -> None:
    source = BY_HAND.replace("UPDATE", UPDATES[name])
    ported = ported_module(source, tmp_path, f"leaf_{name}")
    np.testing.assert_allclose(
        ported.losses, torch_module(source, f"leaf_{name}").losses, rtol=1e-4, atol=1e-6
    )


SOLVERS = """
import torch
from torch import optim
from torch.autograd import Variable


def weights(*size):
    return Variable(torch.full(size, 0.5), requires_grad=True)


first = weights(3, 4)
second = weights(4, 1)
bias = Variable(torch.zeros(1), requires_grad=True)
mine = [first, bias]
everything = mine + [second]


def run(x):
    return torch.tanh(x @ first) @ second + bias


x = torch.arange(6.0).reshape(2, 3) / 6
one, other = optim.Adam(mine, lr=0.1), optim.SGD([second], lr=0.1)
losses = []
for _ in range(6):
    for solver in (0, 1):
        loss = (run(x) - solver).pow(2).mean()
        loss.backward()
        if solver:
            one.step()
        else:
            other.step()
        for p in everything:
            if p.grad is not None:
                data = p.grad.data
                p.grad = Variable(data.new().resize_as_(data).zero_())
        losses.append(loss.item())
"""


def test_optimizers_are_given_lists_of_leaves(tmp_path: Path) -> None:
    ported = ported_module(SOLVERS, tmp_path, "leaf_solvers")
    np.testing.assert_allclose(
        ported.losses, torch_module(SOLVERS, "leaf_solvers").losses, rtol=1e-4, atol=1e-6
    )
    text = (tmp_path / "leaf_solvers.py").read_text("utf-8")
    assert "second = Parameter(weights(4, 1), name='second')" in text


def test_a_simple_step_takes_the_parameters_of_its_optimizer() -> None:
    source = "import torch\nw = torch.zeros(3, requires_grad=True)\no = torch.optim.SGD([w], lr=0.1)\nfor _ in range(3):\n" \
             "    loss = (w - 1).pow(2).sum()\n    o.zero_grad()\n    loss.backward()\n    o.step()\n"  # fmt: skip
    result = convert_source(source)
    assert not result.diagnostics
    assert "value_and_grad(forward_fn, None, o.parameters)" in result.text and "o(grads)" in result.text


CHANGED = """
import torch
from torch import nn

net = nn.Linear(3, 1)
with torch.no_grad():
    net.weight.copy_(torch.tensor([[0.5, -0.25, 1.0]]))
    net.bias.zero_()
x, y = torch.arange(12.0).reshape(4, 3) / 12, torch.ones(4, 1)
losses = []
for _ in range(4):
    loss = nn.functional.mse_loss(net(x), y)
    net.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in net.parameters():
            p -= 0.1 * p.grad
        net.bias += 0.01
        net.weight *= 0.9
    losses.append(loss.item())
"""


def test_an_augmented_assignment_changes_the_parameter_itself(tmp_path: Path) -> None:
    ported = ported_module(CHANGED, tmp_path, "leaf_augmented")
    np.testing.assert_allclose(
        ported.losses, torch_module(CHANGED, "leaf_augmented").losses, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    "source",
    [
        "w = torch.zeros(3, requires_grad=True)\nw = w * 2\nloss = w.sum()\nloss.backward()\nprint(w.grad)\n",  # bound twice
        "class A:\n    def __init__(self):\n        self.w = torch.zeros(3, requires_grad=True)\n    def step(self):\n"
        "        self.w.sum().backward()\n        return self.w.grad\n",
        "def f(w):\n    w.sum().backward()\n    return w.grad\nw = torch.zeros(3, requires_grad=True)\nprint(f(w), [w])\n",
    ],
)  # fmt: skip
def test_other_leaves_are_refused(source: str) -> None:
    assert convert_source("import torch\n" + source).diagnostics


NOISE = """
import torch

torch.manual_seed(0)
w = torch.ones(3, requires_grad=True)
losses = []
for _ in range(3):
    noisy = torch.arange(3.0) + 0.5 * torch.arange(3.0)
    noisy.data.clamp_(0.0, 1.0)
    loss = (noisy * w).sum()
    loss.backward()
    w.data -= 0.1 * w.grad
    w.grad.data.zero_()
    losses.append(loss.item())
"""


def test_data_of_what_was_computed_is_changed_under_its_name(tmp_path: Path) -> None:
    ported = ported_module(NOISE, tmp_path, "leaf_noise")
    np.testing.assert_allclose(ported.losses, torch_module(NOISE, "leaf_noise").losses, rtol=1e-4, atol=1e-6)


SHARED = """
import torch
from torch import nn

net = nn.Linear(3, 1)
with torch.no_grad():
    net.weight.fill_(0.5)
    net.bias.zero_()
one, other = torch.optim.SGD(net.parameters(), lr=0.1), torch.optim.Adam(net.parameters(), lr=0.1)
third = torch.optim.SGD(net.parameters(), lr=0.2)
x, y = torch.arange(12.0).reshape(4, 3) / 12, torch.ones(4, 1)
losses = []
for i in range(6):
    net.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    if i % 3 == 0:
        one.step()
    elif i % 3 == 1:
        other.step()
    else:
        third.step()
    losses.append(loss.item())
"""


def test_optimizers_of_one_network_take_its_gradients_once(tmp_path: Path) -> None:
    ported = ported_module(SHARED, tmp_path, "leaf_shared")
    np.testing.assert_allclose(ported.losses, torch_module(SHARED, "leaf_shared").losses, rtol=1e-4, atol=1e-6)


IDEAS = """
import torch
from torch import nn

net = nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    ideas = torch.ones(4, 3, requires_grad=True)
    loss = net(ideas).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def test_the_flag_of_an_input_that_nobody_asks_goes() -> None:
    result = convert_source(IDEAS)
    assert not result.diagnostics and "ideas = ops.ones((4, 3))" in result.text
    assert convert_source(IDEAS + "    print(ideas.grad)\n").text.count("Parameter") or convert_source(IDEAS + "    print(ideas.grad)\n").diagnostics
    assert convert_source(IDEAS.replace("    optimizer.step()", "    optimizer.step()\n    x = ideas.grad_fn")).diagnostics


PASSED = """
import torch

w = torch.full((2, 1), 0.25, requires_grad=True)
b = torch.zeros(1, requires_grad=True)


def linear(X, w, b):
    return torch.matmul(X, w) + b


def squared(y_hat, y):
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def sgd(params, lr, batch_size):
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad / batch_size
            param.grad.zero_()


data = torch.arange(24.0).reshape(12, 2) / 24
net, loss = linear, squared
losses = []
for i in range(0, 12, 4):
    x, y = data[i : i + 4], data[i : i + 4, :1] * 2 + 1
    l = loss(net(x, w, b), y)
    l.sum().backward()
    sgd([w, b], 0.1, 4)
    with torch.no_grad():
        losses.append(float(loss(net(data, w, b), data[:, :1]).mean()))
"""


def test_leaves_are_handed_to_functions_that_train_them(tmp_path: Path) -> None:
    ported = ported_module(PASSED, tmp_path, "leaf_passed")
    np.testing.assert_allclose(ported.losses, torch_module(PASSED, "leaf_passed").losses, rtol=1e-4, atol=1e-6)


def test_a_step_of_a_calculation_needs_no_flag_where_nothing_asks_for_gradients(sides):
    import mindspore
    import numpy as np
    import torch

    source = (
        "import torch\n\n\nclass Parts:\n    def __init__(self, places):\n        self.places = places\n\n    def joined(self, parts):\n"
        "        parts = torch.cat(parts, 0)\n        zeros = torch.zeros(3, parts.size(1), requires_grad=True)\n"
        "        return zeros.index_add(0, self.places, parts.float())\n"
    )
    original, ported, _ = sides(source)
    parts = [np.ones((1, 2), np.float32), np.full((2, 2), 2, np.float32)]
    places = np.array([0, 2, 0])
    wanted = original.Parts(torch.tensor(places)).joined([torch.tensor(p) for p in parts]).detach().numpy()
    got = ported.Parts(mindspore.Tensor(places)).joined([mindspore.Tensor(p) for p in parts]).asnumpy()
    np.testing.assert_array_equal(got, wanted)


def test_a_new_tensor_that_is_handed_on_keeps_its_refusal():
    from porter.convert import convert_source

    for line in ("return zeros", "return [zeros]", "loss = zeros.sum()\n    loss.backward()", "f(zeros)"):
        source = f"import torch\n\n\ndef f(x):\n    zeros = torch.zeros(3, requires_grad=True)\n    {line}\n"
        assert convert_source(source).diagnostics, line
