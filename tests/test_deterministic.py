"""The same source gives the same port in every process, whatever seed Python hashes texts with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from porter.convert import WORTH_A_PROCESS

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


NET = """
import torch
from net{other} import Net as Other

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d({n} + 1)

    def forward(self, x):
        return torch.log1p(self.norm(x)).to_mkldnn()  # no row for it
"""
CONVERTED = """
import multiprocessing, sys
from porter import convert
class Context:
    def Pool(self, jobs):
        print("forked", jobs, file=sys.stderr)
        return context("fork").Pool(jobs)
context = multiprocessing.get_context
multiprocessing.get_context = lambda method: Context()
files = {sources}
tree = convert.convert_tree(files, jobs={jobs})
print(list(tree.files.items()), tree.diagnostics, sorted(tree.changed), tree.extras)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process converts")
def test_several_processes_rewrite_a_large_tree_to_the_same() -> None:
    count = 2 * WORTH_A_PROCESS
    files = {f"net{n}.py": NET.format(n=n, other=(n + 1) % count) for n in range(count)}
    alone, together = (converted(files, jobs) for jobs in (1, 2))
    assert together.stdout == alone.stdout
    assert alone.stdout.count("ms_extras.log1p(") == alone.stdout.count("Diagnostic(") == count
    assert (alone.stderr, together.stderr) == ("", "forked 2\n")


def converted(files: dict[str, str], jobs: int) -> subprocess.CompletedProcess[str]:
    code = CONVERTED.format(sources=files, jobs=jobs)
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
