"""Networks that a program makes are in training mode, wherever its statements make them."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_training import ported_module, torch_module

from porter.convert import convert_source, convert_tree

HEAD = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.layer(x))


class Holder:
    def __init__(self, net):
        self.net = net


def several(count):
    return [Net() for _ in range(count)]


def train(count):
    %s
    optimizer = torch.optim.SGD(used.parameters(), lr=0.1)
    for _ in range(count):
        loss = used(torch.ones(2, 3)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return used.training
"""

MADE = {
    "tuple": "used, other = Net(), Net()",
    "list": "used = [Net() for _ in range(2)][0]\n    used, other = [Net(), nn.Sequential(Net())]",
    "dictionary": 'nets = {"a": Net(), "b": Net()}\n    used = nets["a"]',
    "annotated": "used: nn.Module = Net()",
    "either": "used = Net() if count > 2 else nn.Sequential(Net())",
    "argument": "used = Holder(net=Net()).net\n    holder = Holder(Net())\n    used = holder.net",
    "parallel": "used = nn.DataParallel(Net()).cpu()",
    "returned": "used = several(2)[1]",
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_a_network_is_made_in_training_mode(made: str, tmp_path: Path) -> None:
    source = HEAD % made
    ported = ported_module(source, tmp_path, "made")
    assert torch_module(source, "made").train(1) is True
    assert ported.train(1) is True


def test_a_network_that_only_predicts_is_left_alone() -> None:
    source = (HEAD % "used, other = Net(), Net()").replace("loss.backward()", "pass")
    assert ".set_train()" not in convert_source(source).text


@pytest.mark.parametrize("imports, made", [("import parts", "parts.Net()"), ("import parts as p", "p.Net()"), ("from parts import Net", "Net()")])
def test_a_network_of_a_file_beside_the_script_is_known(imports: str, made: str) -> None:
    """Several folders of scripts, each with modules of the same names."""
    parts = (HEAD % "used = Net()").partition("class Holder")[0]
    script = f"import torch\n{imports}\n\nnet = {made}\noptimizer = torch.optim.SGD(net.parameters(), lr=0.1)\nfor _ in range(2):\n"
    script += "    loss = net(torch.ones(2, 3)).sum()\n    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\n"
    sources = {f"{folder}/{name}": text for folder in ("one", "two") for name, text in (("parts.py", parts), ("train.py", script))}
    tree = convert_tree(sources)
    assert not tree.diagnostics
    for folder in ("one", "two"):
        assert f"net = {made}.set_train()" in tree.files[f"{folder}/train.py"]
