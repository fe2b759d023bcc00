"""Numbers that a network computes from shapes with tensors and reads back become numpy arrays, which a graph can read."""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
import pytest
import torch

from porter.convert import convert_source
from porter.parity.ported import load_source

SOURCE = '''import torch
import torch.nn.functional as F
from torch import nn


class Crop(nn.Module):
    def forward(self, skip, x):
        size = torch.tensor(skip.shape)
        crop = size[2:] - torch.tensor(x.size())[2:]
        half = (crop / 2).int()
        # cuts
        pad = -torch.stack((half, half)).t().flatten()
        whole = torch.cat([size, crop * 3 - 1])
        return F.pad(skip, pad.tolist()) * whole[1].item() + whole[-1].item()
'''

KEPT = {
    "a tensor that meets data": "size = torch.tensor(x.shape)\nreturn x * size[0] + size.tolist()[1]",
    "a quotient that is not cut": "size = torch.tensor(x.shape)\nreturn x * (size / 3).tolist()[0]",
    "a tensor that is returned": "size = torch.tensor(x.shape)\nother = size * 2\nreturn x * other.tolist()[0], size",
    "values of another kind": "size = torch.tensor([0.5, 2.0])\nreturn x * size.tolist()[0]",
    "a name with two meanings": "size = torch.tensor(x.shape)\nif x.ndim > 3:\n    size = x.sum(0)\nreturn x * size.tolist()[0]",
}


def test_shapes_are_counted_with_numpy(tmp_path: Path) -> None:
    converted = convert_source(SOURCE)
    assert converted.diagnostics == ()
    assert "size = np.array(skip.shape)\n        crop = size[2:] - np.array(x.shape)[2:]\n        half = (crop / 2).astype(np.int32)\n" in converted.text
    assert "# cuts\n        pad = -np.stack((half, half)).T.flatten()\n        whole = np.concatenate([size, crop * 3 - 1])" in converted.text
    assert "pad.tolist()) * int(whole[1]) + int(whole[-1])" in converted.text
    reference: dict[str, object] = {"__name__": "reference"}
    exec(SOURCE, reference)
    ported = load_source(tmp_path, "shapes_counted", converted.text, converted.extras)
    random = np.random.RandomState(0)
    skip, x = random.randn(2, 3, 11, 8).astype("float32"), random.randn(2, 3, 6, 8).astype("float32")
    expected = reference["Crop"]()(torch.from_numpy(skip), torch.from_numpy(x)).numpy()  # type: ignore[operator]
    assert expected.shape == (2, 3, 11, 4)
    try:
        for mode in (mindspore.PYNATIVE_MODE, mindspore.GRAPH_MODE):
            mindspore.set_context(mode=mode)
            found = ported.Crop()(mindspore.Tensor(skip), mindspore.Tensor(x)).asnumpy()
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_other_tensors_stay(body: str) -> None:
    head = "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x: torch.Tensor):\n        "
    text = convert_source(head + body.replace("\n", "\n        ") + "\n").text
    assert "np." not in text and "tensor(" in text.lower()
