"""Contexts that switch gradients: by a constant, by a value, in a network and in a training step."""

from __future__ import annotations

import textwrap

import pytest

from porter.convert import convert_source


def construct(body: str) -> tuple[str, list[str]]:
    """A forward's body as it is ported, and the codes of its diagnostics."""
    source = "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x: torch.Tensor):\n"
    result = convert_source(source + textwrap.indent(body, " " * 8) + "\n", path="net.py")
    lines = result.text[result.text.index("def construct") :].splitlines()[1:]
    return textwrap.dedent("\n".join(lines)).strip(), [d.code for d in result.diagnostics]


@pytest.mark.parametrize(
    ("torch", "ported"),
    [
        (
            "with torch.set_grad_enabled(self.training):\n    y = x * 2\nreturn y",
            "y = x * 2\nif not self.training:\n    y = ops.stop_gradient(y)\nreturn y",
        ),
        (
            "with torch.set_grad_enabled(not self.frozen):\n    y = x * 2\nreturn y",
            "y = x * 2\nif self.frozen:\n    y = ops.stop_gradient(y)\nreturn y",
        ),
        (
            "with torch.set_grad_enabled(mode=self.a and self.b):\n    y = x * 2\nreturn y",
            "y = x * 2\nif not (self.a and self.b):\n    y = ops.stop_gradient(y)\nreturn y",
        ),
        ("with torch.set_grad_enabled(True):\n    y = x * 2\nreturn y", "y = x * 2\nreturn y"),
        (
            "with torch.set_grad_enabled(mode=False):\n    y = x * 2\nreturn y",
            "y = x * 2\ny = ops.stop_gradient(y)\nreturn y",
        ),
        ("with torch.no_grad(): y = x * 2\nreturn y", "y = x * 2\ny = ops.stop_gradient(y)\nreturn y"),
        ("with torch.autograd.set_detect_anomaly(True):\n    y = x * 2\nreturn y", "y = x * 2\nreturn y"),
    ],
)
def test_a_switch_in_a_network(torch: str, ported: str) -> None:
    assert construct(torch) == (ported, [])


@pytest.mark.parametrize(
    "body",
    [
        "with torch.set_grad_enabled(self.training):\n    return x * 2",
        "on = True\nwith torch.set_grad_enabled(on):\n    on = False\n    y = x * 2\nreturn y",
    ],
)
def test_a_switch_that_cannot_be_told_is_named_and_left(body: str) -> None:
    text, codes = construct(body)
    assert codes == ["MSP205"]
    assert "with torch.set_grad_enabled(" in text


def test_a_switch_around_a_training_step_goes() -> None:
    source = """
    import torch

    def train(model, loaders, optimizer, criterion):
        for phase in ["train", "val"]:
            for inputs, labels in loaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    loss = criterion(model(inputs), labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()


    def main(loaders):
        model = torch.nn.Linear(3, 2)
        train(model, loaders, torch.optim.SGD(model.parameters(), lr=0.1), torch.nn.MSELoss())
    """
    text = convert_source(textwrap.dedent(source), path="train.py").text
    assert "with " not in text
    assert '            if phase == "train":\n                loss, grads = grad_fn(inputs, labels)\n            else:\n' in text


def test_a_switch_whose_argument_a_star_gives_is_named() -> None:
    source = "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x, modes):\n        with torch.set_grad_enabled({0}):\n            y = x * 2\n        return y\n"
    written, spread = (convert_source(source.replace("{0}", given)) for given in ("modes", "*modes"))
    assert not written.diagnostics and "if not modes:" in written.text
    assert [d.code for d in spread.diagnostics] == ["MSP205"]
