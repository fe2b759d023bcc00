"""The table's generated pages: mappings/README.md, mappings/schema.json and one searchable page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from porter.diagnostics import InputError
from porter.explain import TARGETS, states
from porter.parity.cases import CHECKS, EXAMPLE_KEYS
from porter.parity.proofs import Proof, keyed_rows, proofs_file, read_proofs
from porter.table import ALTERNATIVE_KEYS, KINDS, ROW_KEYS, Row, Table, mappings_directory
from porter.table import TARGETS as DEVICES

States = tuple[str, ...]
Sections = dict[str, dict[str, tuple[Row, States]]]
ORDER = ("proven", "documented", "untried", "failed", "refused")


def pages(table: Table, *, readme: bool, schema: bool, html: Path | None) -> list[tuple[Path, str]]:
    """The asked pages with the paths they belong to."""
    found = []
    if readme:
        found.append((mappings_directory() / "README.md", readme_text(sections(table), recorded_versions())))
    if schema:
        found.append((mappings_directory() / "schema.json", json.dumps(schema_of_table(), indent=1) + "\n"))
    if html is not None:
        found.append((html, html_text(sections(table), recorded_versions())))
    return found


def recorded_versions() -> dict[str, str]:
    """The versions that the recorded proofs hold for; empty where none are recorded."""
    try:
        found = json.loads(proofs_file().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return {**found.get("versions", {}), **({"date": found["date"]} if "date" in found else {})}


def sections(table: Table) -> Sections:
    """Rows by file and key, each with its state on CPU, GPU and Ascend."""
    proofs = read_proofs()
    found: Sections = {}
    for key, row in keyed_rows(table).items():
        proof = proofs.get(key)
        by_target = states(row, proof.to_json() if proof else None)
        state = tuple(by_target[target].partition(" ")[0] for target in TARGETS)
        section = row.location.path.removeprefix("mappings/")
        found.setdefault(section, {})[key] = (row, state)
    return dict(sorted(found.items()))


# --- README.md ---------------------------------------------------------------------------------------------------------


def readme_text(found: Sections, versions: Mapping[str, str]) -> str:
    return "\n".join(_readme_lines(found, versions)) + "\n"


def _readme_lines(found: Sections, versions: Mapping[str, str]) -> Iterator[str]:
    rows = sum(len(rows) for rows in found.values())
    yield "<!-- Generated: make pages -->"
    yield "# The table\n"
    yield f"{rows} rows in {len(found)} files. `porter explain NAME` shows a row; CONTRIBUTING.md says how to add one.\n"
    yield "- **proven**: every example ran on both frameworks, in PYNATIVE and GRAPH mode, with equal values, and every"
    yield "  mutation of the row was noticed. Proofs run on CPU."
    yield "- **documented**: MindSpore's documentation says so; it was not run on that device."
    yield "- **refused**: the call stays as it was and is named, with what to do instead."
    yield "- **untried**, **failed**: not used as a promise.\n"
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"Proven on: {said}.\n" if said else "No proofs are recorded yet: `make prove`.\n"
    yield "| file | rows | " + " | ".join(f"{state} on CPU" for state in ORDER) + " |"
    yield "| --- |" + " ---: |" * (len(ORDER) + 1)
    total: Counter[str] = Counter()
    for section, entries in found.items():
        counts = Counter(state[0] for _, state in entries.values())
        total += counts
        yield f"| [{section}]({section}) | {len(entries)} | " + " | ".join(str(counts[s] or "") for s in ORDER) + " |"
    yield f"| all | {rows} | " + " | ".join(str(total[s] or "") for s in ORDER) + " |"
    for section, entries in found.items():
        yield f"\n## {section}\n"
        yield from _grouped(entries)


def _grouped(entries: Mapping[str, tuple[Row, States]]) -> Iterator[str]:
    """The names that share a state on every device, in one line."""
    groups: dict[States, list[str]] = {}
    for key, (_, state) in entries.items():
        groups.setdefault(state, []).append(key)
    for state in sorted(groups, key=lambda s: [ORDER.index(one) for one in s]):
        yield f"- {_in_words(state)}: {', '.join(f'`{key}`' for key in groups[state])}"


def _in_words(state: States) -> str:
    by_state: dict[str, list[str]] = {}
    for target, one in zip(TARGETS, state):
        by_state.setdefault(one, []).append(target)
    return ", ".join(f"{one} on {' and '.join(targets)}" for one, targets in by_state.items())


# --- what models use ---------------------------------------------------------------------------------------------------

ENGINE = frozenset(["torch.nn.Module", "torch.autograd.Function", "torch.compiler"])  # classes and namespaces, not calls


def demand_text(table: Table, path: Path) -> str:
    """How many of the names that models execute are proven, and which are not, most used first."""
    wanted = _demanded(path)
    proofs = read_proofs()
    missing = {name: _state_of(name, table, proofs) for name in wanted}
    missing = {name: state for name, state in missing.items() if state not in ("proven", "engine")}
    proven = len(wanted) - len(missing)
    share = 100 * proven / len(wanted) if wanted else 100.0
    lines = [f"{len(wanted)} names that models execute: {proven} proven ({share:.1f} %)"]
    return "\n".join([*lines, *(f"  {name} ({wanted[name]} models): {state}" for name, state in missing.items())])


def _demanded(path: Path) -> dict[str, int]:
    """The names of a CSV with the number of models that execute each. Raises InputError for another kind of file."""
    import csv

    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"api", "models_executing"} <= set(rows[0]):
        raise InputError(f"{path}: has no columns api and models_executing")
    found = {_full_name(row["api"]): int(row["models_executing"] or 0) for row in rows}
    return {name: count for name, count in sorted(found.items(), key=lambda f: -f[1]) if count}


def _full_name(name: str) -> str:
    return f"torch.{name}" if name.startswith("Tensor.") else name


def _state_of(name: str, table: Table, proofs: Mapping[str, Proof]) -> str:
    """The weakest state of a name's rows that is no refusal; `engine` for what no row is about."""
    if name in ENGINE:
        return "engine"
    states = {p.state for key, p in proofs.items() if key.partition("#")[0] == name}
    if not table.get(name):
        return "no row"
    return next((s for s in ("failed", "documented", "proven", "refused") if s in states), "untried")


