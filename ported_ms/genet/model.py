"""Gather-Excite networks on ResNet-50, ResNet-101 and wide residual networks.

Paper: Hu, Shen, Albanie, Sun, Vedaldi, "Gather-Excite: Exploiting Feature Context in Convolutional Neural
Networks", arXiv 1810.12348. Two profiles: `paper` follows the authors' definition, `zoo` follows the
GENet_Res50 of the MindSpore model zoo.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindspore import nn, ops, Tensor
from . import ms_extras

EXTENTS = (0, 2, 4, 8)
VARIANTS = ("plain", "se", "theta_minus", "theta", "theta_plus")
BACKBONES = ("resnet50", "resnet101", "wrn16_8", "wrn10_1")
RESNET50_LAYERS = (3, 4, 6, 3)
RESNET101_LAYERS = (3, 4, 23, 3)


@dataclass(frozen=True)
class Profile:
    """What the two published implementations of GENet on ResNet do differently."""

    stride_on: str  # which convolution of a bottleneck carries the stride: "1x1" or "3x3"
    same_pad: bool  # stride-2 layers pad as little as possible, the odd pixel at the bottom right
    dense_gather: bool  # theta of stage 2 halves the map with a full convolution first
    mlp_bias: bool
    mlp_relu: bool  # ReLU between the gather's BatchNorm and the MLP
    stem_eps: float
    stem_momentum: float
    block_momentum: float


PROFILES = {
    "paper": Profile(
        stride_on="1x1",
        same_pad=False,
        dense_gather=False,
        mlp_bias=True,
        mlp_relu=True,
        stem_eps=1e-5,
        stem_momentum=0.1,
        block_momentum=0.1,
    ),
    "zoo": Profile(
        stride_on="3x3",
        same_pad=True,
        dense_gather=True,
        mlp_bias=False,
        mlp_relu=False,
        stem_eps=1e-4,
        stem_momentum=0.05,
        block_momentum=0.003,
    ),
}


def halved(size: int) -> int:
    """Side of a map after a stride-2 layer that keeps the border: ceil(size / 2)."""
    return (size + 1) // 2


class SamePad2d(nn.Cell):
    """Zero padding that makes a stride-s layer return ceil(size / s), the odd pixel at the bottom right."""

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def total(self, size: int) -> int:
        """Rows or columns to add to a side of `size`."""
        steps = (size + self.stride - 1) // self.stride - 1
        return max(steps * self.stride + self.kernel_size - size, 0)

    def construct(self, x: Tensor) -> Tensor:
        height = self.total(x.shape[2])
        width = self.total(x.shape[3])
        top = height // 2
        left = width // 2
        return ms_extras.pad(x, (left, width - left, top, height - top))


class GatherExcite(nn.Cell):
    """y = x * sigmoid(interpolate(gather(x))), sections 2 and 3 of the paper.

    Args:
        channels: channels of the input, kept by the output.
        extent: ratio between the input and the gathered map, 2, 4 or 8; 0 gathers the whole map.
        params: gather with depthwise convolutions (theta) instead of an average pool (theta minus).
        mlp: put the 1x1 bottleneck of squeeze-and-excitation behind the gather (theta plus).
        feat_size: side of the square input; a global gather with parameters needs it.
        reduction: ratio of the bottleneck.
        mlp_bias: give the two 1x1 convolutions a bias.
        mlp_relu: apply ReLU between a gather with parameters and the MLP.
        dense_gather: halve the map with a full 3x3 convolution before a global gather with parameters.

    Raises:
        ValueError: an extent other than 0, 2, 4, 8; a missing `feat_size`; fewer channels than `reduction`;
            in `forward`, an input whose size is not `feat_size`.
    """

    def __init__(
        self,
        channels: int,
        extent: int = 0,
        *,
        params: bool,
        mlp: bool,
        feat_size: int | None = None,
        reduction: int = 16,
        mlp_bias: bool = True,
        mlp_relu: bool = True,
        dense_gather: bool = False,
    ) -> None:
        super().__init__()
        if extent not in EXTENTS:
            raise ValueError(f"extent must be one of {EXTENTS}, got {extent}")
        if dense_gather and (extent != 0 or not params):
            raise ValueError("dense_gather needs a global gather (extent=0) with parameters")
        if mlp and channels < reduction:
            raise ValueError(
                f"an MLP with reduction {reduction} needs at least as many channels, got {channels}"
            )
        self.extent = extent
        self.feat_size = 0
        if not params:
            self.gather = average_gather(extent)
        elif extent == 0:
            if feat_size is None:
                raise ValueError("a global gather with parameters needs feat_size, the side of its input")
            self.feat_size = feat_size
            self.gather = global_gather(channels, feat_size, relu=mlp and mlp_relu, dense=dense_gather)
        else:
            self.gather = strided_gather(channels, extent, relu=mlp and mlp_relu)
        self.mlp = make_mlp(channels, channels // reduction, bias=mlp_bias) if mlp else None
        self.sigmoid = nn.Sigmoid()

    def construct(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        width = x.shape[3]
        if self.feat_size != 0 and (height != self.feat_size or width != self.feat_size):
            raise ValueError(
                f"this global gather was built for {self.feat_size}x{self.feat_size} maps, got {height}x{width}"
            )
        context = self.gather(x)
        if self.mlp is not None:
            context = self.mlp(context)
        if self.extent != 0:
            context = ops.interpolate(context, size=(height, width))
        return ops.mul(x, self.sigmoid(context))


def average_gather(extent: int) -> nn.Cell:
    """Theta minus: an average pool over neighbourhoods of 2 * extent - 1, padding not counted."""
    if extent == 0:
        return ms_extras.GlobalAvgPool2d()
    return nn.AvgPool2d(
        kernel_size=2 * extent - 1, stride=extent, padding=extent - 1, count_include_pad=False, 
    pad_mode="pad")


def strided_gather(channels: int, extent: int, relu: bool) -> nn.SequentialCell:
    """Theta: log2(extent) depthwise stride-2 convolutions, ReLU between them and, if `relu`, behind the last."""
    steps = extent.bit_length() - 1
    layers: list[nn.Cell] = []
    for step in range(steps):
        layers.append(
            nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1, group=channels, has_bias=False,
                      pad_mode="pad")
        )
        layers.append(nn.BatchNorm2d(channels))
        if relu or step < steps - 1:
            layers.append(nn.ReLU())
    return nn.SequentialCell(*layers)


def global_gather(channels: int, feat_size: int, relu: bool, dense: bool) -> nn.SequentialCell:
    """Theta, global: one depthwise convolution whose kernel is the whole map."""
    layers: list[nn.Cell] = []
    kernel_size = feat_size
    if dense:
        layers.append(SamePad2d(kernel_size=3, stride=2))
        layers.append(nn.Conv2d(
            channels, channels, kernel_size=3, stride=2, has_bias=False, pad_mode="valid"
        ))
        layers.append(nn.BatchNorm2d(channels))
        kernel_size = halved(feat_size)
    layers.append(nn.Conv2d(
        channels, channels, kernel_size=kernel_size, group=channels, has_bias=False, pad_mode="valid"
    ))
    layers.append(nn.BatchNorm2d(channels))
    if relu:
        layers.append(nn.ReLU())
    return nn.SequentialCell(*layers)


def make_mlp(channels: int, hidden: int, bias: bool) -> nn.SequentialCell:
    """The bottleneck of squeeze-and-excitation as 1x1 convolutions."""
    return nn.SequentialCell(
        nn.Conv2d(channels, hidden, kernel_size=1, has_bias=bias, pad_mode="valid"),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, kernel_size=1, has_bias=bias, pad_mode="valid"),
    )


def make_excite(
    variant: str,
    channels: int,
    extent: int,
    feat_size: int,
    mlp_bias: bool = True,
    mlp_relu: bool = True,
    dense_gather: bool = False,
) -> GatherExcite | None:
    """The Gather-Excite of one residual block; `plain` has none, `se` is a global theta minus with MLP."""
    if variant == "plain":
        return None
    params = variant in ("theta", "theta_plus")
    return GatherExcite(
        channels,
        extent,
        params=params,
        mlp=variant in ("se", "theta_plus"),
        feat_size=feat_size,
        mlp_bias=mlp_bias,
        mlp_relu=mlp_relu,
        dense_gather=dense_gather and params,
    )


def check_variant(variant: str, extent: int) -> None:
    """Raise ValueError for a variant that does not exist or has no such extent."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}")
    if extent not in EXTENTS:
        raise ValueError(f"extent must be one of {EXTENTS}, got {extent}")
    if extent != 0 and variant in ("plain", "se"):
        raise ValueError(f"variant {variant!r} has no extent, got {extent}")


