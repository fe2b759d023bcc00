"""Networks of torchvision.models, built as torchvision builds them: the same children in the same order, freshly initialized."""

from mindspore import nn, ops
from mindspore.common import initializer as initial


class VisionLinear(nn.Dense):
    """The last layer of a torchvision network, with torch's names for its sizes."""

    @property
    def in_features(self):
        return self.in_channels

    @property
    def out_features(self):
        return self.out_channels


def plain_conv2d(in_planes, out_planes, kernel_size, stride=1, padding=0, groups=1, has_bias=False):
    """A convolution padded as torch pads it, initialized for ReLU from the number of outputs."""
    return nn.Conv2d(
        in_planes, out_planes, kernel_size, stride, pad_mode="pad", padding=padding, group=groups, has_bias=has_bias,
        weight_init=initial.HeNormal(mode="fan_out", nonlinearity="relu"), bias_init="zeros",
    )  # fmt: skip


class BasicBlock(nn.Cell):
    """torchvision.models.resnet.BasicBlock."""

    expansion = 1

    def __init__(self, inplanes, planes, stride, downsample, groups, width):
        super().__init__()
        self.conv1 = plain_conv2d(inplanes, planes, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.conv2 = plain_conv2d(planes, planes, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def construct(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(out + identity)


class Bottleneck(nn.Cell):
    """torchvision.models.resnet.Bottleneck: the stride is in the 3x3 convolution."""

    expansion = 4

    def __init__(self, inplanes, planes, stride, downsample, groups, width):
        super().__init__()
        width = int(planes * (width / 64.0)) * groups
        self.conv1 = plain_conv2d(inplanes, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = plain_conv2d(width, width, 3, stride, 1, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = plain_conv2d(width, planes * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def construct(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(out + identity)


class ResNet(nn.Cell):
    """torchvision.models.ResNet."""

    def __init__(self, block, layers, num_classes=1000, zero_init_residual=False, groups=1, width_per_group=64):
        super().__init__()
        self.inplanes = 64
        self.conv1 = plain_conv2d(3, 64, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0], 1, groups, width_per_group)
        self.layer2 = self._make_layer(block, 128, layers[1], 2, groups, width_per_group)
        self.layer3 = self._make_layer(block, 256, layers[2], 2, groups, width_per_group)
        self.layer4 = self._make_layer(block, 512, layers[3], 2, groups, width_per_group)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = VisionLinear(512 * block.expansion, num_classes)
        if zero_init_residual:
            for _, cell in self.cells_and_names():
                if isinstance(cell, (BasicBlock, Bottleneck)):
                    last = cell.bn3 if isinstance(cell, Bottleneck) else cell.bn2
                    last.gamma.set_data(initial.initializer(initial.Zero(), last.gamma.shape))

    def _make_layer(self, block, planes, blocks, stride, groups, width):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.SequentialCell(
                plain_conv2d(self.inplanes, planes * block.expansion, 1, stride), nn.BatchNorm2d(planes * block.expansion)
            )
        layers = [block(self.inplanes, planes, stride, downsample, groups, width)]
        self.inplanes = planes * block.expansion
        layers += [block(self.inplanes, planes, 1, None, groups, width) for _ in range(1, blocks)]
        return nn.SequentialCell(*layers)

    def construct(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(ops.flatten(self.avgpool(x)))


def resnet(depth, num_classes=1000, zero_init_residual=False, groups=1, width_per_group=64):
    """torchvision.models.resnet18 and its deeper and wider kin, without trained weights."""
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    return ResNet(
        BasicBlock if depth < 50 else Bottleneck, blocks, num_classes, zero_init_residual, groups, width_per_group
    )


class VGG(nn.Cell):
    """torchvision.models.VGG."""

    def __init__(self, features, num_classes=1000, dropout=0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        dense = {"weight_init": initial.Normal(0.01), "bias_init": initial.Zero()}
        self.classifier = nn.SequentialCell(
            VisionLinear(512 * 7 * 7, 4096, **dense), nn.ReLU(), nn.Dropout(p=dropout),
            VisionLinear(4096, 4096, **dense), nn.ReLU(), nn.Dropout(p=dropout), VisionLinear(4096, num_classes, **dense),
        )  # fmt: skip

    def construct(self, x):
        return self.classifier(ops.flatten(self.avgpool(self.features(x))))


def vgg(depth, batch_norm=False, num_classes=1000, dropout=0.5):
    """torchvision.models.vgg11 to vgg19_bn, without trained weights."""
    counts = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}[depth]
    layers, inputs = [], 3
    for planes, count in zip((64, 128, 256, 512, 512), counts):
        for _ in range(count):
            layers.append(plain_conv2d(inputs, planes, 3, 1, 1, has_bias=True))
            layers += [nn.BatchNorm2d(planes), nn.ReLU()] if batch_norm else [nn.ReLU()]
            inputs = planes
        layers.append(nn.MaxPool2d(2, 2))
    return VGG(nn.SequentialCell(*layers), num_classes, dropout)


class AlexNet(nn.Cell):
    """torchvision.models.AlexNet."""

    def __init__(self, num_classes=1000, dropout=0.5):
        super().__init__()
        plain = {"pad_mode": "pad", "has_bias": True}
        self.features = nn.SequentialCell(
            nn.Conv2d(3, 64, 11, 4, padding=2, **plain), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2, **plain), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1, **plain), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1, **plain), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1, **plain), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.SequentialCell(
            nn.Dropout(p=dropout), VisionLinear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(p=dropout), VisionLinear(4096, 4096), nn.ReLU(), VisionLinear(4096, num_classes),
        )  # fmt: skip

    def construct(self, x):
        return self.classifier(ops.flatten(self.avgpool(self.features(x))))


class InvertedResidual(nn.Cell):
    """torchvision.models.mobilenetv2.InvertedResidual."""

    def __init__(self, inputs, outputs, stride, ratio):
        super().__init__()
        hidden = round(inputs * ratio)
        layers = [] if ratio == 1 else [conv_bn_relu6(inputs, hidden, 1)]
        layers += [conv_bn_relu6(hidden, hidden, 3, stride, hidden), plain_conv2d(hidden, outputs, 1), nn.BatchNorm2d(outputs)]
        self.conv = nn.SequentialCell(*layers)
        self.use_res_connect = stride == 1 and inputs == outputs

    def construct(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


def conv_bn_relu6(inputs, outputs, kernel_size, stride=1, groups=1):
    """A convolution, its normalization and ReLU6."""
    padding = (kernel_size - 1) // 2
    return nn.SequentialCell(
        plain_conv2d(inputs, outputs, kernel_size, stride, padding, groups), nn.BatchNorm2d(outputs), nn.ReLU6()
    )


class MobileNetV2(nn.Cell):
    """torchvision.models.MobileNetV2 of width 1."""

    def __init__(self, num_classes=1000, dropout=0.2):
        super().__init__()
        inputs = 32
        features = [conv_bn_relu6(3, inputs, 3, 2)]
        for ratio, outputs, count, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
        ):  # fmt: skip
            for number in range(count):
                features.append(InvertedResidual(inputs, outputs, stride if number == 0 else 1, ratio))
                inputs = outputs
        features.append(conv_bn_relu6(inputs, 1280, 1))
        self.features = nn.SequentialCell(*features)
        last = VisionLinear(1280, num_classes, weight_init=initial.Normal(0.01), bias_init=initial.Zero())
        self.classifier = nn.SequentialCell(nn.Dropout(p=dropout), last)

    def construct(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def network_builder(make, **settings):
    """A function of torchvision.models that builds a network; trained weights cannot be downloaded."""

    def build(pretrained=False, *, weights=None, progress=True, **options):
        if pretrained or weights is not None:
            raise ValueError("build the network without weights and load those that porter weights has converted")
        return make(**settings, **options)

    return build


def vision_networks():
    """torchvision.models.__dict__: the functions that build the networks there are here, by name."""
    found = {"alexnet": network_builder(AlexNet), "mobilenet_v2": network_builder(MobileNetV2)}
    for depth in (18, 34, 50, 101, 152):
        found[f"resnet{depth}"] = network_builder(resnet, depth=depth)
    for depth in (11, 13, 16, 19):
        found[f"vgg{depth}"] = network_builder(vgg, depth=depth)
        found[f"vgg{depth}_bn"] = network_builder(vgg, depth=depth, batch_norm=True)
    found["resnext50_32x4d"] = network_builder(resnet, depth=50, groups=32, width_per_group=4)
    found["resnext101_32x8d"] = network_builder(resnet, depth=101, groups=32, width_per_group=8)
    found["wide_resnet50_2"] = network_builder(resnet, depth=50, width_per_group=128)
    found["wide_resnet101_2"] = network_builder(resnet, depth=101, width_per_group=128)
    return found
