"""Linear layers of torch.nn whose arguments mindspore.nn does not take as they are."""

import mindspore
from mindspore import nn


class Linear(nn.Dense):
    """torch.nn.Linear."""

    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
        super().__init__(in_features, out_features, has_bias=bool(bias), dtype=dtype or mindspore.float32)
        self.in_features = in_features
        self.out_features = out_features


class Bilinear(nn.BiDense):
    """torch.nn.Bilinear."""

    def __init__(self, in1_features, in2_features, out_features, bias=True, device=None, dtype=None):
        super().__init__(
            in1_features, in2_features, out_features, has_bias=bool(bias), dtype=dtype or mindspore.float32
        )


class Identity(nn.Identity):
    """torch.nn.Identity: takes and ignores any arguments."""

    def __init__(self, *args, **kwargs):
        super().__init__()
