"""MindSpore's BatchNorm3d holds a BatchNorm2d: a walk over all layers meets both, although a traced run saw only the outer one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from porter.convert import convert_source
from porter.parity.ported import load_source
from porter.trace import trace

SOURCE = '''\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 3, 1)
        self.norm = nn.BatchNorm3d(3)

        def weight_init(m):
            name = m.__class__.__name__
            if name.find("Conv") != -1:
                nn.init.constant_(m.bias, 1.5)
            elif name.find("BatchNorm") != -1:
                nn.init.constant_(m.weight, 2.5)
                nn.init.constant_(m.bias, 0.25)

        self.apply(weight_init)

    def forward(self, x):
        return self.norm(self.conv(x))
'''


def test_a_walk_over_layers_initializes_the_inner_ones_too(tmp_path: Path) -> None:
    (tmp_path / "walked.py").write_text(SOURCE, "utf-8")
    facts = trace("walked:Net()", ("float32[1,2,3,4,4]",), (tmp_path / "walked.py",))
    result = convert_source(SOURCE, facts=facts, path="walked.py")
    assert not result.diagnostics
    assert "(m.bias, 1.5)" in result.text  # one name for all that it may be stays a name
    cell = load_source(tmp_path, "walked_ported", result.text, result.extras).Net()
    np.testing.assert_array_equal(cell.norm.bn2d.gamma.asnumpy(), np.full(3, 2.5, np.float32))
    np.testing.assert_array_equal(cell.norm.bn2d.beta.asnumpy(), np.full(3, 0.25, np.float32))
    np.testing.assert_array_equal(cell.conv.bias.asnumpy(), np.full(3, 1.5, np.float32))