# --- schema.json -------------------------------------------------------------------------------------------------------

TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
TEXT_OR_TEXTS: dict[str, Any] = {"oneOf": [TEXT, TEXTS]}
TEXT_BY_NAME: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
VALUES: dict[str, dict[str, Any]] = {
    "torch": {**TEXT, "description": "the torch name with its whole signature"},
    "kind": {"enum": list(KINDS)},
    "drop": {"type": "boolean", "description": "a call used as a statement vanishes"},
    "refused": {
        "type": "object",
        "required": ["reason"],
        "additionalProperties": False,
        "properties": {"reason": TEXT, "help": TEXT},
    },
    "require": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["that", "else"],
            "additionalProperties": False,
            "properties": {"that": TEXT, "else": TEXT, "help": TEXT},
        },
    },
    "limits": {
        "type": "array",
        "description": "where the row is known to differ from torch and no guard can tell",
        "items": {
            "type": "object",
            "required": ["when", "what"],
            "additionalProperties": False,
            "properties": {"when": TEXT, "what": TEXT},
        },
    },
    "where": TEXT_OR_TEXTS,
    "ignore": TEXTS,
    "fields": TEXTS,
    "cite": TEXTS,
    "weights": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    "fill": {"type": "object", "additionalProperties": {"enum": ["ones", "zeros"]}},
    "attributes": TEXT_BY_NAME,
    "mutants": TEXT_BY_NAME,
    "match": TEXT_BY_NAME,
    "inplace": {"type": "boolean"},
}


def schema_of_table() -> dict[str, Any]:
    """The JSON schema of a table file, for editors; the loader checks more than it can say."""
    alternative = {
        "type": "object",
        "required": ["to"],
        "additionalProperties": False,
        "properties": {key: _alternative_value(key) for key in sorted(ALTERNATIVE_KEYS)},
    }
    values = {
        **VALUES,
        "mindspore": {"oneOf": [TEXT, {"type": "array", "items": {"oneOf": [TEXT, alternative]}}]},
        "examples": {"type": "array", "items": _example_schema()},
    }
    row = {
        "type": "object",
        "oneOf": [{"required": ["torch", "kind"]}, {"required": ["fusion", "match", "mindspore"]}],
        "additionalProperties": False,
        "properties": {key: values.get(key, TEXT) for key in sorted(ROW_KEYS)},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of porter's table",
        "description": "Generated: make pages",
        "type": "array",
        "items": row,
    }


