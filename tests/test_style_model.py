"""`porter convert --style model`: plain loops become mindspore.train.Model and reach the same losses; others keep their form."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import mindspore
import numpy as np
import pytest
from click.testing import CliRunner

from porter.cli import main
from porter.convert import convert_tree

SCRIPT = '''\
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))


def main(epochs=3):
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = TensorDataset(torch.randn(40, 5), torch.randint(0, 3, (40,)))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    net = Net().to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)

    for epoch in range(epochs):
        net.train()
        running_loss = 0.0
        for i, (images, labels) in enumerate(loader):
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            outputs = net(images)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            print(f"step: {i + 1}, loss is {loss.item()}")
        scheduler.step()
    return net, scheduler
'''


def ported(style: str, source: str = SCRIPT) -> tuple[str, dict[str, str], list[str]]:
    tree = convert_tree({"train.py": source}, style=style)
    return tree.files["train.py"], dict(tree.files), [f"{d.code} {d.message}" for d in tree.diagnostics]


def run(style: str, folder: Path, source: str, capsys: pytest.CaptureFixture[str]) -> tuple[list[float], dict[str, np.ndarray], float]:
    """Losses that the script prints, its parameters at the end and its last learning rate."""
    _, files, said = ported(style, source)
    assert not said, said
    name = f"train_{style}_{abs(hash(source))}"
    for path, text in files.items():
        (folder / path.replace("train.py", f"{name}.py")).write_text(text, "utf-8")
    sys.path.insert(0, str(folder))
    try:
        sys.modules.pop("ms_extras", None)
        module = importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
    mindspore.set_seed(0)
    capsys.readouterr()
    net, scheduler = module.main()
    losses = [float(v) for v in re.findall(r"loss is ([\d.e-]+)", capsys.readouterr().out)]
    return losses, {p.name: p.asnumpy() for p in net.get_parameters()}, scheduler.get_last_lr()[0]


FORMS = {
    "criterion": SCRIPT,
    "function": SCRIPT.replace("loss = criterion(outputs, labels)", "loss = F.cross_entropy(outputs, labels) + 0.01 * (outputs ** 2).mean()"),
    "one call": SCRIPT.replace("            outputs = net(images)\n", "").replace("criterion(outputs, labels)", "F.cross_entropy(net(images), labels)"),
    "each step": SCRIPT.replace("        scheduler.step()\n", "").replace("optimizer.step()\n", "optimizer.step()\n            scheduler.step()\n"),
    "counted from one": SCRIPT.replace("range(epochs)", "range(1, epochs + 1)"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMS)
def test_model_trains_as_the_loop_does(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = FORMS[name]
    loop, expected, rate = run("loop", tmp_path, source, capsys)
    losses, actual, own_rate = run("model", tmp_path, source, capsys)
    assert len(loop) == 15 and losses == pytest.approx(loop, rel=1e-6)
    assert own_rate == rate and rate < 0.1
    for key, value in expected.items():
        assert np.abs(actual[key] - value).max() <= 1e-6, key
    written = mindspore.load_checkpoint(str(tmp_path / "checkpoints" / "net-3_5.ckpt"))
    assert {k for k in expected} <= set(written)
    assert np.array_equal(written["last.weight"].asnumpy(), actual["last.weight"])


def test_model_reads_as_written_for_mindspore() -> None:
    text, _, said = ported("model")
    assert not said
    assert """
    train_step = nn.TrainOneStepCell(nn.WithLossCell(net, criterion), optimizer)
    trainer = mindspore.train.Model(train_step)
    trainer.train(
        epochs, mindspore.dataset.GeneratorDataset(loader, ["images", "labels"], shuffle=False),
        callbacks=[
            mindspore.train.LossMonitor(),
            mindspore.train.TimeMonitor(),
            mindspore.train.ModelCheckpoint("net", "checkpoints", mindspore.train.CheckpointConfig(len(loader))),
            ms_extras.ScheduleStep(scheduler),
        ],
        dataset_sink_mode=False,
    )
    return net, scheduler
""" in text  # fmt: skip
    assert "value_and_grad" not in text and "value_and_grad" in ported("loop")[0]


STAYS = {
    "clip_grad_norm_": ("loss.backward()\n", "loss.backward()\n            nn.utils.clip_grad_norm_(net.parameters(), 0.1)\n"),
    "no zero_grad": ("            optimizer.zero_grad()\n", ""),
    "outputs is read after it": ("    return net", "    print(outputs.sum())\n    return net"),
    "evaluate(...) is more than a log": ("        scheduler.step()\n", "        scheduler.step()\n        evaluate(net)\n"),
    "torch.save(...) is more than a log": ("        scheduler.step()\n", '        torch.save(net.state_dict(), "net.pth")\n'),
    "history.append(...) is more than a log": ("            running_loss +=", "            history.append(loss.item())\n            running_loss +="),
    "a step is not zero_grad": ("            loss.backward()\n", "            loss.backward()\n            optimizer.step()\n"),
    "the schedule is stepped before": ("        net.train()\n", "        net.train()\n        scheduler.step()\n"),
    "a batch is not an input and a label": ("(images, labels) in enumerate", "(images, labels, weights) in enumerate"),
    "its epochs are not counted": ("range(epochs)", "range(0, epochs, 2)"),
    "it changes images": ("            optimizer.zero_grad()\n", "            optimizer.zero_grad()\n            images = images.max()\n"),
}  # fmt: skip


@pytest.mark.parametrize("why", STAYS)
def test_another_loop_keeps_its_form(why: str) -> None:
    old, new = STAYS[why]
    assert old in SCRIPT
    source = SCRIPT.replace(old, new, 1)
    text, _, said = ported("model", source)
    assert [s for s in said if s.startswith("MSP212") and why in s], said
    # apart from what is said, it is what the loop form gives
    assert text == ported("loop", source)[0]
    assert len(said) == len(ported("loop", source)[2]) + 1


def test_the_command_line_knows_the_style(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(SCRIPT, "utf-8")
    done = CliRunner().invoke(main, ["convert", str(tmp_path / "src"), "-o", str(tmp_path / "out"), "--style", "model"])
    assert done.exit_code == 0, done.output
    assert "mindspore.train.Model(" in (tmp_path / "out" / "train.py").read_text("utf-8")
    assert "--style [loop|model]" in CliRunner().invoke(main, ["convert", "--help"]).output
