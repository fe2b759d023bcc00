"""Settings that must stand before MindSpore is imported, and a device that tells of a failure at once."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

# before any test module imports a framework
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_v", "3")

import pytest

_blocking = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """PYNATIVE mode is asynchronous: without this, a kernel that fails is reported by a later test."""
    global _blocking
    mindspore = sys.modules.get("mindspore")
    if not _blocking and hasattr(mindspore, "runtime"):
        mindspore.runtime.launch_blocking()
        _blocking = True


class Sides(NamedTuple):
    """A source as torch runs it and as it was ported, both imported, and the ported text."""

    original: ModuleType
    ported: ModuleType
    text: str


_NUMBERS = itertools.count()


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Callable[..., Sides]]:
    """Ports a source that has no diagnostic, or those named, and imports both sides from files, which GRAPH mode reads."""

    def load(source: str, *codes: str) -> Sides:
        from porter.convert import convert_source
        from porter.parity.ported import load_source

        result = convert_source(source, path="net.py")
        assert [d.code for d in result.diagnostics] == list(codes), result.diagnostics
        number = next(_NUMBERS)
        original = load_source(tmp_path, f"original_{number}", source, "")
        return Sides(original, load_source(tmp_path, f"ported_{number}", result.text, result.extras), result.text)

    yield load
    sys.modules.pop("ms_extras", None)


def same_weights(cell: Any, module: Any) -> None:
    """Gives a Cell the weights of a torch module whose parameters and buffers have the same names."""
    import mindspore

    own, given = {p.name: p for p in cell.get_parameters()}, module.state_dict()
    assert own.keys() == given.keys()
    for name, value in given.items():
        own[name].set_data(mindspore.Tensor(value.numpy().reshape(own[name].shape)))


@pytest.fixture(params=[0, 1], ids=["graph", "pynative"])
def compare(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Asserts, once in each mode, that a Cell gives what a torch module with the same weights gives for a float32 array."""

    def check(cell: Any, module: Any, x: Any, *, rtol: float = 1e-5, atol: float = 1e-6) -> None:
        import mindspore
        import numpy as np
        import torch

        same_weights(cell, module)
        expected = module(torch.tensor(x)).detach().numpy()
        mindspore.set_context(mode=request.param)
        try:
            np.testing.assert_allclose(cell(mindspore.Tensor(x)).asnumpy(), expected, rtol=rtol, atol=atol)
        finally:
            mindspore.set_context(mode=mindspore.PYNATIVE_MODE)

    return check


_module_at_hand: object = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The emitted module of one test file is not that of the next."""
    global _module_at_hand
    if item.path != _module_at_hand:
        _module_at_hand = item.path
        sys.modules.pop("ms_extras", None)
