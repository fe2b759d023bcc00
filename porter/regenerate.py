"""Writes ported_ms/ anew from reference_torch/: `python -m porter.regenerate [--check]`, in the repository."""

from __future__ import annotations

import sys
from pathlib import Path

from porter.convert import PortedTree, convert_tree
from porter.diagnostics import InputError
from porter.files import read_tree, write_text
from porter.kinds import join
from porter.table import load_table
from porter.trace import Facts, trace

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "reference_torch"
PORTED = ROOT / "ported_ms"
INPUT = ("float32[2,3,64,64]",)
TRACED = (
    "genet.model:GENet((1, 1, 1, 1), 'theta_plus', 0, 10, 64)",
    "genet.model:GENet((1, 1, 1, 1), 'theta_plus', 0, 10, 64, profile='zoo')",
    "genet.model:WideGENet(10, 1, 'theta_plus', 2, 10, 64)",
)


def traced() -> Facts:
    """What runs of both profiles show."""
    return merged([trace(spec, INPUT, (REFERENCE,)) for spec in TRACED])


def ported_tree(facts: Facts, *, fuse: bool = False, target: str = "portable") -> PortedTree:
    """The port of reference_torch."""
    texts, _ = read_tree((REFERENCE,))
    return convert_tree(texts, table=load_table(), facts=facts, fuse=fuse, target=target)


def merged(found: list[Facts]) -> Facts:
    """What several runs saw together."""
    spans = {span for facts in found for span in facts.kinds}
    shaped = {span for facts in found for span in facts.shapes}
    entered = {span for facts in found for span in facts.entering}
    return Facts(
        kinds={s: join(*(f.kinds[s] for f in found if s in f.kinds)) for s in spans},
        shapes={s: frozenset().union(*(f.shapes.get(s, frozenset()) for f in found)) for s in shaped},
        entering={s: frozenset().union(*(f.entering.get(s, frozenset()) for f in found)) for s in entered},
    )


def main(arguments: list[str]) -> int:
    """Writes what changed and takes away what is no longer there; with --check it only names that."""
    tree = ported_tree(traced())
    old = read_tree((PORTED,))[0] if PORTED.is_dir() else {}
    stale = sorted(n for n in {*old, *tree.files} if old.get(n) != tree.files.get(n))
    if "--check" in arguments:
        print(*(f"{PORTED.name}/{name}: not what porter gives; run make ported" for name in stale), sep="\n")
        return 1 if stale else 0
    for name in stale:
        if name in tree.files:
            write_text(PORTED / name, tree.files[name])
        else:
            (PORTED / name).unlink()
        print(f"{PORTED.name}/{name}")
    for diagnostic in tree.diagnostics:
        print(diagnostic)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(f"porter: error: {error}")
