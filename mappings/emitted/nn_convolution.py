"""Convolution layers of torch.nn whose arguments mindspore.nn does not take as they are."""

import mindspore
from mindspore import nn, ops
from porter.pure import conv_pads, reversed_pads, spread


class Conv1d(nn.Conv1d):
    """torch.nn.Conv1d."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
                 padding_mode='zeros', device=None, dtype=None):
        pads = conv_pads(padding, kernel_size, dilation, 1)
        super().__init__(in_channels, out_channels, spread(kernel_size, 1)[0], stride=spread(stride, 1)[0],
                         pad_mode='pad', dilation=spread(dilation, 1)[0], group=groups, has_bias=bool(bias),
                         dtype=dtype or mindspore.float32)
        self.pads = reversed_pads(pads, 1)
        self.padding = (0, 0, *self.pads)
        self.mode = 'constant' if padding_mode == 'zeros' else padding_mode
        self.groups = groups
        self.padding_mode = padding_mode

    def construct(self, x):
        if self.pads != (0, 0):
            x = ops.pad(x, self.pads, mode=self.mode)
        return super().construct(x)


class Conv2d(nn.Conv2d):
    """torch.nn.Conv2d."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
                 padding_mode='zeros', device=None, dtype=None):
        pads = conv_pads(padding, kernel_size, dilation, 2)
        super().__init__(in_channels, out_channels, spread(kernel_size, 2), stride=spread(stride, 2), pad_mode='pad',
                         padding=pads if padding_mode == 'zeros' else 0, dilation=spread(dilation, 2), group=groups,
                         has_bias=bool(bias), dtype=dtype or mindspore.float32)
        self.pads = reversed_pads(pads, 2)
        self.padding = padding if isinstance(padding, str) else spread(padding, 2)
        self.groups = groups
        self.padding_mode = padding_mode

    def construct(self, x):
        if self.padding_mode != 'zeros':
            x = ops.pad(x, self.pads, mode=self.padding_mode)
        return super().construct(x)


class Conv3d(nn.Conv3d):
    """torch.nn.Conv3d."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
                 padding_mode='zeros', device=None, dtype=None):
        pads = conv_pads(padding, kernel_size, dilation, 3)
        super().__init__(in_channels, out_channels, spread(kernel_size, 3), stride=spread(stride, 3), pad_mode='pad',
                         padding=pads if padding_mode == 'zeros' else 0, dilation=spread(dilation, 3), group=groups,
                         has_bias=bool(bias), dtype=dtype or mindspore.float32)
        self.pads = reversed_pads(pads, 3)
        self.padding = padding if isinstance(padding, str) else spread(padding, 3)
        self.groups = groups
        self.padding_mode = padding_mode

    def construct(self, x):
        if self.padding_mode != 'zeros':
            x = ops.pad(x, self.pads, mode=self.padding_mode)
        return super().construct(x)
