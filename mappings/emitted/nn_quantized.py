"""Float arithmetic of torch.ao.nn.quantized, which networks that may be quantized write as layers."""

from mindspore import nn, ops


class FloatFunctional(nn.Cell):
    """torch.ao.nn.quantized.FloatFunctional: operations as methods, so that an observer could follow them."""

    def construct(self, x):
        raise RuntimeError("FloatFunctional is not called itself: use its methods")

    def add(self, x, y):
        return x + y

    def add_scalar(self, x, y):
        return x + y

    def mul(self, x, y):
        return x * y

    def mul_scalar(self, x, y):
        return x * y

    def cat(self, x, dim=0):
        return ops.cat(x, dim)

    def add_relu(self, x, y):
        return ops.relu(x + y)

    def matmul(self, x, y):
        return ops.matmul(x, y)


class QuantStub(nn.Identity):
    """torch.ao.quantization.QuantStub: the identity, until a network is quantized."""

    def __init__(self, qconfig=None):
        super().__init__()


class DeQuantStub(nn.Identity):
    """torch.ao.quantization.DeQuantStub: the identity, until a network is quantized."""

    def __init__(self, qconfig=None):
        super().__init__()