class Bottleneck(nn.Cell):
    """Residual block of three convolutions; Gather-Excite acts on the branch before the shortcut is added."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        excite: GatherExcite | None,
        stride_on: str = "1x1",
        same_pad: bool = False,
        bn_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        stride1 = stride if stride_on == "1x1" else 1
        stride2 = stride if stride_on == "3x3" else 1
        self.conv1 = nn.Conv2d(
            in_channels, width, kernel_size=1, stride=stride1, has_bias=False, pad_mode="valid"
        )
        self.bn1 = nn.BatchNorm2d(width, momentum=1 - bn_momentum)
        # With stride 1, "same" is the usual symmetric padding.
        self.pad = SamePad2d(kernel_size=3, stride=2) if same_pad and stride2 == 2 else None
        padding = 1 if self.pad is None else 0
        self.conv2 = nn.Conv2d(
            width, width, kernel_size=3, stride=stride2, padding=padding, has_bias=False, pad_mode="pad"
        )
        self.bn2 = nn.BatchNorm2d(width, momentum=1 - bn_momentum)
        self.conv3 = nn.Conv2d(width, out_channels, kernel_size=1, has_bias=False, pad_mode="valid")
        self.bn3 = nn.BatchNorm2d(out_channels, momentum=1 - bn_momentum)
        self.relu = nn.ReLU()
        self.excite = excite
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.SequentialCell(
                nn.Conv2d(
                    in_channels, out_channels, kernel_size=1, stride=stride, has_bias=False, pad_mode="valid"
                ),
                nn.BatchNorm2d(out_channels, momentum=1 - bn_momentum),
            )

    def construct(self, x: Tensor) -> Tensor:
        identity = x

        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        if self.pad is not None:
            out = self.pad(out)
        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)

        out = self.conv3(out)
        out = self.bn3(out)

        if self.excite is not None:
            out = self.excite(out)
        if self.downsample is not None:
            identity = self.downsample(x)

        out = ops.add(out, identity)
        return self.relu(out)


class GENet(nn.Cell):
    """ResNet of bottleneck blocks with Gather-Excite in every block of the chosen stages.

    Args:
        layers: blocks of stages 2 to 5 (conv2_x to conv5_x).
        variant: "plain", "se", "theta_minus", "theta" or "theta_plus".
        extent: 2, 4, 8, or 0 for global.
        num_classes: outputs of the classifier.
        img_size: side of the square input; a global gather with parameters accepts no other.
        in_channels: channels of the input.
        stages: the stages, out of 2 to 5, that get Gather-Excite.
        stride_on: "1x1" or "3x3", the convolution that carries a block's stride; None takes the profile's.
        mlp_bias: None takes the profile's.
        pool_size: side of the average-pooled map that the classifier sees.
        profile: "paper" or "zoo".

    Raises:
        ValueError: an argument outside what is listed here.
    """

    def __init__(
        self,
        layers: tuple[int, int, int, int] = RESNET50_LAYERS,
        variant: str = "theta_plus",
        extent: int = 0,
        num_classes: int = 1000,
        img_size: int = 224,
        in_channels: int = 3,
        stages: tuple[int, ...] = (2, 3, 4, 5),
        stride_on: str | None = None,
        mlp_bias: bool | None = None,
        pool_size: int = 1,
        profile: str = "paper",
    ) -> None:
        super().__init__()
        check_variant(variant, extent)
        if profile not in PROFILES:
            raise ValueError(f"profile must be one of {tuple(PROFILES)}, got {profile!r}")
        if profile == "zoo" and extent != 0:
            raise ValueError(f"the zoo profile gathers globally only, got extent {extent}")
        if stride_on not in (None, "1x1", "3x3"):
            raise ValueError(f"stride_on must be '1x1' or '3x3', got {stride_on!r}")
        self.variant = variant
        self.extent = extent
        self.stage_numbers = stages
        self.settings = PROFILES[profile]
        self.stride_on = self.settings.stride_on if stride_on is None else stride_on
        self.mlp_bias = self.settings.mlp_bias if mlp_bias is None else mlp_bias

        self.pad = SamePad2d(kernel_size=7, stride=2) if self.settings.same_pad else None
        padding = 3 if self.pad is None else 0
        self.conv1 = nn.Conv2d(
            in_channels, 64, kernel_size=7, stride=2, padding=padding, has_bias=False, pad_mode="pad"
        )
        self.bn1 = nn.BatchNorm2d(64, eps=self.settings.stem_eps, momentum=1 - self.settings.stem_momentum)
        self.relu = nn.ReLU()
        feat_size = halved(img_size)
        if self.settings.same_pad:
            # Behind a ReLU, padding with zeros and with minus infinity give the same maximum.
            self.maxpool = nn.SequentialCell(
                SamePad2d(kernel_size=3, stride=2), nn.MaxPool2d(kernel_size=3, stride=2)
            )
            feat_size = halved(feat_size)
        else:
            self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True, pad_mode="pad")
            feat_size = feat_size // 2

        self.stages = ms_extras.ModuleList()
        channels = 64
        for index in range(4):
            width = 64 * 2**index
            stride = 1 if index == 0 else 2
            if stride == 2:
                feat_size = halved(feat_size)
            self.stages.append(self.make_stage(index + 2, channels, width, layers[index], stride, feat_size))
            channels = width * Bottleneck.expansion

        self.avgpool = ms_extras.AdaptiveAvgPool2d(pool_size)
        self.flatten = nn.Flatten()
        self.fc = nn.Dense(channels * pool_size * pool_size, num_classes)

    def make_stage(
        self, stage: int, in_channels: int, width: int, blocks: int, stride: int, feat_size: int
    ) -> nn.SequentialCell:
        """The `blocks` blocks of one stage, the first with the stride; `feat_size` is their output's side."""
        variant = self.variant if stage in self.stage_numbers else "plain"
        out_channels = width * Bottleneck.expansion
        modules: list[nn.Cell] = []
        for index in range(blocks):
            excite = make_excite(
                variant,
                out_channels,
                self.extent,
                feat_size,
                mlp_bias=self.mlp_bias,
                mlp_relu=self.settings.mlp_relu,
                dense_gather=self.settings.dense_gather and stage == 2,
            )
            modules.append(
                Bottleneck(
                    in_channels if index == 0 else out_channels,
                    width,
                    stride if index == 0 else 1,
                    excite,
                    stride_on=self.stride_on,
                    same_pad=self.settings.same_pad,
                    bn_momentum=self.settings.block_momentum,
                )
            )
        return nn.SequentialCell(*modules)

    def construct(self, x: Tensor) -> Tensor:
        if self.pad is not None:
            x = self.pad(x)
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)
        for stage in self.stages:
            x = stage(x)
        x = self.avgpool(x)
        x = self.flatten(x)
        return self.fc(x)


