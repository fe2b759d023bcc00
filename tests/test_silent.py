"""The mistranslations that other tools make without a word: both frameworks run, and must agree.

Each snippet defines `run(x)`, or `Net`, whose weights are copied. Inputs are chosen so that the known wrong answers
differ visibly; what a wrong answer would be is checked too where it can be computed.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from porter.convert import Ported, convert_source
from porter.parity.ported import load_source, to_mindspore
from porter.parity.samples import parse_spec

torch = pytest.importorskip("torch")
mindspore = pytest.importorskip("mindspore")

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom functools import partial\nfrom torch import Tensor\n\n\n"


class Both:
    """A torch source and its port, loaded side by side."""

    def __init__(self, text: str, folder: Path) -> None:
        source = HEAD + textwrap.dedent(text)
        self.converted: Ported = convert_source(source)
        assert self.converted.diagnostics == (), self.converted.diagnostics
        self.reference: dict[str, Any] = {"__name__": "reference"}
        exec(compile(source, "reference.py", "exec"), self.reference)
        self.ported: ModuleType = load_source(folder, "ported_snippet", self.converted.text, self.converted.extras)

    def compare(self, *arrays: np.ndarray, name: str = "run") -> np.ndarray:
        """The reference's answer, after the port gave the same one."""
        wanted = self.reference[name](*(torch.from_numpy(a.copy()) for a in arrays))
        spec = parse_spec("float32[1]")
        found = getattr(self.ported, name)(*(to_mindspore(a.copy(), spec) for a in arrays))
        equal(found, wanted)
        return np.asarray(wanted.detach().numpy() if isinstance(wanted, torch.Tensor) else 0)


def equal(found: Any, wanted: Any) -> None:
    if isinstance(wanted, tuple | list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted):
            equal(one, other)
    elif isinstance(wanted, torch.Tensor):
        assert tuple(found.shape) == tuple(wanted.shape)
        np.testing.assert_allclose(found.asnumpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-5)
    else:
        assert found == wanted


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Callable[[str], Both]]:
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    yield lambda text: Both(text, tmp_path)
    for name in ("ported_snippet", "ms_extras"):
        sys.modules.pop(name, None)


@pytest.fixture
def image() -> np.ndarray:
    """Negative throughout, so that a zero of a padding shows; 8 pixels, so that 'same' padding shifts the windows."""
    return (-1.5 - np.random.RandomState(0).rand(2, 3, 8, 8)).astype(np.float32)


# 1 and 4
def test_padding_of_pools(both: Callable[[str], Both], image: np.ndarray) -> None:
    pools = both(
        """
        def run(x: Tensor):
            return nn.MaxPool2d(3, stride=2, padding=1)(x), F.max_pool2d(x, 3, 2, 1)

        def average(x: Tensor):
            return nn.AvgPool2d(3, 2, 1)(x), F.avg_pool2d(x, 3, 2, 1)
        """
    )
    pools.compare(image)
    pools.compare(image, name="average")
    assert pools.ported.run(mindspore.Tensor(image))[0].asnumpy().max() < 0  # padded with -inf, not with zeros


# 2
def test_default_slope_of_leaky_relu(both: Callable[[str], Both], image: np.ndarray) -> None:
    slope = both("def run(x: Tensor):\n    return nn.LeakyReLU()(x), F.leaky_relu(x)\n")
    slope.compare(image)


# 3
@pytest.mark.parametrize(
    "expression",
    ["torch.flatten(x)", "torch.flatten(x, 2)", "x.flatten(1)", "x[:1].squeeze()", "x[:1].squeeze(0)", "x.mean(1, True)",
     "x.sum((2, 3), keepdim=True)", "x.max(1)[0]", "x.transpose(1, 2)", "x.std(1)", "x.var(1, unbiased=False)"],
)  # fmt: skip
def test_arguments_that_others_lose(both: Callable[[str], Both], image: np.ndarray, expression: str) -> None:
    both(f"def run(x: Tensor):\n    return {expression}\n").compare(image)


# 5
CLASSES = """
class Scaled(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2

class Net(nn.Module):
    def __init__(self, norm_layer=nn.BatchNorm2d, pool=nn.MaxPool2d):
        super().__init__()
        self.a = getattr(nn, "Conv2d")(3, 4, 3, padding=1)
        self.b = norm_layer(4)
        self.c = partial(nn.BatchNorm2d, eps=0.5, momentum=0.01)(4)
        self.d = {"relu": nn.ReLU, "leaky": nn.LeakyReLU}["leaky"]()
        self.e = pool(3, 2, 1)
        self.f = Scaled(4, 2)
        self.convolutions = sum(isinstance(m, nn.Conv2d) for m in self.modules())

    def forward(self, x: Tensor):
        return self.f(self.e(self.d(self.c(self.b(self.a(x))))).mean((2, 3)))
"""


