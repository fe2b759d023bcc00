"""Losses with `size_average` and `reduce`, the names that `reduction` had at first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import Sides
from mindspore import Tensor

from porter.convert import convert_source

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
CASES = {
    "nn.MSELoss(size_average=False)": "nn.MSELoss(reduction='sum')",
    "nn.MSELoss(None, None, 'sum')": "nn.MSELoss(",
    "nn.L1Loss(size_average=True, reduce=False)": "nn.L1Loss(reduction='none')",
    "nn.SmoothL1Loss(False)": "reduction='sum'",
    "nn.BCELoss(reduce=True)": "reduction='mean'",
    "nn.BCEWithLogitsLoss(None, False)": "nn.BCEWithLogitsLoss(reduction='sum')",
}


@pytest.mark.parametrize("call", CASES)
@pytest.mark.filterwarnings("ignore:size_average and reduce")
def test_a_loss_is_given_its_reduction(call: str, sides: Callable[[str], Sides]) -> None:
    found = sides(f"{HEAD}loss = {call}\n")
    assert CASES[call] in found.text
    x, y = (np.random.default_rng(i).random((4, 5), np.float32) for i in (0, 1))
    expected = found.original.loss(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(found.ported.loss(Tensor(x), Tensor(y)).asnumpy(), expected, rtol=1e-5)


def test_what_is_no_constant_is_decided_at_run_time() -> None:
    assert "ms_extras.MSELoss(size_average=flag)" in convert_source(HEAD + "def f(flag):\n    return nn.MSELoss(size_average=flag)\n").text


@pytest.mark.parametrize("function", ["mse_loss", "l1_loss", "smooth_l1_loss"])
def test_functions_say_it_in_the_new_way_too(function: str) -> None:
    text = convert_source(HEAD + f"def f(x, y):\n    return F.{function}(x, y, size_average=False)\n").text
    assert "(x, y, reduction='sum')" in text
