"""The same source gives the same port in every process, whatever seed Python hashes texts with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

KINDS = """
from porter import kinds as K
many = frozenset(K.Kind("object", f"net.Layer{i}", (K.TENSOR,), ("first", "second")) for i in range(40))
print([k.of for k in many], hash(many))
"""
READERS = """
from porter.infer import Inference
from porter.program import build_program
from porter.table import load_table
source = "import torch\\nwidth = 3\\n" + "".join(
    f"def f{i}(x, y=None):\\n    return g(x, f{(i * 7) % 30}(y), width)\\n" for i in range(30)) + "def g(*a):\\n    return f1(a)\\n"
program, _ = build_program({"net.py": source}, load_table())
inference = Inference(program).run()
print([list(readers) for readers in inference.readers.values()], inference.visits)
"""
REFERENCE = """
from pathlib import Path
from porter.convert import convert_tree
from porter.program import read_sources
tree = convert_tree(read_sources(Path("reference_torch")))
print(list(tree.files.items()), tree.diagnostics, tree.extras)
"""


def printed(code: str, seed: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("code", [KINDS, READERS, REFERENCE], ids=["kinds", "readers", "reference"])
def test_hash_seed_changes_nothing(code: str) -> None:
    first = printed(code, 1)
    assert first.strip()
    assert [printed(code, seed) == first for seed in (2, 3)] == [True, True]


def test_hash_seed_changes_the_order_of_sets() -> None:
    """The control: what the tests above would see if a set of texts decided."""
    code = "print({f'name{i}' for i in range(40)})"
    assert len({printed(code, seed) for seed in (1, 2, 3)}) > 1