def test_classes_used_as_values(both: Callable[[str], Both], image: np.ndarray) -> None:
    from porter.parity.models import compare_models

    pair = both(CLASSES)
    reference, ported = pair.reference["Net"](), pair.ported.Net()
    assert reference.convolutions == ported.convolutions == 1
    [result] = compare_models(reference, ported, [image])
    assert result.passed, result.verdict


# 6
def test_other_peoples_methods(both: Callable[[str], Both], image: np.ndarray) -> None:
    pair = both(
        """
        import numpy as np

        class Meter:
            def type(self, kind="meter"):
                return kind

        def run(x: Tensor):
            meter, table, names = Meter(), {"a": 1}, ["a", "b"]
            table.update(b=np.zeros((2, 3)).max(1).sum())
            return meter.type(), meter.type("x"), sorted(table), names.index("b"), "a b".split(), x.size(0)
        """
    )
    pair.compare(image)


# 7
def test_no_import_is_missing(both: Callable[[str], Both], image: np.ndarray) -> None:
    pair = both(
        """
        import torch.nn as other, math
        from torch.nn import functional as G, Conv2d as C

        def inner(x: Tensor):
            from torch import relu
            import torch as t
            return relu(t.abs(x)) + math.pi

        def run(x: Tensor):
            return inner(x), G.relu(x), other.ReLU()(x), F.softmax(x, 1), isinstance(other.ReLU(), C)
        """
    )
    pair.compare(image)


# 8
def test_statistics_and_defaults_of_norms(both: Callable[[str], Both], image: np.ndarray) -> None:
    from porter.parity.models import Plan, compare_models

    pair = both(
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.BatchNorm2d(3)
                self.b = nn.BatchNorm2d(3, momentum=0.3, eps=0.1)
                self.c = nn.LayerNorm(8)
                self.d = nn.GroupNorm(3, 3)

            def forward(self, x: Tensor):
                x = x * 1e-2  # small, so that eps counts
                return self.a(x) + 2 * self.b(x) + 3 * self.c(x) * x + 4 * self.d(x) * x
        """
    )
    [result] = compare_models(
        pair.reference["Net"](), pair.ported.Net(), [image], plan=Plan(gradients=True, steps=2)
    )
    assert result.passed, result.verdict


# 9
def test_in_place_methods_keep_their_effect(both: Callable[[str], Both], image: np.ndarray) -> None:
    pair = both(
        """
        def run(x: Tensor):
            a = x.clone()
            a.add_(1, alpha=3)
            b = x * 1
            b.mul_(a)
            b.clamp_(-1, 5)
            c = x + 0
            c += b
            c[:, 0] = 7
            d = torch.zeros(2, 3)
            d.fill_(2.5)
            return a, b, c, d
        """
    )
    pair.compare(image)


def test_an_in_place_call_that_cannot_be_kept_is_named() -> None:
    result = convert_source(HEAD + "def run(x: Tensor):\n    torch.zeros(3).expand(2, 3)[:1].mul_(2)\n    (x * 1).clamp_(-1, 5).add_(1)\n    return x\n")
    assert {d.code for d in result.diagnostics} == {"MSP204"}


# 10
def test_a_comparison_of_nothing_is_not_accepted(image: np.ndarray) -> None:
    """A wrong slope behind a factor of zero, or in a net whose fresh parameters hide it, must be found."""
    from mindspore import nn as cells

    from porter.parity.models import compare_models
    from porter.parity.samples import perturb

    class Reference(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm2d(3)
            torch.nn.init.zeros_(self.norm.weight)

        def forward(self, x: Any) -> Any:
            return self.norm(x)

    class Wrong(cells.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm = cells.BatchNorm2d(3)

        def construct(self, x: Any) -> Any:
            return self.norm(x) * 1.5

    reference = Reference()
    [blind] = compare_models(reference, Wrong(), [image])
    assert blind.passed  # as others would leave it
    perturb(reference, 0, [torch.from_numpy(image)])
    [result] = compare_models(reference, Wrong(), [image])
    assert not result.passed