class WideBlock(nn.Cell):
    """Pre-activation block of a wide residual network, Gather-Excite before the shortcut is added."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, excite: GatherExcite | None) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, kernel_size=3, stride=stride, padding=1, has_bias=False, pad_mode="pad"
        )
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(
            out_channels, out_channels, kernel_size=3, padding=1, has_bias=False, pad_mode="pad"
        )
        self.relu = nn.ReLU()
        self.excite = excite
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(
                in_channels, out_channels, kernel_size=1, stride=stride, has_bias=False, pad_mode="valid"
            )

    def construct(self, x: Tensor) -> Tensor:
        activated = self.bn1(x)
        activated = self.relu(activated)
        # Where the shape changes, the shortcut starts behind the activation (Zagoruyko and Komodakis).
        identity = x if self.shortcut is None else self.shortcut(activated)

        out = self.conv1(activated)
        out = self.bn2(out)
        out = self.relu(out)
        out = self.conv2(out)

        if self.excite is not None:
            out = self.excite(out)
        return ops.add(out, identity)


class WideGENet(nn.Cell):
    """Wide residual network (WRN-depth-widen_factor, arXiv 1605.07146) with Gather-Excite in every block.

    Args:
        depth: 6 n + 4 for n blocks in each of the three stages.
        widen_factor: multiplies the widths 16, 32, 64.
        variant, extent, num_classes, img_size, in_channels, mlp_bias, pool_size: as for GENet.
        stages: the stages, out of 2 to 4, that get Gather-Excite.

    Raises:
        ValueError: a depth that is not 6 n + 4, an unknown variant, a wrong extent.
    """

    def __init__(
        self,
        depth: int = 16,
        widen_factor: int = 8,
        variant: str = "theta_plus",
        extent: int = 0,
        num_classes: int = 10,
        img_size: int = 32,
        in_channels: int = 3,
        stages: tuple[int, ...] = (2, 3, 4),
        mlp_bias: bool = True,
        pool_size: int = 1,
    ) -> None:
        super().__init__()
        check_variant(variant, extent)
        if depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth must be 6 n + 4 with n >= 1, got {depth}")
        blocks = (depth - 4) // 6

        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1, has_bias=False, pad_mode="pad")
        self.stages = ms_extras.ModuleList()
        channels = 16
        feat_size = img_size
        for index in range(3):
            width = 16 * 2**index * widen_factor
            stage_variant = variant if index + 2 in stages else "plain"
            modules: list[nn.Cell] = []
            for block in range(blocks):
                stride = 2 if index > 0 and block == 0 else 1
                if stride == 2:
                    feat_size = halved(feat_size)
                excite = make_excite(stage_variant, width, extent, feat_size, mlp_bias=mlp_bias)
                modules.append(WideBlock(channels, width, stride, excite))
                channels = width
            self.stages.append(nn.SequentialCell(*modules))

        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.avgpool = ms_extras.AdaptiveAvgPool2d(pool_size)
        self.flatten = nn.Flatten()
        self.fc = nn.Dense(channels * pool_size * pool_size, num_classes)

    def construct(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for stage in self.stages:
            x = stage(x)
        x = self.bn(x)
        x = self.relu(x)
        x = self.avgpool(x)
        x = self.flatten(x)
        return self.fc(x)


def resnet50(num_classes: int = 1000, img_size: int = 224, profile: str = "paper") -> GENet:
    """ResNet-50 without Gather-Excite."""
    return GENet(RESNET50_LAYERS, "plain", 0, num_classes, img_size, profile=profile)


def se_resnet50(num_classes: int = 1000, img_size: int = 224, profile: str = "paper") -> GENet:
    """SE-ResNet-50: global theta minus with the MLP."""
    return GENet(RESNET50_LAYERS, "se", 0, num_classes, img_size, profile=profile)


def ge_resnet50_theta_minus(
    extent: int = 0, num_classes: int = 1000, img_size: int = 224, profile: str = "paper"
) -> GENet:
    """GE-theta-minus on ResNet-50: no additional parameters."""
    return GENet(RESNET50_LAYERS, "theta_minus", extent, num_classes, img_size, profile=profile)


def ge_resnet50_theta(
    extent: int = 0, num_classes: int = 1000, img_size: int = 224, profile: str = "paper"
) -> GENet:
    """GE-theta on ResNet-50: depthwise gather."""
    return GENet(RESNET50_LAYERS, "theta", extent, num_classes, img_size, profile=profile)


def ge_resnet50_theta_plus(
    extent: int = 0, num_classes: int = 1000, img_size: int = 224, profile: str = "paper"
) -> GENet:
    """GE-theta-plus on ResNet-50: depthwise gather and MLP."""
    return GENet(RESNET50_LAYERS, "theta_plus", extent, num_classes, img_size, profile=profile)


def resnet101(num_classes: int = 1000, img_size: int = 224) -> GENet:
    """ResNet-101 without Gather-Excite."""
    return GENet(RESNET101_LAYERS, "plain", 0, num_classes, img_size)


def ge_resnet101_theta_minus(extent: int = 0, num_classes: int = 1000, img_size: int = 224) -> GENet:
    """GE-theta-minus on ResNet-101: no additional parameters."""
    return GENet(RESNET101_LAYERS, "theta_minus", extent, num_classes, img_size)


def ge_resnet101_theta(extent: int = 0, num_classes: int = 1000, img_size: int = 224) -> GENet:
    """GE-theta on ResNet-101: depthwise gather."""
    return GENet(RESNET101_LAYERS, "theta", extent, num_classes, img_size)


def ge_resnet101_theta_plus(extent: int = 0, num_classes: int = 1000, img_size: int = 224) -> GENet:
    """GE-theta-plus on ResNet-101: depthwise gather and MLP."""
    return GENet(RESNET101_LAYERS, "theta_plus", extent, num_classes, img_size)


def wrn16_8_ge(
    variant: str = "theta_plus",
    extent: int = 0,
    num_classes: int = 10,
    img_size: int = 32,
    in_channels: int = 3,
) -> WideGENet:
    """WRN-16-8 with Gather-Excite, the paper's CIFAR network."""
    return WideGENet(16, 8, variant, extent, num_classes, img_size, in_channels)


