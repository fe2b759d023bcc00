"""Functions whose backward is not the gradient of their forward."""

import torch
from torch import nn
from torch.autograd import Function


class Swish(Function):
    """Swish with its own gradient."""

    @staticmethod
    def forward(ctx, x):
        # keeps the input only
        result = x * torch.sigmoid(x)
        ctx.save_for_backward(x)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        x = ctx.saved_tensors[0]
        s = torch.sigmoid(x)
        return grad_output * (s * (1 + x * (1 - s)))


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha=2.0):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        if not ctx.needs_input_grad[0]:
            return None, None
        return grad.neg() * ctx.alpha, None


class Normed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, eps: float):
        mean = x.mean(-1, keepdim=True)
        y = (x - mean) * w
        ctx.save_for_backward(y, w)
        ctx.mean, ctx.eps = mean, eps
        return y.exp()

    @staticmethod
    def backward(ctx, g: torch.Tensor) -> torch.Tensor:
        y, w = ctx.saved_tensors
        return g * y.exp() * w, (g * y).sum(0), None


class Kept(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        mean = x.mean(-1, keepdim=True)
        ctx.mean = mean
        y = (x - mean) * w
        ctx.save_for_backward(y, w)
        return y.exp()

    @staticmethod
    def backward(ctx, g):
        y, w = ctx.saved_tensors
        return g * y.exp() * w * ctx.mean, (g * y.sigmoid()).sum(0)


class Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        y, = ctx.saved_tensors
        return g * y * 3


class Two(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.size = x.size()
        return x.sum(0), x.max()

    @staticmethod
    def backward(ctx, a, b):
        return a.expand(ctx.size) + b


scale = Scale.apply


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(0.5, 1, 4))

    def forward(self, x):
        x = Swish.apply(x) + Scale.apply(x) + scale(x, 3.0)
        x = Kept.apply(x, self.w)
        a, b = Two.apply(Both.apply(x * 0.1))
        return a + b

    def plain(self, x):
        x = x * torch.sigmoid(x) + x + x
        x = ((x - x.mean(-1, keepdim=True)) * self.w).exp()
        y = (x * 0.1).exp()
        return y.sum(0) + y.max()
