"""What a ported script writes for TensorBoard is read back from MindSpore's records."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from mindspore.train.summary_pb2 import Event
from test_training import ported_module

SCRIPT = """
import torch
from torch.utils.tensorboard import SummaryWriter


def write(folder):
    with SummaryWriter(folder) as writer:
        for step in range(3):
            writer.add_scalar("loss/train", torch.tensor([0.5, 1.5]).mean() * step, step)
            writer.add_scalars("both", {"a": step, "b": 2.0 * step}, step)
        writer.add_image("picture", torch.full((1, 2, 2), 0.5), 7)
        writer.add_text("note", "two **words**", 3)
"""


def events(folder: Path) -> list[Event]:
    """The events of a record file: length, checksum, event, checksum."""
    data = next(folder.glob("events.*_MS")).read_bytes()
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        found.append(Event.FromString(data[at + 12 : at + 12 + length]))
        at += 12 + length + 4
    return found


def test_values_are_written_by_tag_and_step(tmp_path: Path) -> None:
    ported_module(SCRIPT, tmp_path, "ported_summary").write(str(tmp_path / "log"))
    values = [(v.tag, e.step, v) for e in events(tmp_path / "log") for v in e.summary.value]
    scalars = {(tag.split("[")[0], step): v.scalar_value for tag, step, v in values if v.HasField("scalar_value")}
    expected = {("loss/train", s): 1.0 * s for s in range(3)} | {(f"both/{n}", s): f * s for n, f in (("a", 1.0), ("b", 2.0)) for s in range(3)}
    assert scalars == pytest.approx(expected)
    [(step, picture)] = [(step, v.image) for tag, step, v in values if v.HasField("image")]
    assert (step, picture.height, picture.width) == (7, 2, 2)
    assert "two **words**" in (tmp_path / "log" / "text.md").read_text("utf-8")
