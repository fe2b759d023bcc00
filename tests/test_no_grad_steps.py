"""What runs under no_grad beside a loss carries no gradient in the port either, and what a loop is handed from outside is judged by how it was made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mindspore import Tensor
from test_training import HEAD, batches, copy_weights, ported_module, torch_module

from porter.convert import convert_source

BLOCK = """
def train(model: Net, loader):
    losses = []
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for x, y in loader:
        out = model(x)
        with torch.no_grad():
            soft = model(x * 2).softmax(1)
        loss = ((out.softmax(1) - soft) ** 2).sum() * soft.max()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""

BEFORE = """
def train(model: Net, loader):
    losses = []
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for x, y in loader:
        with torch.no_grad():
            soft = model(x * 2).softmax(1)
        loss = ((model(x).softmax(1) - soft) ** 2).sum() * soft.max()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""

DECORATED = """
@torch.no_grad()
def aim(model: Net, x: torch.Tensor):
    return model(x * 2).softmax(1)


@torch.no_grad()
def two(model: Net, x: torch.Tensor):
    return model(x).softmax(1), 0.5


def through(model: Net, x: torch.Tensor):
    soft, part = two(model, x)
    return part * (model(x) * soft + aim(model, x))


def train(model: Net, loader):
    losses = []
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for x, y in loader:
        loss = ((through(model, x).softmax(1) - aim(model, x)) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""

HELPER = """
def aim(model: Net, x: torch.Tensor):
    with torch.no_grad():
        soft = model(x * 2).softmax(1)
    return soft


def train(model: Net, loader):
    losses = []
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for x, y in loader:
        loss = ((model(x).softmax(1) - aim(model, x)) ** 2).sum() + (aim(model, x) * model(x)).sum() * 0.1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""

ACTING = """
def train(model: Net, loader):
    losses = []
    model.train()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    kept = []
    for step, (x, y) in enumerate(loader):
        if step % 3 == 0:
            chosen = model(x).argmax(1)
        else:
            values = model(x)
            chosen = torch.argmax(values, dim=1).cpu()
        with torch.no_grad():
            worth = model(x).max(1).values
        kept.append((x, chosen, worth))
        if step > 2:
            for start in range(2):
                states, actions, returns = kept[step - 1 - start]
                out = model(states)
                loss = ((out.gather(1, actions.unsqueeze(1)).squeeze(1) - returns) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
"""


@pytest.mark.parametrize("name", ["block", "before", "decorated", "helper", "acting"])
def test_what_runs_without_gradients_gives_none(name: str, tmp_path: Path) -> None:
    source = HEAD + {"block": BLOCK, "before": BEFORE, "decorated": DECORATED, "helper": HELPER, "acting": ACTING}[name]
    reference, ported = torch_module(source, f"reference_no_grad_{name}"), ported_module(source, tmp_path, f"ported_no_grad_{name}")
    torch.manual_seed(0)
    model, cell = reference.Net(), ported.Net()
    copy_weights(model, cell)
    made = batches(8, (6, 5), classes=3)
    expected = reference.train(model, [tuple(torch.from_numpy(a) for a in b) for b in made])
    actual = ported.train(cell, [tuple(Tensor(a) for a in b) for b in made])
    assert actual == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_target_under_no_grad_stays_outside_of_the_gradient_function() -> None:
    text = convert_source(HEAD + BEFORE).text
    assert "def forward_fn(x, soft):\n        loss" in text and "stop_gradient" not in text


@pytest.mark.parametrize(
    "kept, codes",
    [
        ("kept.append(model(x))", {"MSP201", "MSP210"}),
        ("kept.append(model(x).detach())", set()),
        ("with torch.no_grad():\n                kept.append(model(x))", set()),
    ],
)
def test_what_is_kept_with_its_gradient_is_refused(kept: str, codes: set[str]) -> None:
    source = f"""
def train(model: Net, loader: DataLoader):
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    kept = [torch.zeros(1)]
    for x, y in loader:
        {kept if "with" not in kept else "if True:" + chr(10) + " " * 12 + kept}
        for k in range(2):
            loss = (kept[k] * model(x)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""
    assert {d.code for d in convert_source(HEAD + source).diagnostics} == codes


TWICE = """
class Made(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return BODY


def train(g: Made, d: nn.Linear, loader):
    of_g, of_d = optim.Adam(g.parameters()), optim.Adam(d.parameters())
    for x, y in loader:
        noise = torch.randn(3, 4)
        fake = g(INPUT)
        of_d.zero_grad()
        d_loss = d(fake.detach()).mean() - d(x).mean()
        d_loss.backward()
        of_d.step()
        of_g.zero_grad()
        g_loss = -d(fake).mean()
        g_loss.backward()
        of_g.step()
"""


@pytest.mark.parametrize(
    "body, given, codes",
    [
        ("self.a(x)", "noise", []),
        ("self.a(x)", "torch.randn(3, 4)", ["MSP213"]),
        ("self.drop(self.a(x))", "noise", ["MSP213"]),
        ("self.a(x + torch.rand_like(x))", "noise", ["MSP213"]),
    ],
)
def test_a_forward_pass_that_runs_again_with_other_numbers_is_named(body: str, given: str, codes: list[str]) -> None:
    source = TWICE.replace("BODY", body).replace("INPUT", given)
    if "drop" not in body:
        source = source.replace("        self.drop = nn.Dropout(0.5)\n", "")
    assert [d.code for d in convert_source(HEAD + source).diagnostics] == codes


REPLAYED = """
class Memory:
    def __init__(self):
        self.kept = []

    def add(self, state, actions):
        self.kept.append((state, actions))


def train(model: Net, states):
    memory = Memory()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for state in states:
        actions = model(torch.Tensor(state))
        ACTIONS
        memory.add(state, actions)
        if len(memory.kept) > 2:
            seen, chosen = memory.kept[0]
            loss = (model(torch.Tensor(seen)) - torch.Tensor(chosen)).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""


@pytest.mark.parametrize("actions, codes", [("actions = actions.cpu().numpy()", []), ("actions = actions * 2", ["MSP210"])])
def test_a_name_that_is_bound_anew_to_an_array_carries_nothing(actions: str, codes: list[str]) -> None:
    found = convert_source(HEAD + REPLAYED.replace("ACTIONS", actions)).diagnostics
    assert [d.code for d in found if d.code == "MSP210"] == codes and bool(found) == bool(codes)


EPISODE = """
class Agent:
    def __init__(self, model: Net, optimizer):
        self.model, self.optimizer = model, optimizer
        self.kept, self.rewards = [], []

    def act(self, x):
        self.kept.append(self.model(x).log_softmax(1)[:, 0])

    def reward(self, r):
        self.rewards.append(r)

    def learn(self):
        self.optimizer.zero_grad()
        loss = torch.stack([-k.sum() * r for k, r in zip(self.kept, self.rewards)]).sum()
        loss.backward()
        self.optimizer.step()
"""


def test_a_loss_of_what_other_functions_keep_names_them() -> None:
    found = {d.code: d.message for d in convert_source(HEAD + EPISODE).diagnostics}
    assert found.keys() >= {"MSP201", "MSP210"}
    assert found["MSP210"].endswith("the loss is made of what other functions keep: self.kept (act) and self.rewards (reward)")
