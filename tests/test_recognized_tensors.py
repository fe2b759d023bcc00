"""What shows that an unknown value is a tensor: arguments that arrays do not take, and uses before a name is bound anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source


def _line(expression: str) -> tuple[str, list[str]]:
    ported = convert_source(f"import torch\n\n\ndef f(cfg, n):\n    z = torch.ones(2)\n    return {expression}, z\n")
    return ported.text.splitlines()[-1].removeprefix("    return ").removesuffix(", z"), [d.code for d in ported.diagnostics]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("n.transpose(1, 2)", "n.swapaxes(1, 2)"),
        ("n.transpose(-2, -3)", "n.swapaxes(-2, -3)"),
        ("n.flatten(2).transpose(0, 1)", "n.flatten(2).swapaxes(0, 1)"),
        ("n.repeat(1, 2, 3)", "n.tile((1, 2, 3))"),
    ],
)
def test_arguments_that_only_tensors_take(before: str, after: str) -> None:
    assert _line(before) == (after, [])


@pytest.mark.parametrize("call", ["n.repeat(2, 1)", "n.transpose(*axes)"])
def test_arguments_that_an_array_takes_prove_nothing(call: str) -> None:
    text, codes = _line(call)
    assert text == call and codes == ["MSP301"]


@pytest.mark.parametrize("axes", ["1, 0", "-2, -1", "0, 1", "a, b"])
def test_two_axes_of_an_unknown_value_are_told_apart_at_run_time(axes: str) -> None:
    assert _line(f"n.transpose({axes})") == (f"ms_extras.swapped_or_ordered(n, {axes})", [])


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_a_tensor_swaps_axes_and_an_array_orders_them(sides: Callable[[str], Any], mode: int) -> None:
    source = "import torch\n\n\ndef turn(n):\n    return n.transpose(0, 1)\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return turn(x) * 2\n"
    original, ported, text = sides(source)
    assert "ms_extras.swapped_or_ordered" in text or "swapaxes" in text
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    ms.set_context(mode=mode)
    try:
        np.testing.assert_array_equal(ported.Net()(ms.Tensor(x)).asnumpy(), original.Net()(torch.tensor(x)).numpy())
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_an_array_of_an_unknown_function_keeps_its_order(sides: Callable[[str], Any]) -> None:
    original, ported, _ = sides("import torch\n\n\ndef turn(n):\n    return n.transpose(0, 1), torch.ones(2)\n")
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(ported.turn(x)[0], original.turn(x)[0])
    assert ported.turn(ms.Tensor(x))[0].shape == (3, 2)


def test_a_statement_reads_a_name_before_it_binds_it() -> None:
    text = "import torch\n\n\ndef pool(x, kind):\n    if kind:\n        x = torch.cat([\n            x,\n            x.view(x.size(0), x.size(1)),\n        ])\n    return x\n"
    ported = convert_source(text)
    assert "x.view(x.shape[0], x.shape[1])" in ported.text and ported.diagnostics == ()


def test_a_name_bound_before_its_use_is_another() -> None:
    text = "import torch\n\n\ndef count(x, kind):\n    x = kind(x)\n    return x.repeat(2, 1), torch.ones(2), x.size(0)\n"
    assert any(d.code == "MSP301" for d in convert_source(text).diagnostics)


def test_a_tensor_or_a_tuple_with_a_tensors_method_is_a_tensor() -> None:
    text = (
        "import torch\n\n\ndef pool(x):\n    return x.mean(2) if x.size(2) > 1 else x\n\n\n"
        "def both(a: torch.Tensor, flag: bool):\n    return pool((a, a) if flag else a)\n"
    )
    ported = convert_source(text)
    assert "x.shape[2] > 1" in ported.text and ported.diagnostics == ()


def test_a_method_that_a_list_has_too_proves_nothing() -> None:
    text = "import torch\n\n\ndef f(a: torch.Tensor, flag: bool):\n    x = [a] if flag else a\n    return x.index(a)\n"
    assert "x.index(a)" in convert_source(text).text


def test_a_class_under_another_name_is_a_base() -> None:
    text = (
        "from torch import nn\n\n\nclass UpSample(nn.Sequential):\n    pass\n\n\nUpsample = UpSample\n\n\n"
        "class Wrapped(Upsample):\n    def forward(self, x, emb=None):\n        return super().forward(x)\n"
    )
    assert "def construct(self, x, emb=None):\n        return super().construct(x)\n" in convert_source(text).text


def test_a_name_bound_twice_is_no_other_name_for_a_class() -> None:
    text = (
        "from torch import nn\n\n\nclass A(nn.Module):\n    pass\n\n\nBase = A\nBase = object\n\n\n"
        "class B(Base):\n    def forward(self, x):\n        return x\n"
    )
    assert "def forward(self, x)" in convert_source(text).text


def test_a_property_is_no_method_that_is_called() -> None:
    text = (
        "import torch\n\n\nclass Box:\n    {decorator}\n    def size(self):\n        return 1\n\n\n"
        "def f(x):\n    return x.size(), torch.ones(2)\n"
    )
    assert "return x.shape, " in convert_source(text.format(decorator="@property")).text
    assert "return x.size(), " in convert_source(text.format(decorator="@torch.no_grad()")).text


def test_the_device_of_an_unknown_value_is_a_device() -> None:
    head = "import torch\n\n\ndef f(steps, kind, n: int):\n    x = torch.ones(n)\n    return "
    assert convert_source(head + "x.to(device=steps.device)\n").text.endswith("return x\n")
    assert convert_source(head + "x.to(steps.device, dtype=torch.float16)\n").text.endswith("return x.astype(mindspore.float16)\n")
    assert "tensor_to(x, kind)" in convert_source(head + "x.to(kind)\n").text
    assert "tensor_to(x, steps.like)" in convert_source(head + "x.to(steps.like)\n").text
