"""What published training scripts do beside the plain loop: each case runs on both sides from the same start."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from mindspore import Tensor

from porter.convert import convert_source
from porter.formats import quote_of, requoted
from tests.test_training import HEAD, batches, copy_weights, ported_module, torch_module

MAYBE_STATE = """
def train(model: Net, loader: DataLoader, recurrent=False):
    losses = []
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    state, seen = None, 0
    if recurrent:
        state = torch.zeros(3)
    for x, y in loader:
        optimizer.zero_grad()
        if recurrent:
            state = state.detach()
            state = model(x).mean(0) + state
            loss = nn.functional.cross_entropy(state[None], y[:1])
        else:
            loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses + [state is None]
"""

GROUPED = """
def train(model: Net, loader: DataLoader):
    losses = []
    model.train()
    decay = [p for n, p in model.named_parameters() if n.endswith("weight") and "norm" not in n]
    rest = [p for n, p in model.named_parameters() if n.endswith("bias")]
    norms = [p for n, p in model.named_parameters() if n == "norm.weight"]
    optimizer = optim.AdamW([{"params": decay, "weight_decay": 0.5}, {"params": rest + norms, "weight_decay": 0.0}], lr=0.05)
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses + [len(decay), len(rest), len(norms)]
"""

OWN_TRAIN = """
class Layer(nn.Linear):
    def __init__(self, m, n):
        super().__init__(m, n)
        self.drop = nn.Dropout(0.5)
        self.opt = optim.Adam(self.parameters(), lr=0.1)

    def forward(self, x):
        return torch.relu(super().forward(x))

    def train(self, x, y):
        for _ in range(3):
            loss = (self.forward(x).mean(1) - y).pow(2).mean()
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()
        return loss


def made():
    layer = Layer(5, 4)
    return layer
"""


@pytest.mark.parametrize("name, source", [("maybe_state", MAYBE_STATE), ("grouped", GROUPED)])
def test_script_trains_as_torch_does(name: str, source: str, tmp_path: Path) -> None:
    reference, ported = torch_module(HEAD + source, f"reference_{name}"), ported_module(HEAD + source, tmp_path, f"ported_{name}")
    made = batches(6, (6, 5), classes=3)
    for flags in ([{}, {"recurrent": True}] if name == "maybe_state" else [{}]):
        torch.manual_seed(0)
        model, cell = reference.Net(), ported.Net()
        copy_weights(model, cell)
        expected = reference.train(model, [tuple(torch.from_numpy(a) for a in b) for b in made], **flags)
        assert ported.train(cell, [tuple(Tensor(a) for a in b) for b in made], **flags) == pytest.approx(expected, rel=1e-4)


def test_a_train_method_of_its_own_keeps_the_training_mode(tmp_path: Path) -> None:
    layer = ported_module(HEAD + OWN_TRAIN, tmp_path, "ported_own_train").made()
    assert layer.training and layer.drop.training
    x, y = Tensor(np.ones((2, 5), np.float32)), Tensor(np.ones(2, np.float32))
    first = float(layer.set_train(x, y).asnumpy())
    assert float(layer.set_train(x, y).asnumpy()) < first


LOOKUP = """
import torch
from torch import nn


def copied(model: nn.Module, path):
    state = torch.load(path)
    for name, p in model.named_parameters():
        if name in {container}:
            p.data.copy_({container}[name])
"""


@pytest.mark.parametrize("container, codes", [("state", ["MSP613", "MSP613"]), ("names", [])])
def test_state_dicts_are_not_looked_up_by_names_of_parameters(container: str, codes: list[str]) -> None:
    found = [d.code for d in convert_source(LOOKUP.replace("{container}", container).replace("path)", "path, names)")).diagnostics]
    assert [c for c in found if c == "MSP613"] == codes


QUOTES = """
import torch


def name(device: torch.device, args):
    return f{0}{{device.type}}:{{args.gpu}}{0}
"""


@pytest.mark.parametrize("quote", ["'", '"', '"""'])
def test_strings_inside_an_f_string_take_the_other_quote(quote: str) -> None:
    ported = convert_source(QUOTES.format(quote))
    assert not ported.diagnostics and "partition(" in ported.text
    ast.parse(ported.text)


@pytest.mark.parametrize(
    "text, quote, expected",
    [
        ("x.partition(':')[0]", "'", 'x.partition(":")[0]'),
        ("x.partition(':')[0]", '"', "x.partition(':')[0]"),
        ("f(r'a', b\"c\")", "'", 'f(r"a", b"c")'),
        ("""f('say "x"')""", "'", """f('say "x"')"""),
        ("f('', d[''])", "'", 'f("", d[""])'),
    ],
)
def test_requoted(text: str, quote: str, expected: str) -> None:
    assert requoted(text, quote) == expected


def test_quote_of() -> None:
    assert [quote_of(t) for t in ("f'a\"'", 'rf"a\'"', "f'''a'''", 'f""')] == ["'", '"', "'''", '"']


def test_copies_are_asked_for_in_the_words_of_numpy_1() -> None:
    source = "import numpy as np\nimport torch\n\n\ndef f(x, y):\n    return np.array(x, copy=None), np.array(y, copy=True), y.get(copy=None)\n"
    assert "np.array(x, copy=False), np.array(y, copy=True), y.get(copy=None)" in convert_source(source).text
