"""A forward pass that runs once more for a second loss draws its random numbers anew: torch keeps what the first one drew."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.carrying import reached
from porter.nodes import walk
from porter.places import Backward

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter

RANDOM = ("random.", "numpy.random.", "torch.rand", "torch.bernoulli", "torch.normal", "torch.multinomial", "torch.nn.functional.dropout",
          "torch.nn.functional.alpha_dropout", "torch.nn.functional.gumbel_softmax", "torch.distributions.")  # fmt: skip
LAYERS = frozenset({"torch.nn." + n for n in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "RReLU")})
METHODS = frozenset({"normal_", "uniform_", "bernoulli", "bernoulli_", "random_", "exponential_", "rsample"})


def check_again(rewriter: Rewriter, step: Backward) -> None:
    """Reports what would be drawn a second time where statements before another step are computed again."""
    drawn = {ast.unparse(c.func) for s in step.again for c in walk(s) if isinstance(c, ast.Call) and _draws(rewriter, c, rewriter.module)}
    networks, _ = reached(rewriter, step.again)
    holders = [n for n in sorted(networks) if _network_draws(rewriter, step, n)]
    if drawn or holders:
        shown = ", ".join([*sorted(drawn), *holders])
        rewriter.report(
            step.place.node, "MSP213", f"the forward pass of this loss runs once more, and {shown} draws other random numbers than the first time",
            "draw the numbers before, and pass them to the network; dropout in it differs between the two passes, where torch keeps one mask",
        )  # fmt: skip


def _draws(rewriter: Rewriter, call: ast.Call, module: object) -> bool:
    name = rewriter.program.dotted(module, call.func) or ""  # type: ignore[arg-type]
    return name.startswith(RANDOM) or (isinstance(call.func, ast.Attribute) and call.func.attr in METHODS)


def draws(rewriter: Rewriter, call: ast.Call) -> bool:
    """Whether a call draws random numbers; making a distribution draws none."""
    drawn = _draws(rewriter, call, rewriter.module) or (isinstance(call.func, ast.Attribute) and call.func.attr == "sample")
    return drawn and not (rewriter.program.dotted(rewriter.module, call.func) or "").startswith("torch.distributions.")


def _network_draws(rewriter: Rewriter, step: Backward, text: str) -> bool:
    """Whether a network of the program holds dropout, or draws numbers in its own code."""
    kinds = [k for s in step.again for n in walk(s) if isinstance(n, ast.Name | ast.Attribute) and ast.unparse(n) == text for k in rewriter.kinds(n)]
    return any(_class_draws(rewriter, k.of, set()) for k in kinds)


def _class_draws(rewriter: Rewriter, name: str, seen: set[str]) -> bool:
    if name in LAYERS:
        return True
    cls = rewriter.program.classes.get(name)
    if cls is None or name in seen:
        return False
    seen.add(name)
    initial = {id(n) for m in cls.node.body if isinstance(m, ast.FunctionDef) and m.name.startswith(("init", "_init", "reset")) for n in walk(m)}
    for node in walk(cls.node):
        if not isinstance(node, ast.Call) or id(node) in initial:
            continue
        called = rewriter.program.dotted(cls.module, node.func) or ""
        if called in LAYERS or called.startswith(RANDOM) or _class_draws(rewriter, called, seen):
            return True
    return any(_class_draws(rewriter, base, seen) for base in rewriter.program.bases(name))
