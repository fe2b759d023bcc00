"""Training steps, optimizers, schedules, loaders and checkpoints: the ported code beside torch, from the same start."""

from __future__ import annotations

import importlib
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
import torch
from mindspore import Parameter, Tensor

from mappings.emitted import data, optim, serialization
from porter.convert import convert_source, convert_tree
from porter.program import read_sources

REPOSITORY = Path(__file__).resolve().parent.parent
RENAMED = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def ported_module(source: str, folder: Path, name: str) -> types.ModuleType:
    """Converts a script, which must go without a diagnostic, and imports the result."""
    result = convert_source(textwrap.dedent(source), path=f"{name}.py")
    assert not result.diagnostics, "\n".join(map(str, result.diagnostics))
    (folder / f"{name}.py").write_text(result.text, "utf-8")
    (folder / "ms_extras.py").write_text(result.extras, "utf-8")
    sys.path.insert(0, str(folder))
    try:
        sys.modules.pop("ms_extras", None)
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def torch_module(source: str, name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(compile(textwrap.dedent(source), name, "exec"), module.__dict__)
    return module


def copy_weights(reference: torch.nn.Module, cell: Any) -> None:
    """Gives the Cell the reference's parameters and buffers; every one must have its place."""
    own = cell.parameters_dict()
    for name, value in reference.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        path, _, last = name.rpartition(".")
        other = ".".join(p for p in (path, RENAMED.get(last, last)) if p)
        own[name if name in own else other].set_data(Tensor(value.numpy()))


def batches(count: int, *shapes: tuple[int, ...], classes: int = 0) -> list[tuple[np.ndarray, ...]]:
    numbers = np.random.default_rng(0)
    made = []
    for _ in range(count):
        batch = [numbers.normal(size=s).astype(np.float32) for s in shapes]
        if classes:
            batch.append(numbers.integers(0, classes, shapes[0][0]))
        made.append(tuple(batch))
    return made


HEAD = """
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))

"""

PLAIN = """
def train(model: Net, loader: DataLoader):
    losses = []
    model.train()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 5, gamma=0.5)
    hits = 0
    for epoch in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            output = model(x)
            loss = criterion(output, y)
            loss.backward()
            optimizer.step()
            hits += (output.argmax(1) == y).sum().item()
            losses.append(loss.item())
        scheduler.step()
    return losses + [hits]
"""

CLIPPED = """
def train(model: nn.Module, loader: DataLoader):
    losses = []
    model.train()
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for x, y in loader:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        losses.append(loss.item())
    return losses
"""

ACCUMULATED = """
def train(model: Net, loader: DataLoader):
    losses = []
    model.train()
    optimizer = optim.AdamW([{"params": model.first.parameters(), "lr": 0.05}, {"params": model.last.parameters()}], lr=0.01)
    optimizer.zero_grad()
    for i, (x, y) in enumerate(loader):
        loss = nn.functional.cross_entropy(model(x), y) / 3
        loss.backward()
        losses.append(loss.item())
        if (i + 1) % 3 == 0:
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.2)
            losses.append(norm.item())
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * 0.9
            optimizer.step()
            optimizer.zero_grad()
    return losses
"""

SCALED = """
def train(model: nn.Module, loader: DataLoader):
    losses = []
    model.train()
    optimizer = optim.RMSprop(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=4)
    for x, y in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", enabled=False):
            loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses + [scaler.get_scale()]
"""

PHASES = """
def train(model: nn.Module, loader: DataLoader):
    losses = []
    optimizer = optim.SGD(model.parameters(), lr=0.1, nesterov=True, momentum=0.8)
    for phase in ["train", "val", "train"]:
        if phase == "train":
            model.train()
        else:
            model.eval()
        for x, y in loader:
            optimizer.zero_grad()
            output = model(x)
            loss = nn.functional.cross_entropy(output, y)
            if phase == "train":
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
    return losses
"""

BY_HAND = """
def train(model: nn.Module, loader: DataLoader):
    losses = []
    model.train()
    for x, y in loader:
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-0.1)
        losses.append(loss.item())
    return losses
"""

CLOSURE = """
def train(model: nn.Module, loader: DataLoader):
    losses = []
    model.eval()
    optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=3)
    for x, y in loader:
        def closure():
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return losses
"""

TWO_NETWORKS = """
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.G = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5))
        self.D = nn.Sequential(nn.Linear(5, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))


def train(model: Pair, loader: DataLoader):
    losses = []
    netG = model.G
    netD = model.D
    netG.train()
    criterion = nn.BCEWithLogitsLoss()
    optimizerD = optim.Adam(netD.parameters(), lr=0.01, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=0.01, betas=(0.5, 0.999))
    for x, y in loader:
        netD.zero_grad()
        ones = torch.ones(x.shape[0], 1)
        errD_real = criterion(netD(x), ones)
        errD_real.backward()
        fake = netG(x * 0.5)
        errD_fake = criterion(netD(fake.detach()), ones * 0)
        errD_fake.backward()
        optimizerD.step()
        netG.zero_grad()
        errG = criterion(netD(fake), ones)
        errG.backward()
        optimizerG.step()
        losses.append(errD_real.item())
        losses.append(errD_fake.item())
        losses.append(errG.item())
    return losses
"""

WHOLE = """
class Loss:
    def __init__(self, model: Net, optimizer):
        self.model, self.optimizer = model, optimizer

    def update(self, x, y, clipped):
        output = self.model(x)
        if clipped:
            bounded = output.clamp(-0.2, 0.2)
            penalty = (output - bounded).pow(2).mean()
        else:
            penalty = output.pow(2).mean()
        self.optimizer.zero_grad()
        (nn.functional.cross_entropy(output, y) +
         0.1 * penalty).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimizer.step()
        return penalty.item()


def train(model: Net, loader: DataLoader):
    model.train()
    losses = []
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x, y in loader:
        losses.append(Loss(model, optimizer).update(x, y, len(losses) % 2 == 0))
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return losses + [model.first.weight.sum().item()]
"""

METHOD = """
class Scored(Net):
    def score(self, x, y):
        return nn.functional.cross_entropy(self(x), y)


class Trainer:
    def __init__(self, model: Scored):
        self.model = model
        self.optimizer = optim.SGD(model.parameters(), lr=0.1)

    def compute(self, x, y):
        return self.model.score(x, y)

    def backward(self, x, y):
        loss = self.compute(x, y)
        loss.backward()
        return loss.item()

    def run(self, loader):
        losses = []
        for x, y in loader:
            self.optimizer.zero_grad()
            losses.append(self.backward(x, y))
            self.optimizer.step()
        return losses


def train(model: Scored, loader: DataLoader):
    model.train()
    return Trainer(model).run(loader)
"""

FROZEN = """
def train(model: Net, loader: DataLoader):
    model.train()
    losses = []
    for p in model.parameters():
        p.requires_grad_(False)
    for p in model.last.parameters():
        p.requires_grad_()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses + [p.sum().item() for p in model.parameters()]
"""

SCRIPTS = {
    "frozen": FROZEN, "whole": WHOLE, "method": METHOD, "plain": PLAIN, "clipped": CLIPPED, "accumulated": ACCUMULATED, "scaled": SCALED, "phases": PHASES,
    "by_hand": BY_HAND, "closure": CLOSURE, "two_networks": TWO_NETWORKS,
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_loop_trains_as_torch_does(name: str, tmp_path: Path) -> None:
    source = HEAD + SCRIPTS[name]
    reference = torch_module(source, f"reference_{name}")
    ported = ported_module(source, tmp_path, f"ported_{name}")
    kind = {"two_networks": "Pair", "method": "Scored"}.get(name, "Net")
    torch.manual_seed(0)
    model, cell = getattr(reference, kind)(), getattr(ported, kind)()
    copy_weights(model, cell)
    made = batches(12, (6, 5), classes=3)
    expected = reference.train(model, [tuple(torch.from_numpy(a) for a in b) for b in made])
    actual = ported.train(cell, [tuple(Tensor(a) for a in b) for b in made])
    assert actual == pytest.approx(expected, rel=1e-4 if name != "closure" else 1e-3, abs=1e-6)


def test_a_plain_loop_reads_as_written_for_mindspore() -> None:
    text = convert_source(HEAD + PLAIN).text
    assert textwrap.dedent("""\
        def forward_fn(x, y):
            output = model(x)
            loss = criterion(output, y)
            return loss, output

        grad_fn = mindspore.value_and_grad(forward_fn, None, optimizer.parameters, has_aux=True)

        for epoch in range(2):
            for x, y in loader:
                (loss, output), grads = grad_fn(x, y)
                optimizer(grads)
        """) in textwrap.dedent(text[text.index("    def forward_fn") :])  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "for x, y in loader:\n        z = model(x)\n        for k in range(2):\n            loss = (z - y).sum()\n            loss.backward()",
        "for x, y in loader:\n        loss = model(x).sum()\n        loss.backward(torch.ones(()))",
    ],
)
def test_what_cannot_be_a_function_is_said(body: str) -> None:
    source = f"import torch\nfrom torch import nn\nfrom torch.utils.data import DataLoader\n\n\ndef train(model: nn.Module, loader: DataLoader):\n    {body}\n"
    codes = {d.code for d in convert_source(source).diagnostics}
    assert codes & {"MSP210", "MSP201", "MSP301"}


