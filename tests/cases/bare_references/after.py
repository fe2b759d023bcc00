"""Classes of torch used as values."""

from functools import partial

from mindspore import nn
import ms_extras

ACTIVATIONS = {"relu": ms_extras.ReLU, "leaky": ms_extras.LeakyReLU}


class ConvNorm(ms_extras.Sequential):
    def __init__(self, channels, norm_layer=None, activation="leaky"):
        norm_layer = norm_layer or partial(ms_extras.BatchNorm2d, eps=1e-3, momentum=0.01)
        super().__init__(
            nn.Conv2d(channels, 2 * channels, 3, stride=2, pad_mode="pad", padding=(1, 1, 2, 2),
                      has_bias=True),
            norm_layer(2 * channels),
            ACTIVATIONS[activation](),
            ms_extras.MaxPool2d(3, stride=2, padding=1),
        )


class Scaled(ms_extras.Linear):
    def construct(self, x):
        return super().construct(x) * 2