def wrn10_1_ge(
    variant: str = "theta_plus",
    extent: int = 2,
    num_classes: int = 10,
    img_size: int = 32,
    in_channels: int = 3,
) -> WideGENet:
    """WRN-10-1 with Gather-Excite: three blocks, small enough to train on a CPU."""
    return WideGENet(10, 1, variant, extent, num_classes, img_size, in_channels)


def create_model(
    backbone: str,
    variant: str,
    extent: int,
    num_classes: int,
    img_size: int,
    in_channels: int = 3,
    profile: str = "paper",
) -> nn.Cell:
    """The network that the command lines of this package ask for; raises ValueError for an unknown backbone."""
    if backbone == "resnet50":
        return GENet(RESNET50_LAYERS, variant, extent, num_classes, img_size, in_channels, profile=profile)
    if backbone == "resnet101":
        return GENet(RESNET101_LAYERS, variant, extent, num_classes, img_size, in_channels, profile=profile)
    if profile != "paper":
        raise ValueError(f"backbone {backbone!r} exists in the paper profile only, got {profile!r}")
    if backbone == "wrn16_8":
        return wrn16_8_ge(variant, extent, num_classes, img_size, in_channels)
    if backbone == "wrn10_1":
        return wrn10_1_ge(variant, extent, num_classes, img_size, in_channels)
    raise ValueError(f"backbone must be one of {BACKBONES}, got {backbone!r}")