def test_a_name_of_one_branch_stays_in_it() -> None:
    text = convert_source(HEAD + WHOLE).text
    assert "def forward_fn(" in text and "bounded), grads" not in text and ", bounded" not in text.partition("def forward_fn")[2].partition("\n")[0]
    later = convert_source(HEAD + WHOLE.replace("return penalty.item()", "return bounded")).text
    assert "        bounded = None\n" in later and "(_, (bounded,)), grads = grad_fn(bounded)" in later


OWN_OPTIMIZER = """
class Plain(optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])


class Trainer:
    def __init__(self, net: Net):
        self.net, self.rule = net, Plain(net.parameters(), 0.1)

    def update(self, x):
        self.rule.zero_grad()
        loss = self.net(x).sum()
        loss.backward()
        self.rule.step()
"""


def test_gradients_are_never_taken_of_nothing() -> None:
    text = convert_source(HEAD + OWN_OPTIMIZER).text
    assert "value_and_grad(forward_fn, None, self.rule.parameters)" in text and "self.rule.step()" in text
    unheld = "def f(outputs):\n    for run in outputs:\n        loss = (lambda: run())()\n        loss.backward()\n"
    converted = convert_source(HEAD + unheld)
    assert "None, ())" not in converted.text and {d.code for d in converted.diagnostics} & {"MSP210", "MSP201", "MSP301"}
    helped = "def f(score, net, x):\n    loss = score(net, x).mean()\n    loss.backward()\n"
    assert "ms_extras.parameters_of(score)" in convert_source(HEAD + helped).text or "ms_extras.parameters_of(net, score)" in convert_source(HEAD + helped).text


