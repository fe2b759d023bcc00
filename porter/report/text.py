"""Parity results as a table for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from porter.parity.compare import Comparison
    from porter.parity.models import LayerDifference, ModelParity


def parity_text(results: Iterable[ModelParity]) -> str:
    """The table of layers, what else was compared, and the verdict of each mode."""
    blocks = []
    for result in results:
        blocks += [layer_table(result), group_lines(result), result.verdict]
    return "\n".join(block for block in blocks if block)


def layer_table(result: ModelParity) -> str:
    """One line for each layer, in the order of the calls; the first that differs is marked."""
    if not result.layers:
        return ""
    first = result.first_difference
    width = max(len(layer.path) for layer in result.layers)
    kinds = max(len(layer.kind) for layer in result.layers)
    lines = [f"{'layer':{width}}  {'kind':{kinds}}  largest difference"]
    for layer in result.layers:
        mark = "  <- differs first" if layer is first else "" if layer.passed else "  differs"
        lines.append(f"{layer.path:{width}}  {layer.kind:{kinds}}  {shown(layer)}{mark}")
    return "\n".join(lines)


def shown(layer: LayerDifference) -> str:
    """A layer's difference, or why it has none."""
    if layer.fused_with:
        return f"fused, see {layer.fused_with}"
    if layer.comparison is None:
        return "no layer there in the port"
    if layer.comparison.problem in ("", "values"):
        return f"{layer.comparison.difference:.1e}"
    return layer.comparison.sentence


def group_lines(result: ModelParity) -> str:
    """One line for outputs, gradients, losses and trained weights each, with the worst of them."""
    lines = []
    for name, group in groups(result):
        worst = max(group, key=lambda c: (not c.passed, c.difference))
        failed = sum(not c.passed for c in group)
        state = f"{failed} of {len(group)} differ" if failed else "equal"
        lines.append(f"{name:17}  {state}, largest difference {worst.difference:.1e} ({worst.name})")
    return "\n".join(lines)


def groups(result: ModelParity) -> list[tuple[str, Sequence[Comparison]]]:
    """What was compared besides layers, under the names that reports use; empty groups are left out."""
    named = (
        ("outputs", result.outputs),
        ("gradients", result.gradients),
        ("training losses", result.losses),
        ("trained weights", result.trained),
    )
    return [(name, group) for name, group in named if group]


def parity_json(results: Iterable[ModelParity]) -> list[dict[str, Any]]:
    """The same as plain data."""
    return [
        {
            "mode": result.mode,
            "passed": result.passed,
            "verdict": result.verdict,
            "first_difference": result.first_difference.path if result.first_difference else None,
            "layers": [
                {
                    "path": layer.path,
                    "kind": layer.kind,
                    "passed": layer.passed,
                    "difference": _number(layer.comparison.difference) if layer.comparison else None,
                    "fused_with": layer.fused_with or None,
                }
                for layer in result.layers
            ],
            **{name.replace(" ", "_"): [_entry(c) for c in group] for name, group in groups(result)},
            "seconds": {"torch": round(result.seconds[0], 3), "mindspore": round(result.seconds[1], 3)},
        }
        for result in results
    ]


def _entry(comparison: Comparison) -> dict[str, Any]:
    return {
        "name": comparison.name,
        "passed": comparison.passed,
        "difference": _number(comparison.difference),
        "tolerance": comparison.tolerance,
        "said": comparison.sentence,
    }


def _number(value: float) -> float | None:
    """JSON has no infinity."""
    return value if isfinite(value) else None
