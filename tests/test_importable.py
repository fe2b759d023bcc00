"""What a port leaves as it was keeps neither the file around it from being imported nor itself from raising where it is used."""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
import pytest

from porter.convert import convert_source
from porter.parity.ported import load_source

SOURCE = """\
import functools
import torch
from torch import LongTensor, Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.distributions import constraints
from torch.distributions.transforms import *


class F(torch.autograd.Function):
    @staticmethod
    @functools.lru_cache
    def forward(ctx: FunctionCtx, x: Tensor, n: int = torch.pi, *rest: Tensor) -> Tensor:
        return x * n

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Tensor, ...]:
        return g, None


class Twice:
    domain = constraints.interval(0, 3)
    library = torch.library.Library("own", "DEF")

    def __call__(self, x: Tensor, by: float | LongTensor = 2.0, order: LongTensor | None = None) -> Tensor:
        return x * float(by)
"""


def test_the_rest_of_a_file_is_imported_and_works(tmp_path: Path) -> None:
    result = convert_source(SOURCE)
    assert {"MSP211", "MSP101", "MSP201"} <= {d.code for d in result.diagnostics}
    assert "once_differentiable" not in result.text and "    @functools.lru_cache\n" in result.text
    assert "by: float | Tensor = 2.0, order: Tensor | None = None" in result.text and "x * float(by)" in result.text
    assert 'domain = ms_extras.NotPorted("torch.distributions.constraints.interval(0, 3)")' in result.text
    module = load_source(tmp_path, "left_as_it_was", result.text, result.extras)
    np.testing.assert_array_equal(module.Twice()(mindspore.Tensor([1.5])).asnumpy(), [3.0])
    for use in (lambda: module.Twice.domain.check(1), lambda: bool(module.Twice.library), lambda: module.Twice.library.define("f()")):
        with pytest.raises(NotImplementedError, match=r"\(.*\).* was not ported"):
            use()


def test_what_runs_while_a_program_runs_raises_there(tmp_path: Path) -> None:
    result = convert_source("import torch\n\n\ndef f():\n    library = torch.library.Library('own', 'DEF')\n    return library\n")
    module = load_source(tmp_path, "raises_in_a_function", result.text, result.extras)
    with pytest.raises(NotImplementedError):
        module.f()


def test_names_that_torch_itself_exports_are_torchs() -> None:
    text = convert_source("from torch import *\n\ndef f(x: Tensor):\n    return abs(x).to(float)\n").text
    assert "float32" in text
