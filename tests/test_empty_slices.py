"""Assignments through slice objects that may take nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from porter.convert import convert_source


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WINDOWS = """\
import torch


def mask(n, size, shift):
    image = torch.zeros((1, n, n))
    count = 0
    for h in (slice(0, -size), slice(-size, -shift), slice(-shift, None)):
        for w in (slice(0, -size), slice(-size, -shift), slice(-shift, None)):
            image[:, h, w] = count
            count += 1
    return image
"""


@pytest.mark.parametrize("n", [4, 6])
def test_a_slice_that_takes_nothing_is_not_assigned_to(n: int, tmp_path: Path) -> None:
    (tmp_path / "windows.py").write_text(convert_source(WINDOWS).text, "utf-8")
    (tmp_path / "windows_torch.py").write_text(WINDOWS, "utf-8")
    ported, original = _load(tmp_path / "windows.py", "windows"), _load(tmp_path / "windows_torch.py", "windows_torch")
    np.testing.assert_array_equal(ported.mask(n, 4, 2).asnumpy(), original.mask(n, 4, 2).numpy())


def test_written_slices_and_numbers_are_assigned_as_they_are() -> None:
    text = "import torch\n\n\ndef f(x: torch.Tensor, n: int):\n    x = x + 1\n    x[:, n:] = 0\n    x[n] = 1\n    return x\n"
    assert "    x[:, n:] = 0\n    x[n] = 1\n" in convert_source(text).text
