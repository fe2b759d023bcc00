"""The sweep's figures of a text: comments that went with their code are excused, others are lost."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from sweep_text import figures_of

SOURCE = """import torch

# above the guard
if torch.jit.is_scripting():
    # inside the guard
    scripted = True  # beside it
x = torch.zeros(3)  # zeros
"""


def test_comments_of_removed_code_are_excused() -> None:
    ported = "import mindspore\n\n# above the guard\nx = mindspore.ops.zeros(3)  # zeros\n"
    figures = figures_of({"a.py": SOURCE}, {"a.py": ported})
    assert (figures.comments, len(figures.removed_with_code), figures.lost) == (4, 2, [])


def test_a_comment_whose_code_is_still_there_is_lost() -> None:
    figures = figures_of({"a.py": "import math\nx = math.pi  # first\ny = 2\n"}, {"a.py": "import math\nx = math.pi\ny = 2\n"})
    assert figures.lost == ["a.py:2 # first"]
    assert (figures.removed_with_code, figures.without_torch, figures.touched) == ([], 1, ["a.py"])


def test_a_comment_inside_a_rewritten_chain_is_lost() -> None:
    source = "import torch\nx = (\n    torch.ones(2)\n    # not too small\n    .clamp(1)\n)\n"
    figures = figures_of({"a.py": source}, {"a.py": "import mindspore\nx = mindspore.ops.clamp(mindspore.ops.ones(2), 1)\n"})
    assert (figures.lost, figures.removed_with_code) == (["a.py:4 # not too small"], [])


def test_what_does_not_parse_is_named() -> None:
    figures = figures_of({"a.py": "x = 1\n", "b.py": "y = 2\n"}, {"a.py": "x = = 1\n", "b.py": "y = 2\n"})
    assert (figures.unparsable, figures.files, figures.touched) == (["a.py"], 2, [])
