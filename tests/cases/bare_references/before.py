"""Classes of torch used as values."""

from functools import partial

from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "leaky": nn.LeakyReLU}


class ConvNorm(nn.Sequential):
    def __init__(self, channels, norm_layer=None, activation="leaky"):
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        super().__init__(
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=(1, 2)),
            norm_layer(2 * channels),
            ACTIVATIONS[activation](),
            getattr(nn, "MaxPool2d")(3, stride=2, padding=1),
        )


class Scaled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2
