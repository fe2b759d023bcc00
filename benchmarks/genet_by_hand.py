"""GENet-ResNet-50 theta plus, written directly for MindSpore: the yardstick for the ported model's speed."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class GatherExcite(nn.Cell):
    """Global gather by one depthwise convolution, a bottleneck of 1x1 convolutions, and a sigmoid gate."""

    def __init__(self, channels: int, size: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.gather = nn.SequentialCell(
            nn.Conv2d(channels, channels, size, pad_mode="valid", group=channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.mlp = nn.SequentialCell(
            nn.Conv2d(channels, hidden, 1, has_bias=True),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, has_bias=True),
        )
        self.sigmoid = nn.Sigmoid()

    def construct(self, x: Tensor) -> Tensor:
        return x * self.sigmoid(self.mlp(self.gather(x)))


class Bottleneck(nn.Cell):
    """Residual block with the stride on its first convolution."""

    def __init__(self, in_channels: int, width: int, stride: int, size: int) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, stride, pad_mode="valid")
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, pad_mode="pad", padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, pad_mode="valid")
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.excite = GatherExcite(out_channels, size)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.SequentialCell(
                nn.Conv2d(in_channels, out_channels, 1, stride, pad_mode="valid"),
                nn.BatchNorm2d(out_channels),
            )

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.excite(self.bn3(self.conv3(out)))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(out + identity)


class GENet50(nn.Cell):
    """GE-theta-plus on ResNet-50 for 224-pixel images."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, pad_mode="pad", padding=3)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="pad", ceil_mode=True)
        self.layer1 = self.make_layer(64, 64, 3, 1, 56)
        self.layer2 = self.make_layer(256, 128, 4, 2, 28)
        self.layer3 = self.make_layer(512, 256, 6, 2, 14)
        self.layer4 = self.make_layer(1024, 512, 3, 2, 7)
        self.mean = ops.ReduceMean()
        self.fc = nn.Dense(2048, num_classes)

    def make_layer(
        self, in_channels: int, width: int, blocks: int, stride: int, size: int
    ) -> nn.SequentialCell:
        layers = [Bottleneck(in_channels, width, stride, size)]
        layers += [Bottleneck(4 * width, width, 1, size) for _ in range(blocks - 1)]
        return nn.SequentialCell(layers)

    def construct(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.mean(x, (2, 3)))
