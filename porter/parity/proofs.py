"""The file mappings/proofs.json: the state of every row, with the versions it was proven on."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from porter.diagnostics import InputError
from porter.table import Row, Table, mappings_directory

NOT_INSTALLED = "is not installed where the proofs ran"
State = Literal["proven", "documented", "refused", "failed"]


@dataclass(frozen=True)
class Proof:
    """The state of one row; `mutants` is (killed, total), `fuzz` what became of random calls, by outcome."""

    state: State
    modes: tuple[str, ...] = ()
    mutants: tuple[int, int] = (0, 0)
    note: str = ""
    fuzz: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"state": self.state}
        if self.modes:
            entry["modes"] = list(self.modes)
        if self.mutants[1]:
            entry["mutants"] = f"{self.mutants[0]}/{self.mutants[1]}"
        if self.fuzz:
            entry["fuzz"] = dict(self.fuzz)
        if self.note:
            entry["note"] = self.note
        return entry


def proof_from_json(entry: Mapping[str, Any]) -> Proof:
    """The reverse of Proof.to_json."""
    killed, _, total = str(entry.get("mutants", "0/0")).partition("/")
    return Proof(
        entry["state"],
        tuple(entry.get("modes", ())),
        (int(killed), int(total)),
        entry.get("note", ""),
        entry.get("fuzz", {}),
    )


@dataclass(frozen=True)
class Failure:
    """Why one case does not hold; `reproduction` is a script that shows it."""

    case: str
    stage: str
    message: str
    reproduction: str = ""

    def __str__(self) -> str:
        return f"{self.case}: {self.stage}: {self.message}"


@dataclass(frozen=True)
class RowResult:
    """The proof of one row with what failed, and how long it took in seconds.

    `raised` are random calls that no guard refuses and that MindSpore cannot run: loud, but a guard is missing;
    `stated` are random calls with another value where a limit of the row says so;
    `gradients` are random calls with the right value and another gradient, or none.
    """

    key: str
    proof: Proof
    failures: tuple[Failure, ...] = ()
    survivors: tuple[str, ...] = ()
    raised: tuple[Failure, ...] = ()
    stated: tuple[Failure, ...] = ()
    gradients: tuple[Failure, ...] = ()
    seconds: float = 0.0


def keyed_rows(table: Table) -> dict[str, Row]:
    """Every row under its key: the torch name, and `name#2`, `name#3` for further overloads."""
    found: dict[str, Row] = {}
    for row in table:
        key, number = row.name, 1
        while key in found:
            number += 1
            key = f"{row.name}#{number}"
        found[key] = row
    return dict(sorted(found.items()))


def proofs_file() -> Path:
    return mappings_directory() / "proofs.json"


def read_proofs(path: Path | None = None) -> dict[str, Proof]:
    """The recorded proofs by row key; empty where none were written. Raises InputError for a damaged file."""
    path = path or proofs_file()
    return {key: proof_from_json(entry) for key, entry in _read(path).get("rows", {}).items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read: {error}", "run `porter prove --write` to make it again"
        ) from None
    return content if isinstance(content, dict) else {}


def write_proofs(
    proofs: Mapping[str, Proof],
    versions: Mapping[str, str],
    date: str,
    keys: Iterable[str],
    path: Path | None = None,
    digests: Mapping[str, str] | None = None,
) -> bool:
    """Merges proofs into the file, drops keys that the table no longer has; keeps the date where nothing changed.

    `digests` tell what the rows of packages say that may be absent. The file is replaced whole or not at all. Returns whether it
    changed.
    """
    path = path or proofs_file()
    old = _read(path)
    rows = dict(old.get("rows", {})) if old.get("versions") == dict(versions) else {}
    said = digests or {}
    rows |= {key: _merged(proof.to_json(), rows.get(key, {}), said.get(key)) for key, proof in proofs.items()}
    known = set(keys)
    rows = {key: rows[key] for key in sorted(rows) if key in known}
    if old.get("rows") == rows and old.get("versions") == dict(versions):
        return False
    content = {"versions": dict(sorted(versions.items())), "date": date, "rows": rows}
    _replace(path, _lines(content))
    return True


def _merged(new: dict[str, Any], old: Mapping[str, Any], digest: str | None) -> dict[str, Any]:
    """A proof without random calls keeps what an earlier one recorded of them; where a row could not run here, and says what it
    said when it was proven, it stays proven."""
    if old.get("state") == "proven" and new.get("note", "").endswith(NOT_INSTALLED) and old.get("of") == digest:
        return dict(old)
    if digest is not None and new["state"] == "proven":
        new = {**new, "of": digest}
    return {**new, "fuzz": old["fuzz"]} if "fuzz" in old and "fuzz" not in new else new


def _lines(content: Mapping[str, Any]) -> str:
    """JSON with one row a line, so that a diff names the rows that changed."""
    rows = ",\n".join(
        f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in content["rows"].items()
    )
    head = f'{{\n "versions": {json.dumps(content["versions"])},\n "date": {json.dumps(content["date"])},\n'
    return f'{head} "rows": {{\n{rows}\n }}\n}}\n' if rows else f'{head} "rows": {{}}\n}}\n'


def _replace(path: Path, text: str) -> None:
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, delete=False, encoding="utf-8", suffix=".tmp"
        ) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error}", "choose another file with --output") from None