def _alternative_value(key: str) -> dict[str, Any]:
    devices = {"enum": [d for d in DEVICES if d != "portable"]}
    special: dict[str, dict[str, Any]] = {
        "target": {"oneOf": [devices, {"type": "array", "items": devices}]},
        "needs": TEXT_OR_TEXTS,
        "state": {"enum": ["proven", "documented"]},
    }
    return special.get(key, TEXT)


def _example_schema() -> dict[str, Any]:
    special: dict[str, dict[str, Any]] = {
        "call": TEXT,
        "apply": TEXT,
        "setup": TEXT,
        "ported": TEXT,
        "inputs": TEXTS,
        "mode": {"enum": ["train", "eval"]},
        "check": {"type": "array", "items": {"enum": sorted(CHECKS)}},
    }
    return {
        "type": "object",
        "required": ["call"],
        "additionalProperties": False,
        "properties": {key: special.get(key, {}) for key in sorted(EXAMPLE_KEYS)},
    }


# --- the searchable page -------------------------------------------------------------------------------------------------

STYLE = """body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:80em;padding:0 1em;color:#222}
input{font:inherit;width:100%;padding:.5em;box-sizing:border-box;position:sticky;top:0}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3em .6em;border-top:1px solid #ddd}
code{font-size:13px;word-break:break-word}.proven{color:#06660b}.refused,.failed{color:#a00}.documented,.untried{color:#666}
small{color:#555;display:block}"""
SCRIPT = """const rows=[...document.querySelectorAll('tbody tr')],count=document.getElementById('count');
document.getElementById('search').addEventListener('input',event=>{
const words=event.target.value.toLowerCase().split(/\\s+/);let shown=0;
for(const row of rows){const hit=words.every(w=>row.textContent.toLowerCase().includes(w));row.hidden=!hit;shown+=hit}
count.textContent=shown})"""


def html_text(found: Sections, versions: Mapping[str, str]) -> str:
    """The whole table as one page that needs nothing else."""
    rows = [line for entries in found.values() for key, (row, state) in entries.items() for line in _html_row(key, row, state)]
    said = ", ".join(f"{escape(name)} {escape(version)}" for name, version in versions.items())
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>porter: the table</title>',
            f"<style>{STYLE}</style>",
            f'<h1>The table</h1><p><span id="count">{len(rows)}</span> rows. Proven on: {said or "nothing yet"}.</p>',
            '<input id="search" type="search" placeholder="torch or MindSpore name, proven, refused, ..." autofocus>',
            f"<table><thead><tr><th>torch<th>MindSpore{''.join(f'<th>{t}' for t in TARGETS)}</thead><tbody>",
            *rows,
            f"</tbody></table><script>{SCRIPT}</script></html>",
            "",
        ]
    )


def _html_row(key: str, row: Row, state: States) -> Iterator[str]:
    signature = row.name if row.signature.parameters is None else f"{row.name}({row.signature.text()})"
    notes = [row.differs, *(f"requires {g.that}: {g.otherwise}" for g in row.require), *(f"limit: {limit.what}" for limit in row.limits)]
    small = "".join(f"<small>{escape(note)}</small>" for note in notes if note)
    cells = "".join(f'<td class="{one}">{one}' for one in state)
    yield f'<tr id="{escape(key)}"><td><code>{escape(signature)}</code><td>{_html_outcome(row)}{small}{cells}</tr>'


def _html_outcome(row: Row) -> str:
    if row.refused:
        return escape(". ".join(filter(None, row.refused)))
    if row.drop:
        return "left out"
    return "<br>".join(
        f"<code>{escape(a.to)}</code>" + (f" when <code>{escape(a.when)}</code>" if a.when else "")
        for a in row.alternatives
    )
