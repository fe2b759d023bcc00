"""Padding layers of torch.nn that mindspore.nn does not have or that crop wrongly there."""

from mindspore import nn, ops

from porter.pure import spread


def crop(x, padding):
    """Takes off what the negative entries of a torch padding (last axis first) take off."""
    for i in range(len(padding) // 2):
        axis = x.ndim - 1 - i
        begin = max(-padding[2 * i], 0)
        length = x.shape[axis] - begin - max(-padding[2 * i + 1], 0)
        if length == 0:
            x = x[(slice(None),) * axis + (slice(0, 0),)]  # ops.narrow refuses to leave nothing
        elif length != x.shape[axis]:
            x = ops.narrow(x, axis, begin, length)
    return x


class CircularPad1d(nn.Cell):
    """torch.nn.CircularPad1d."""

    def __init__(self, padding):
        super().__init__()
        self.padding = spread(padding, 2)
        self.outside = tuple(max(side, 0) for side in self.padding)

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside, mode='circular')


class CircularPad2d(nn.Cell):
    """torch.nn.CircularPad2d."""

    def __init__(self, padding):
        super().__init__()
        self.padding = spread(padding, 4)
        self.outside = tuple(max(side, 0) for side in self.padding)

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside, mode='circular')


class CircularPad3d(nn.Cell):
    """torch.nn.CircularPad3d."""

    def __init__(self, padding):
        super().__init__()
        self.padding = spread(padding, 6)
        self.outside = tuple(max(side, 0) for side in self.padding)

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside, mode='circular')


class ConstantPad1d(nn.Cell):
    """torch.nn.ConstantPad1d."""

    def __init__(self, padding, value):
        super().__init__()
        self.padding = spread(padding, 2)
        self.outside = tuple(max(side, 0) for side in self.padding)
        self.value = value

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside, value=self.value)


class ConstantPad2d(nn.Cell):
    """torch.nn.ConstantPad2d."""

    def __init__(self, padding, value):
        super().__init__()
        self.padding = spread(padding, 4)
        self.outside = tuple(max(side, 0) for side in self.padding)
        self.value = value

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside, value=self.value)


class ConstantPad3d(nn.Cell):
    """torch.nn.ConstantPad3d."""

    def __init__(self, padding, value):
        super().__init__()
        self.padding = spread(padding, 6)
        self.outside = tuple(max(side, 0) for side in self.padding)
        self.value = value

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside, value=self.value)


class ZeroPad1d(nn.Cell):
    """torch.nn.ZeroPad1d."""

    def __init__(self, padding):
        super().__init__()
        self.padding = spread(padding, 2)
        self.outside = tuple(max(side, 0) for side in self.padding)

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside)


class ZeroPad2d(nn.Cell):
    """torch.nn.ZeroPad2d."""

    def __init__(self, padding):
        super().__init__()
        self.padding = spread(padding, 4)
        self.outside = tuple(max(side, 0) for side in self.padding)

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside)


class ZeroPad3d(nn.Cell):
    """torch.nn.ZeroPad3d."""

    def __init__(self, padding):
        super().__init__()
        self.padding = spread(padding, 6)
        self.outside = tuple(max(side, 0) for side in self.padding)

    def construct(self, x):
        return ops.pad(crop(x, self.padding), self.outside)