# --- GENet ---------------------------------------------------------------------------------------------------------------


def test_genet_trains_as_torch_does(tmp_path: Path) -> None:
    sources = {k: v for k, v in read_sources(REPOSITORY / "reference_torch").items() if k.startswith("genet/")}
    tree = convert_tree({k.replace("genet/", "genet_trained/"): v for k, v in sources.items()})
    assert not tree.diagnostics, "\n".join(map(str, tree.diagnostics))
    for path, text in tree.files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        ported = importlib.import_module("genet_trained.train")
        from reference_torch.genet import train as reference
    finally:
        sys.path.remove(str(tmp_path))
    arguments = ("wrn10_1", "theta_plus", 2, 10, 32, 1, "paper")
    torch.manual_seed(0)
    model, cell = reference.create_model(*arguments), ported.create_model(*arguments)
    reference.initialize_weights(model)
    copy_weights(model, cell)
    train_set, _ = importlib.import_module("reference_torch.genet.dataset").create_mnist_datasets()
    rows = [[train_set[i] for i in range(24 * n, 24 * n + 24)] for n in range(30)]
    made = [(np.stack([im.numpy() for im, _ in r]), np.array([label for _, label in r])) for r in rows]
    expected = genet_losses(reference, model, [tuple(map(torch.from_numpy, b)) for b in made])
    actual = genet_losses(ported, cell, [tuple(map(Tensor, b)) for b in made])
    difference = np.abs(np.array(actual) / np.array(expected) - 1)
    assert difference[:10].max() <= 1e-4 and difference.max() <= 1e-3, difference


def genet_losses(module: Any, model: Any, made: list[Any]) -> list[float]:
    criterion = module.create_criterion("cross_entropy", 10, 0.1)
    optimizer = module.create_optimizer(model, 0.02, 0.9, 1e-4)
    scheduler = module.create_scheduler(optimizer, len(made))
    device = torch.device("cpu")
    # one call for each batch: what it returns is that batch's loss
    return [module.train_one_epoch(model, [b], criterion, optimizer, scheduler, device, 0) for b in made]


# --- optimizers: their steps and schedules are in test_optimizers.py -----------------------------------------------------------------------------------------------

