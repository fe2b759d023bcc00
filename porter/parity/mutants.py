"""Mutants of a row: each keyword dropped, each `1 - x` stripped, each pair of weight names swapped."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations

from porter.table import Row


@dataclass(frozen=True)
class Mutant:
    """A row with one deliberate mistake; `text` says which, and is the key under which a row may explain it.

    `place` is the alternative that holds the mistake, counted from 1; 0 is the weights.
    """

    text: str
    row: Row
    place: int = 0

    def __str__(self) -> str:
        return f"{self.text} (alternative {self.place})" if len(self.row.alternatives) > 1 and self.place else self.text


def mutants_of(row: Row) -> Iterator[Mutant]:
    """Every mutant of a row; a proof that passes with one of them proves too little.

    Alternatives for other devices, or that need a fact of a traced run, are documented and not proven: no mutants.
    """
    for index, alternative in enumerate(row.alternatives):
        if not alternative.serves("portable") or alternative.needs:
            continue
        for text, expression in _expression_mutants(alternative.to):
            changed = list(row.alternatives)
            changed[index] = replace(alternative, to=expression)
            yield Mutant(text, replace(row, alternatives=tuple(changed)), index + 1)
    yield from _weight_mutants(row)


def _expression_mutants(text: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(text, mode="eval")
    nodes = list(ast.walk(tree))
    for at, node in enumerate(nodes):
        if isinstance(node, ast.Call):
            for number, keyword in enumerate(node.keywords):
                if keyword.arg is not None:
                    yield (
                        f"drop {keyword.arg}={ast.unparse(keyword.value)}",
                        _without_keyword(tree, at, number),
                    )
        if _is_one_minus(node):
            yield f"strip {ast.unparse(node)}", _without_one_minus(tree, at)


def _is_one_minus(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and isinstance(node.left, ast.Constant)
        and node.left.value == 1
    )


def _without_keyword(tree: ast.Expression, at: int, number: int) -> str:
    copy = deepcopy(tree)
    call = list(ast.walk(copy))[at]
    assert isinstance(call, ast.Call)
    del call.keywords[number]
    return ast.unparse(copy)


def _without_one_minus(tree: ast.Expression, at: int) -> str:
    copy = deepcopy(tree)
    target = list(ast.walk(copy))[at]

    class Strip(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
            if node is target:
                return node.right
            self.generic_visit(node)
            return node

    return ast.unparse(Strip().visit(copy))


def _weight_mutants(row: Row) -> Iterator[Mutant]:
    """Swaps two weights of a module; names that swap roles in training (gamma and variance) must be noticed too."""
    held = [name for name, ported in row.weights.items() if ported is not None]
    for one, other in combinations(held, 2):
        weights = {**row.weights, one: row.weights[other], other: row.weights[one]}
        yield Mutant(f"swap {one} and {other}", replace(row, weights=weights))
