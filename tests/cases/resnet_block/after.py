"""A residual block."""

from typing import Optional

from mindspore import nn, ops, Tensor
import ms_extras


class BasicBlock(nn.Cell):
    expansion: int = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: Optional[nn.Cell] = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            inplanes, planes, kernel_size=3, stride=stride, padding=1, has_bias=False, pad_mode="pad"
        )
        self.bn1 = nn.BatchNorm2d(planes, momentum=0.99)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, has_bias=False, pad_mode="pad")  # no bias: a norm follows
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        for m in [cell for _, cell in self.cells_and_names()]:
            if isinstance(m, nn.Conv2d):
                ms_extras.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def construct(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = ops.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return ops.flatten(ops.mean(ops.relu(out), axis=(-2, -1), keep_dims=True), start_dim=1)