def test_optimizer_state_is_saved_and_restored(tmp_path: Path) -> None:
    def made() -> tuple[Parameter, Any]:
        parameter = Parameter(Tensor(np.ones(3, np.float32)), name="p")
        return parameter, optim.Adam([parameter], lr=0.1)

    gradient = (Tensor(np.array([1.0, -2.0, 3.0], np.float32)),)
    first, one = made()
    one(gradient)
    serialization.save({"epoch": 3, "optimizer": one.state_dict(), "p": first}, tmp_path / "all.pth")
    one(gradient)
    second, other = made()
    loaded = serialization.load(tmp_path / "all.pth")
    other.load_state_dict(loaded["optimizer"])
    second.set_data(loaded["p"])
    other(gradient)
    assert loaded["epoch"] == 3
    assert np.array_equal(first.asnumpy(), second.asnumpy())


# --- data and checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_collates_as_torch_does(workers: int) -> None:
    samples = [(np.full((2,), i, np.float32), i, {"name": f"s{i}", "score": i / 2}) for i in range(7)]
    expected = list(torch.utils.data.DataLoader(samples, batch_size=3, drop_last=False))
    actual = list(data.DataLoader(samples, batch_size=3, num_workers=workers))
    assert len(actual) == len(expected) == 3
    for (x, y, extra), (a, b, more) in zip(expected, actual):
        assert np.array_equal(a.asnumpy(), x.numpy()) and np.array_equal(b.asnumpy(), y.numpy())
        assert b.dtype == mindspore.int64 and more["name"] == extra["name"]
        assert np.array_equal(more["score"].asnumpy(), extra["score"].numpy())


def test_samplers_cover_the_data() -> None:
    dataset = list(range(10))
    parts = [list(data.DistributedSampler(dataset, 3, rank, seed=1)) for rank in range(3)]
    assert {i for p in parts for i in p} == set(range(10)) and {len(p) for p in parts} == {4}
    assert sorted(data.RandomSampler(dataset)) == dataset
    assert [len(s) for s in data.random_split(dataset, [0.7, 0.3])] == [7, 3]
    assert len(data.DataLoader(dataset, batch_size=3, shuffle=True, drop_last=True)) == 3


def test_a_checkpoint_keeps_its_name_and_must_fit(tmp_path: Path) -> None:
    cell = mindspore.nn.Dense(3, 2)
    path = tmp_path / "net.pth"
    serialization.save(cell.state_dict(), path)
    assert path.is_file()
    state = serialization.load(path)
    assert set(state) == {"weight", "bias"} and np.array_equal(state["weight"].asnumpy(), cell.weight.asnumpy())
    cell.load_state_dict(state)
    with pytest.raises(RuntimeError):
        cell.load_state_dict({"weight": state["weight"]})
    serialization.save({"net": cell, "epoch": 3}, path)  # a whole network is pickled
    loaded = serialization.load(path)
    assert loaded["epoch"] == 3 and loaded["net"].weight.name == "weight"
    x = Tensor(np.ones((2, 3), np.float32))
    assert np.array_equal(loaded["net"](x).asnumpy(), cell(x).asnumpy())
    with pytest.raises(FileNotFoundError):
        serialization.load(tmp_path / "none.pth")


SAMPLES = """
import numpy as np
import torch
from torch.utils.data import Dataset


class Digits(Dataset):
    def __init__(self, images: np.ndarray):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.images[index]).float() / 255.0
        other = torch.tensor(1.5) + torch.zeros(2)
        return torch.stack([image.unsqueeze(0).permute(0, 2, 1), image.clone().view(1, 3, 2)], 0), other
"""


def test_samples_are_computed_with_numpy() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    ported = convert_source(SAMPLES)
    assert not ported.diagnostics and "class Digits:" in ported.text and "mindspore" not in ported.text
    module = torch_module(ported.text, "ported_samples")
    expected, actual = torch_module(SAMPLES, "samples").Digits(images)[1], module.Digits(images)[1]
    for a, b in zip(expected, actual):
        assert np.array_equal(a.numpy(), b) and b.dtype == np.float32


def test_a_sample_that_is_not_simple_is_said() -> None:
    source = SAMPLES.replace("torch.tensor(1.5)", "torch.fft.fft(image).real.sum()")
    assert "MSP601" in {d.code for d in convert_source(source).diagnostics}


