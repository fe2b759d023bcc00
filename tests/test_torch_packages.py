"""Imports from packages built on torch, for which the table has no rows, are named."""

from __future__ import annotations

import pytest

from porter.convert import convert_source, convert_tree


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("from transformers import AutoModel", ["MSP102"]),
        ("from transformers import AutoTokenizer", []),
        ("import pytorch_lightning as pl, os", ["MSP102"]),
        ("import torch_geometric.nn as gnn", ["MSP102"]),
        ("try:\n    import timm\nexcept ImportError:\n    timm = None", []),
        ("from .transformers import Model", []),
        ("from torch.utils.data import Dataset", []),
    ],
)
def test_a_package_built_on_torch_is_named(line: str, codes: list[str]) -> None:
    assert [d.code for d in convert_source(f"import torch\n{line}\n").diagnostics] == codes


def test_a_package_that_is_ported_too_is_not() -> None:
    files = {"timm/__init__.py": "import torch\n", "timm/net.py": "import torch\nimport timm\nfrom timm import *\n"}
    assert convert_tree(files).diagnostics == ()
