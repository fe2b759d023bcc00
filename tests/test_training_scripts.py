"""What published training scripts do beside the plain loop: each case runs on both sides from the same start."""

from __future__ import annotations

import ast
import textwrap
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
    torch.manual_seed(0)
    reference = torch_module(HEAD + OWN_TRAIN, "reference_own_train").made()
    layer = ported_module(HEAD + OWN_TRAIN, tmp_path, "ported_own_train").made()
    for own, torchs in ((layer.weight, reference.weight), (layer.bias, reference.bias)):
        own.set_data(Tensor(torchs.detach().numpy()))
    assert layer.training and layer.drop.training
    x, y = np.linspace(-1, 2, 10, dtype=np.float32).reshape(2, 5), np.ones(2, np.float32)
    expected = [float(reference.train(torch.from_numpy(x), torch.from_numpy(y)).detach()) for _ in range(3)]
    assert len(set(expected)) == 3
    assert [float(layer.set_train(Tensor(x), Tensor(y)).asnumpy()) for _ in range(3)] == pytest.approx(expected, rel=1e-4)


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

HEADS = """
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, 8)
        self.one = nn.Linear(8, 3)
        self.two = nn.Linear(8, 2)


def train(model: Pair, loader: DataLoader):
    losses = []
    body = model.body
    optimizer = optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.5)
    turn = 0
    for x, y in loader:
        optimizer.zero_grad()
        if turn % 3 == 0:
            loss_two = nn.functional.cross_entropy(model.two(body(x)), y % 2)
            loss_two.backward()
            losses.append(loss_two.item())
        else:
            loss_one = nn.functional.cross_entropy(model.one(body(x)), y)
            loss_one.backward()
            losses.append(loss_one.item())
        optimizer.step()
        turn += 1
    return losses
"""

APART = """
def train(first: nn.Linear, second: nn.Linear, loader: DataLoader):
    losses = []
    optimizer = optim.SGD(list(first.parameters()) + list(second.parameters()), lr=0.1, momentum=0.9, weight_decay=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(first(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""


def held_in(body: str, alias: str = "") -> str:
    """The parameters that the gradient of a loss is taken for, where the optimizer holds a body and two heads."""
    source = HEADS.replace("model.two(body(x))", body).replace("    body = model.body\n", alias)
    return convert_source(HEAD + source).text.partition("forward_loss_two, None, ")[2].partition(")\n")[0]


@pytest.mark.parametrize(
    "body, alias, held",
    [
        ("model.two(model.body(x))", "", "ms_extras.all_parameters(model.body.trainable_params(), model.two.trainable_params())"),
        ("model.two(body(x))", "    body = model.body\n", "optimizer.parameters"),
        ("model.two(model.body(x)) + model.one.bias[:2]", "", "optimizer.parameters"),
        ("model.two(model.body(x)) + sum(p.sum() for p in model.parameters())", "", "optimizer.parameters"),
        ("model(x)", "", "optimizer.parameters"),
    ],
)
def test_a_gradient_is_taken_for_all_that_the_loss_may_reach(body: str, alias: str, held: str) -> None:
    assert held_in(body, alias) == held


def test_heads_that_take_turns_train_as_in_torch(tmp_path: Path) -> None:
    source = HEAD + HEADS.replace("(body(x))", "(model.body(x))").replace("    body = model.body\n", "")
    reference, ported = torch_module(source, "reference_heads"), ported_module(source, tmp_path, "ported_heads")
    torch.manual_seed(0)
    model, cell = reference.Pair(), ported.Pair()
    copy_weights(model, cell)
    made = batches(9, (6, 5), classes=3)
    expected = reference.train(model, [tuple(torch.from_numpy(a) for a in b) for b in made])
    assert ported.train(cell, [tuple(Tensor(a) for a in b) for b in made]) == pytest.approx(expected, rel=1e-4)


def test_networks_that_the_loss_does_not_reach_stay_as_they_are(tmp_path: Path) -> None:
    reference, ported = torch_module(HEAD + APART, "reference_apart"), ported_module(HEAD + APART, tmp_path, "ported_apart")
    from mindspore import nn

    torch.manual_seed(0)
    models, cells = [torch.nn.Linear(5, 3) for _ in range(2)], [nn.Dense(5, 3) for _ in range(2)]
    for model, cell in zip(models, cells):
        copy_weights(model, cell)
    made = batches(6, (6, 5), classes=3)
    expected = reference.train(*models, [tuple(torch.from_numpy(a) for a in b) for b in made])
    actual = ported.train(*cells, [tuple(Tensor(a) for a in b) for b in made])
    assert actual == pytest.approx(expected, rel=1e-4)
    for model, cell in zip(models, cells):
        np.testing.assert_allclose(cell.weight.asnumpy(), model.weight.detach().numpy(), rtol=1e-4, atol=1e-6)


UNUSED = """
import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 2)
        self.b = nn.Linear(3, 2)
        self.drop = nn.Dropout(0.1)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return self.a(x){use}