STARTS_IN_TRAINING = """
import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(self.first(x))


def weights_init(m):
    name = m.__class__.__name__
    if name.find("Linear") != -1:
        nn.init.constant_(m.weight, 0.5)
    elif name.find("BatchNorm") != -1:
        nn.init.constant_(m.weight, 2.0)


def build():
    net = Net()
    net.apply(weights_init)
    return net


def train(batches):
    net = build()
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for x in batches:
        optimizer.zero_grad()
        loss = (net(torch.from_numpy(x)) ** 3).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, net.training
"""


def test_networks_start_in_training_mode_and_classes_are_found_by_name(tmp_path: Path) -> None:
    """No train() anywhere: torch normalizes by the batch. The layers are those that torch's names mean."""
    data_in = [b[0] for b in batches(3, (6, 5))]
    ported = ported_module(STARTS_IN_TRAINING, tmp_path, "starts")
    text = (tmp_path / "starts.py").read_text("utf-8")
    assert '"Dense"' in text and "net = Net().set_train()" in text
    losses, training = ported.train(data_in)
    expected, _ = torch_module(STARTS_IN_TRAINING, "starts").train(data_in)
    assert training is True
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    cell = ported.build()
    assert np.all(cell.first.weight.asnumpy() == 0.5) and np.all(cell.norm.gamma.asnumpy() == 2.0)
    # the control: in evaluation mode the losses are others
    text = text.replace(".set_train()", ".set_train(False)")
    (tmp_path / "control.py").write_text(text, "utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        control = importlib.import_module("control")
    finally:
        sys.path.remove(str(tmp_path))
    assert abs(control.train(data_in)[0][0] - expected[0]) > 1e-3


CARRIED = """
import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNN(3, 4)

    def forward(self, x, hidden):
        return self.cell(x, hidden)


def repackage(h):
    return h.detach()


def train(net: Net, batches, recurrent):
    net.train()
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    losses = []
    if recurrent:
        hidden = torch.zeros(1, 2, 4)
    for x in batches:
        optimizer.zero_grad()
        if recurrent:
            hidden = repackage(hidden)
            output, hidden = net(torch.from_numpy(x), hidden)
        else:
            output, _ = net(torch.from_numpy(x), torch.ones(1, 2, 4))
        loss = (output ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_state_is_carried_from_step_to_step(tmp_path: Path, recurrent: bool) -> None:
    """The hidden state that a step reads is what the last one made; on the other way it is never bound."""
    data_in = [b[0] for b in batches(4, (3, 2, 3))]
    ported, reference = ported_module(CARRIED, tmp_path, "carried"), torch_module(CARRIED, "carried")
    network, cell = reference.Net(), ported.Net()
    copy_weights(network, cell)
    expected = reference.train(network, data_in, recurrent)
    np.testing.assert_allclose(ported.train(cell, data_in, recurrent), expected, rtol=1e-5)


def test_data_that_torch_wrote_is_read_without_torch(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    saved = {
        "view": base.T[1:, ::2], "labels": torch.tensor([3, 1]), "half": torch.tensor([1.5, -2.0]).bfloat16(), "flag": torch.tensor(True),
        "empty": torch.zeros(0, 3), "array": np.arange(3.0), "more": [1, "a", (None, 2.5)], "p": torch.nn.Parameter(torch.ones(2)),
    }  # fmt: skip
    torch.save(saved, tmp_path / "data.pt")
    loaded = serialization.load(tmp_path / "data.pt")
    assert loaded["more"] == saved["more"] and isinstance(loaded["array"], np.ndarray) and loaded["array"].tolist() == [0, 1, 2]
    for name in ("view", "labels", "flag", "empty", "p"):
        expected = saved[name].detach().numpy()  # type: ignore[attr-defined]
        assert loaded[name].asnumpy().dtype == expected.dtype and np.array_equal(loaded[name].asnumpy(), expected), name
    assert loaded["half"].dtype == mindspore.bfloat16 and loaded["half"].float().asnumpy().tolist() == [1.5, -2.0]


def test_files_of_torch_that_would_run_code_or_are_old_are_refused(tmp_path: Path) -> None:
    torch.save({"path": tmp_path}, tmp_path / "path.pt")
    with pytest.raises(ValueError, match="neither a tensor nor a container"):
        serialization.load(tmp_path / "path.pt")
    torch.save(torch.ones(2), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"before 1\.6"):
        serialization.load(tmp_path / "old.pt")
