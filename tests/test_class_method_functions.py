"""A torch.autograd.Function whose forward and backward are class methods, as entmax has them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest

from porter.convert import convert_source

SOURCE = """
    import torch
    from torch.autograd import Function

    class Power(Function):
        @classmethod
        def exponent(cls, alpha):
            return alpha - 1

        @classmethod
        def forward(cls, ctx, x, alpha=3.0, k=None):
            ctx.alpha = alpha
            y = x ** alpha
            ctx.save_for_backward(x)
            return y

        @classmethod
        def backward(cls, ctx, dy):
            x, = ctx.saved_tensors
            return 5 * dy * ctx.alpha * x ** cls.exponent(ctx.alpha), None, None

    def power(x: torch.Tensor, alpha=3.0, k=None):
        return Power.apply(x, alpha, k)
"""


def test_class_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and the (deliberately scaled) gradient are those of the class, in PYNATIVE mode."""
    import mindspore

    result = convert_source(textwrap.dedent(SOURCE))
    assert not result.diagnostics
    assert "def construct(self, x, alpha=3.0, k=None):" in result.text
    assert "self.exponent(alpha)" in result.text and "ctx" not in result.text
    (tmp_path / "power_port.py").write_text(result.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(result.extras, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    import power_port  # type: ignore[import-not-found]

    x = mindspore.Tensor(np.array([1.0, 2.0, -0.5], np.float32))
    np.testing.assert_allclose(power_port.power(x).asnumpy(), [1, 8, -0.125])
    gradient = mindspore.grad(power_port.power)(x)
    np.testing.assert_allclose(gradient.asnumpy(), [15, 60, 3.75], rtol=1e-6)


def test_instance_method_is_refused() -> None:
    source = textwrap.dedent(SOURCE).replace("    @classmethod\n    def forward(cls, ctx, x,", "    def forward(cls, ctx, x,")
    codes = [d.code for d in convert_source(source).diagnostics]
    assert "MSP211" in codes