def train(net: Net, loader):
    optimizer = optim.SGD(net.parameters(), lr=0.1{decay})
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
"""


@pytest.mark.parametrize(
    "use, decay, codes",
    [
        ("", ", weight_decay=1e-4", ["MSP614"]),
        ("", "", []),
        ("", ", weight_decay=0", []),
        (" + self.b(x)", ", weight_decay=1e-4", []),
        (" + getattr(self, 'b')(x)", ", weight_decay=1e-4", []),
        (" + sum(m.weight.sum() for m in self.children())", ", weight_decay=1e-4", []),
    ],
)
def test_parameters_that_no_code_uses_are_named(use: str, decay: str, codes: list[str]) -> None:
    found = [d.code for d in convert_source(UNUSED.replace("{use}", use).replace("{decay}", decay)).diagnostics]
    assert [c for c in found if c == "MSP614"] == codes


CLASSES = "import torch\nfrom torch import nn\n\n\ndef kept(net: nn.Module):\n    kinds = (nn.Linear, nn.LayerNorm)\n{}    return [m for m in net.modules() if isinstance(m, kinds)]\n"


def test_classes_that_isinstance_asks_for_are_those_of_the_layers() -> None:
    assert "kinds = (nn.Dense, nn.LayerNorm)" in convert_source(CLASSES.format("")).text
    assert "kinds = (ms_extras.Linear, ms_extras.LayerNorm)" in convert_source(CLASSES.format("    made = kinds[0](3, 2)\n")).text


def test_a_range_beside_other_indices_is_a_list_of_them(tmp_path: Path) -> None:
    source = "import torch\n\n\ndef f(x: torch.Tensor, y, d):\n    x = x.clone()\n    x[range(x.shape[0]), y] = x.max()\n    return x, d[range(2)]\n"
    x, y = np.arange(12, dtype=np.float32).reshape(3, 4), np.array([1, 0, 3])
    expected, _ = torch_module(source, "reference_range").f(torch.from_numpy(x), torch.from_numpy(y), {range(2): 1})
    actual, other = ported_module(source, tmp_path, "ported_range").f(Tensor(x), Tensor(y), {range(2): 1})
    assert np.array_equal(actual.asnumpy(), expected.numpy()) and other == 1


METER = """
import torch


class Meter:
    def __init__(self, fmt):
        self.fmt, self.val, self.name, self.n = fmt, 0, "m", 1

    def update(self, val):
        self.val = val

    def __str__(self):
        text = "{name} {val" + self.fmt + "} {n:d}"
        return text.format(**self.__dict__)


def show(x: torch.Tensor):
    meter = Meter(":.2f")
    meter.update(x.mean())
    return str(meter)
"""


def test_values_of_an_object_are_numbers_in_its_text(tmp_path: Path) -> None:
    ported = ported_module(METER, tmp_path, "ported_meter")
    assert ported.show(Tensor(np.array([1.5, 2.0], np.float32))) == "m 1.75 1"
    assert "numbers" not in convert_source(METER.replace("import torch\n", "").replace(": torch.Tensor", "")).text
    assert "numbers" not in convert_source(METER.replace("**self.__dict__", "**locals()")).text


def test_a_module_under_its_own_modules_name_is_a_cell() -> None:
    source = "from torch.nn.modules.module import Module\nfrom torch.nn.parameter import Parameter\nimport torch\n\n\nclass Net(Module):\n    def __init__(self):\n        super().__init__()\n        self.w = Parameter(torch.ones(3))\n\n    def forward(self, x):\n        return x * self.w\n"
    converted = convert_source(source)
    assert not converted.diagnostics and "class Net(nn.Cell):" in converted.text and "def construct" in converted.text


CHANCE = """
import random
import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(3)])
        self.wide = True

    def forward(self, x):
        x = self.a(x)
BODY
        return x


def train(net: Net, loader):
    optimizer = optim.SGD(net.parameters(), lr=0.1MORE)
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
"""
LEFT_OUT = {
    "a draw": ("if self.training and random.random() < 0.5:\n    x = self.b(x)", ["b"]),
    "a drawn name": ("p = random.random()\nfor layer in self.layers:\n    if p < 0.1:\n        continue\n    x = layer(x)", ["layers"]),
    "a value": ("if x.mean() > 0:\n    return x\nx = self.b(x)", ["b"]),
    "either way": ("if x.mean() > 0:\n    return self.b(x)\nx = self.b(x * 2)", []),
    "a setting": ("if self.wide:\n    x = self.b(x)", []),
    "every layer": ("for layer in self.layers:\n    if x.mean() > 0:\n        x = x * 2\n    x = layer(x)", []),
    "a check": ("if x.mean() > 100:\n    raise ValueError('large')\nx = self.b(x)", []),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_members_that_chance_leaves_out_are_named(case: str) -> None:
    body, names = LEFT_OUT[case]
    source = CHANCE.replace("BODY", textwrap.indent(body, " " * 8))
    found = [d.message.split("self.")[1].split()[0] for d in convert_source(source.replace("MORE", ", momentum=0.9")).diagnostics if d.code == "MSP615"]
    assert found == names
    assert not [d for d in convert_source(source.replace("MORE", "")).diagnostics if d.code == "MSP615"]


ROUNDS = """
import random
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.again, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.scale = nn.Linear(4, 4)

    def forward(self, x):
        x = self.first(x)
        for _ in range(ROUNDS):
            x = self.again(x).relu()
        while x.norm() > 10:
            x = self.scale(x)
        return self.last(x)


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
loss = net(torch.ones(3, 4)).sum()
loss.backward()
optimizer.step()
"""


@pytest.mark.parametrize("rounds, skipped", [("random.randint(0, 3)", ["again", "scale"]), ("random.randint(1, 3)", ["scale"]), ("3", ["scale"])])
def test_a_loop_of_chance_may_leave_a_layer_out(rounds: str, skipped: list[str]) -> None:
    found = [d.message.split("self.")[1].split()[0] for d in convert_source(ROUNDS.replace("ROUNDS", rounds)).diagnostics if d.code == "MSP615"]
    assert found == skipped
