"""Receivers that their own calls show to be tensors, in static conversions, and those that stay unknown."""

from __future__ import annotations

import pytest

from porter.convert import convert_source


def _ported(body: str, more: str = "") -> tuple[str, list[str]]:
    result = convert_source(f"import torch\nfrom torch import nn\n\n\ndef made(x, kind):\n{body}\n{more}")
    return result.text, [d.code for d in result.diagnostics]


@pytest.mark.parametrize(
    ("call", "ported"),
    [
        ("x.flip(1)", "ops.flip(x, (1,))"),
        ("x.gather(1, kind)", "x.gather(1, kind)"),
        ("x.roll(1, 0)", "ms_extras.roll(x, 1, 0)"),
        ("x.expand(-1, 4)", "x.broadcast_to((-1, 4))"),
        ("x.amax(1)", "x.amax(1)"),
        ("x.std(dim=1)", "ops.std(x, axis=1, ddof=1)"),
        ("x.std(-1, keepdim=True)", "ops.std(x, -1, keepdims=True, ddof=1)"),
        ("x.split(4, dim=1)", "x.split(4, 1)"),
    ],
)
def test_methods_and_forms_that_only_tensors_have(call: str, ported: str) -> None:
    text, codes = _ported(f"    return {call}\n")
    assert codes == []
    assert f"return {ported}\n" in text


@pytest.mark.parametrize("call", ["x.flip()", "x.gather(kind)", "x.roll()", "x.expand(kind)", "x.repeat(2, 0)", "x.std(dim=kind)", "x.std()", "x.split(4)"])
def test_forms_that_others_have_prove_nothing(call: str) -> None:
    text, _ = _ported(f"    return {call}\n")
    assert f"return {call}\n" in text


def test_a_layer_that_a_table_of_activations_makes_is_no_tensor() -> None:
    """`ACT[kind](y)` may be nn.ReLU(y), a layer, as far as inference sees: what calls size() on it got a tensor."""
    source = '''import torch
from torch import nn

ACT = {"relu": nn.ReLU, "swish": torch.sigmoid}


class Inner(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), -1, 1)


class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.act, self.inner = ACT[kind], Inner()

    def forward(self, x):
        return self.inner(self.act(x))
'''
    result = convert_source(source)
    assert "x.view(x.shape[0], -1, 1)" in result.text


def test_static_helpers_of_a_custom_gradient_take_no_context() -> None:
    source = '''import torch


class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x / Half.rows(x)

    @staticmethod
    def backward(ctx, grad):
        return grad / 2

    @staticmethod
    def rows(x):
        return x.size(0)


def half(x: torch.Tensor):
    return Half.apply(x)
'''
    assert "return x.shape[0]" in convert_source(source).text


def test_methods_of_torchs_values_are_the_values_own() -> None:
    """`torch.__version__.split` is no torch.split; torch.split itself still is."""
    text = convert_source("import torch\n\nversion = tuple(int(v) for v in torch.__version__.split('.')[:2])\n").text
    assert "mindspore.__version__.split('.')" in text
    assert "ops.split(" in convert_source("import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.split(x, 2)\n").text


@pytest.mark.parametrize(
    ("own", "call", "is_own"),
    [
        ("def detach(self, states): ...", "x.detach()", False),
        ("def detach(self, states): ...", "x.detach(kind)", True),
        ("def detach(self, states=None): ...", "x.detach()", True),
        ("@staticmethod\n    def detach(*states): ...", "x.detach()", True),
        ("@staticmethod\n    def detach(a): ...", "x.detach()", False),
        ("def size(self, *, unit): ...", "x.size()", False),
        ("def size(self, *, unit='px'): ...", "x.size(0)", False),
        ("def size(self, **options): ...", "x.size()", True),
        ("def unsqueeze(self, dim, keep): ...", "x.unsqueeze(dim=1, keep=kind)", True),
        ("@cached\n    def unsqueeze(self): ...", "x.unsqueeze(1)", True),
    ],
)
def test_a_method_of_the_programs_own_counts_where_it_takes_the_arguments(own: str, call: str, is_own: bool) -> None:
    text, codes = _ported(f"    return {call}\n", f"\n\nclass Own:\n    {own}\n")
    assert (f"return {call}\n" in text) == is_own
    assert is_own or codes == []


def test_what_clone_gives_is_a_tensor_before_anything_is_known_of_its_receiver() -> None:
    source = '''import torch
import torch.nn as nn


class Neuron(nn.Module):
    def __init__(self, spike=None):
        super().__init__()
        self.spike = later if spike is None else self.bypass

    @staticmethod
    def detach(*states):
        return states

    def forward(self, x):
        reset = self.spike(x).clone().detach()
        return reset

    def bypass(self, x):
        return later(x)


def later(x):
    return last(x)


def last(x):
    return torch.sign(x)
'''
    result = convert_source(source)
    assert not result.diagnostics
    assert "reset = ops.stop_gradient(self.spike(x).copy())" in result.text


def test_new_of_a_tensors_data_is_torchs_and_that_of_anything_else_tells_nothing() -> None:
    assert _ported("    return x.data.new([2, 3])\n")[1] == ["MSP201"]
    assert _ported("    return x.new('RGB', (2, 3))\n")[1] == []
