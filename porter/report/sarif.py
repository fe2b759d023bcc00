"""Diagnostics as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from porter import __version__
from porter.diagnostics import Diagnostic

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

BANDS = {
    "0": ("table", "A row of the operator table breaks a law"),
    "1": ("unknown-name", "The name is not in the operator table"),
    "2": ("refused", "The call is refused by a guard or on this target"),
    "3": ("unknown-receiver", "The receiver or a fact about it is not known"),
    "4": ("weights", "Checkpoint and Cell do not fit"),
    "5": ("parity", "Reference and ported model differ"),
    "6": ("pitfall", "Code that behaves otherwise after porting"),
    "9": ("internal", "The file could not be handled"),
}
_LEVELS = {"6": "warning", "9": "error"}


def sarif(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """The log object of one run; rules in order of their codes, results in the order given."""
    codes = sorted({d.code for d in diagnostics})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "porter", "version": __version__, "rules": [_rule(c) for c in codes]}
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(d, codes.index(d.code)) for d in diagnostics],
            }
        ],
    }


def _band(code: str) -> str:
    return code[3:4]


def _rule(code: str) -> dict[str, Any]:
    name, description = BANDS.get(_band(code), ("diagnostic", "A finding of porter"))
    return {
        "id": code,
        "name": name,
        "shortDescription": {"text": description},
        "defaultConfiguration": {"level": _LEVELS.get(_band(code), "error")},
    }


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    text = diagnostic.message
    if diagnostic.help:
        text += f"\nhelp: {diagnostic.help}"
    if diagnostic.rule:
        text += f"\nrule: {diagnostic.rule}"
    place = diagnostic.location
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(PurePath(place.path).as_posix())}}
    if place.line:
        physical["region"] = {"startLine": place.line, "startColumn": max(place.column, 1)}
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": _LEVELS.get(_band(diagnostic.code), "error"),
        "message": {"text": text},
        "locations": [{"physicalLocation": physical}],
    }
    if diagnostic.symbol:
        result["locations"][0]["logicalLocations"] = [{"fullyQualifiedName": diagnostic.symbol}]
    return result
