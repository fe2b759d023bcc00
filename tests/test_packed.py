"""Packed sequences: recurrent layers over padded batches whose sequences end at their own lengths."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

SOURCE = """import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Net(nn.Module):
    def __init__(self, kind: str, batch_first: bool, bidirectional: bool, layers: int, is_sorted: bool, lengths=None):
        super().__init__()
        self.rnn = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}[kind](4, 3, num_layers=layers, batch_first=batch_first, bidirectional=bidirectional)
        self.batch_first, self.is_sorted, self.lengths = batch_first, is_sorted, lengths

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, hx=None):
        given = lengths if self.lengths is None else self.lengths
        packed = pack_padded_sequence(x, given, batch_first=self.batch_first, enforce_sorted=self.is_sorted)
        out, hidden = self.rnn(packed, hx)
        out, n = pad_packed_sequence(out, batch_first=self.batch_first)
        return out, n, hidden


class Loss(nn.Module):
    def __init__(self, net: Net):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, lengths: torch.Tensor):
        out, n, hidden = self.net(x, lengths)
        state = hidden[0] * hidden[1]
        return (out * out + out).sum() + (state * state + state).sum()
"""
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Ports a text and imports it."""

    def _load(text: str) -> ModuleType:
        result = convert_source(text)
        assert not result.diagnostics, result.diagnostics
        (tmp_path / "ported_packed.py").write_text(result.text, "utf-8")
        (tmp_path / "ms_extras.py").write_text(result.extras, "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("ported_packed", "ms_extras"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        import ported_packed  # type: ignore[import-not-found]

        return ported_packed  # type: ignore[no-any-return]

    return _load


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def mode(request: pytest.FixtureRequest) -> Iterator[int]:
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def _pair(load: Load, *arguments: Any) -> tuple[Any, Any]:
    """The network in torch and in MindSpore, with the same weights."""
    space: dict[str, Any] = {}
    exec(SOURCE, space)
    torch.manual_seed(5)
    reference = space["Loss"](space["Net"](*arguments))
    module = load(SOURCE)
    ported = module.Loss(module.Net(*arguments))
    state = {k: ms.Parameter(ms.Tensor(v.numpy())) for k, v in reference.state_dict().items()}
    missing, unexpected = ms.load_param_into_net(ported, state)
    assert not missing and not unexpected
    return reference, ported


def _inputs(batch_first: bool, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of seven steps: one more than the longest has; what stands behind an end is large."""
    x = np.random.default_rng(3).normal(size=(7, len(lengths), 4)).astype(np.float32)
    for i, n in enumerate(lengths):
        x[n:, i] = 50.0
    return (x.swapaxes(0, 1).copy() if batch_first else x), np.array(lengths, np.int64)


def _flat(outputs: Any) -> list[Any]:
    return [o for part in outputs for o in (part if isinstance(part, tuple) else (part,))]


CASES = [
    ("LSTM", True, True, 2, True, None),
    ("LSTM", False, False, 1, False, None),
    ("LSTM", True, True, 1, False, [2, 6, 3]),
    ("GRU", False, True, 1, True, [6, 3, 2]),
    ("RNN", False, True, 2, False, None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c)).replace(" ", ""))
def test_layers_agree_with_torch(load: Load, mode: int, case: tuple[Any, ...]) -> None:
    _, batch_first, _, _, is_sorted, listed = case
    x, lengths = _inputs(batch_first, listed or ([6, 3, 2] if is_sorted else [2, 6, 3]))
    reference, ported = _pair(load, *case)
    given = torch.tensor(x, requires_grad=True)
    wanted = _flat(reference.net(given, torch.tensor(lengths)))
    found = _flat(ported.net(ms.Tensor(x), ms.Tensor(lengths)))
    assert wanted[0].shape[1 if batch_first else 0] == 6
    assert len(found) == len(wanted)
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got.asnumpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)
    reference(given, torch.tensor(lengths)).backward()
    by_input, by_weights = ms.grad(ported, 0, ported.trainable_params())(ms.Tensor(x), ms.Tensor(lengths))
    assert given.grad is not None
    np.testing.assert_allclose(by_input.asnumpy(), given.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert len(by_weights) == len(list(reference.parameters()))
    by_name = dict(reference.named_parameters())
    for parameter, gradient in zip(ported.trainable_params(), by_weights, strict=True):
        np.testing.assert_allclose(gradient.asnumpy(), by_name[parameter.name].grad.numpy(), rtol=1e-4, atol=1e-4)


def test_the_lengths_count(load: Load) -> None:
    """The control: the layer over the whole padded batch gives other numbers."""
    x, lengths = _inputs(True, [6, 3, 2])
    reference, ported = _pair(load, *CASES[0])
    whole, (h, _) = ported.net.rnn(ms.Tensor(x))
    out, _, (packed_h, _) = ported.net(ms.Tensor(x), ms.Tensor(lengths))
    assert np.abs(whole.asnumpy()[:, :6] - out.asnumpy()).max() > 0.1
    assert np.abs(h.asnumpy() - packed_h.asnumpy()).max() > 0.1
    wanted, _ = reference.net.rnn(torch.tensor(x))
    np.testing.assert_allclose(whole.asnumpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_first_state_is_one_for_each_sequence(load: Load, mode: int) -> None:
    x, lengths = _inputs(False, [2, 6, 3])
    reference, ported = _pair(load, "LSTM", False, True, 1, False, None)
    h, c = np.random.default_rng(9).normal(size=(2, 2, 3, 3)).astype(np.float32)
    wanted = _flat(reference.net(torch.tensor(x), torch.tensor(lengths), (torch.tensor(h), torch.tensor(c))))
    found = _flat(ported.net(ms.Tensor(x), ms.Tensor(lengths), (ms.Tensor(h), ms.Tensor(c))))
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got.asnumpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lengths", [[2, 6, 3], [6, 3, 0], [8, 3, 2], [6, 3]])
def test_lengths_that_torch_refuses(load: Load, mode: int, lengths: list[int]) -> None:
    x, _ = _inputs(True, [6, 3, 2])
    reference, ported = _pair(load, *CASES[0])
    with pytest.raises((RuntimeError, ValueError)):
        reference.net(torch.tensor(x), torch.tensor(lengths))
    with pytest.raises(ValueError, match="length"):
        ported.net(ms.Tensor(x), ms.Tensor(lengths))[0].asnumpy()


def test_what_is_not_finite_behind_an_end_stays_out(load: Load) -> None:
    x, lengths = _inputs(True, [6, 3, 2])
    _, ported = _pair(load, *CASES[0])
    by_input = ms.grad(ported)(ms.Tensor(x), ms.Tensor(lengths)).asnumpy()
    x[1, 3:] = np.inf
    x[2, 2:] = np.nan
    again = ms.grad(ported)(ms.Tensor(x), ms.Tensor(lengths)).asnumpy()
    assert np.abs(by_input).max() > 0.1
    np.testing.assert_array_equal(again, by_input)


PADDED = """import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, unpack_sequence


def widened(x: torch.Tensor, lengths: torch.Tensor):
    packed = pack_padded_sequence(x, lengths, True)
    return pad_packed_sequence(packed, padding_value=-2.5, total_length=9)[0], pad_packed_sequence(packed, True, total_length=6)[0]


def several(a: torch.Tensor, b: torch.Tensor):
    packed = pack_sequence([a, b], enforce_sorted=False)
    parts = unpack_sequence(packed)
    return [pad_packed_sequence(packed, padding_value=1.5)[0], *parts]


def short(x: torch.Tensor, lengths: torch.Tensor):
    return pad_packed_sequence(pack_padded_sequence(x, lengths, True), total_length=5)
"""


def test_padding(load: Load) -> None:
    x, lengths = _inputs(True, [6, 3, 2])
    module = load(PADDED)
    space: dict[str, Any] = {}
    exec(PADDED, space)
    for name, arguments in [("widened", (x, lengths)), ("several", (x[0, :2], x[1]))]:
        wanted = space[name](*map(torch.tensor, arguments))
        found = getattr(module, name)(*map(ms.Tensor, arguments))
        assert len(found) == len(wanted)
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(got.asnumpy(), want.numpy())
    for function, made in ((space["short"], torch.tensor), (module.short, ms.Tensor)):
        with pytest.raises(ValueError, match="total_length"):
            function(made(x), made(lengths))


PLAIN = """import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence


def layers():
    return nn.LSTM(4, 3), nn.GRU(4, 3), nn.RNN(4, 3), pad_sequence([])
"""


def test_other_programs_keep_the_plain_layers() -> None:
    text = convert_source(PLAIN).text
    assert all(f" nn.{kind}(" in text and f"ms_extras.{kind}" not in text for kind in ("LSTM", "GRU", "RNN"))
    packing = PLAIN.replace("import pad_sequence", "import pack_sequence as pack, pad_sequence")
    text = convert_source(packing).text
    assert "return ms_extras.LSTM(4, 3), ms_extras.GRU(4, 3), ms_extras.RNN(4, 3), " in text


USES = """import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 3)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor):
        packed = pack_padded_sequence(x, lengths)
        y, h = self.rnn(packed)
        z, g = self.rnn(x)
        {use}
"""


@pytest.mark.parametrize(
    "use", ["return y.data", "return packed.batch_sizes", "return y[0]", "a, *b = packed", "return y.to('cpu')",
            "return PackedSequence(h, lengths)"],
)  # fmt: skip
def test_what_is_inside_is_refused(use: str) -> None:
    found = convert_source(USES.format(use=use)).diagnostics
    assert [d.code for d in found] == ["MSP201"] and found[0].location.line == 15


def test_tensors_beside_packed_sequences_are_tensors() -> None:
    text = convert_source(USES.format(use="return z[0], z.data, h.size(0), g.unsqueeze(0), isinstance(y, PackedSequence)"))
    assert not text.diagnostics
    assert "return z[0], ops.stop_gradient(z), h.shape[0], g.unsqueeze(0), isinstance(y, tuple)" in text.text
