"""Proofs kept from earlier runs: a row is run again only where something that its result depends on has changed.

The key covers the row, the torch source of its examples, what the engine makes of it and of each mutant, the code
that runs and compares, the frameworks and the processor. The engine itself enters by what it emits.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from porter.diagnostics import Location
from porter.parity.proofs import Proof, RowResult, proof_from_json
from porter.table import Row, Table, emitted_definitions, pure_definitions

RUNNING = ("parity", "weights")  # the folders of porter whose code a proof runs
SETTINGS = ("ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS")


def proof_key(row: Row, table: Table, texts: Iterable[str]) -> str:
    """A name for everything that the result of a row depends on; `texts` are the sources on both sides."""
    digest = hashlib.sha256(_surroundings().encode())
    digest.update(repr(replace(row, location=Location(""))).encode())
    digest.update(_cells(table).encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


def row_digest(row: Row) -> str:
    """What a row says, with the emitted definitions that it uses, in short: a proof of something else is none of it."""
    defined = {**pure_definitions(), **emitted_definitions()}
    text = repr(replace(row, location=Location("")))
    waiting, used = re.findall(r"\bemitted\.(\w+)", text), set[str]()
    while waiting:
        name = waiting.pop()
        if name in defined and name not in used:
            used.add(name)
            waiting += defined[name].uses
    return hashlib.sha256("\0".join([text, *(defined[name].text for name in sorted(used))]).encode()).hexdigest()[:16]


def kept_proof(key: str, name: str) -> RowResult | None:
    """The result that was kept under a key."""
    try:
        entry = json.loads((_folder() / f"{key}.json").read_text("utf-8"))
        return RowResult(name, proof_from_json(entry["proof"]), survivors=tuple(entry["survivors"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_proof(key: str, proof: Proof, survivors: tuple[str, ...]) -> None:
    """Keeps a result; a cache that cannot be written only costs time."""
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            json.dump({"proof": proof.to_json(), "survivors": survivors}, file)
        os.replace(file.name, folder / f"{key}.json")
    except OSError:
        pass


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "porter" / "proofs"


@lru_cache(maxsize=1)
def _surroundings() -> str:
    """The code that runs and compares, the frameworks, the interpreter and the processor."""
    here = Path(__file__).parent.parent
    files = sorted(path for folder in RUNNING for path in (here / folder).glob("*.py"))
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    versions = [metadata.version(name) for name in ("torch", "mindspore", "numpy")]
    settings = [os.environ.get(name, "") for name in SETTINGS]
    return json.dumps([code, versions, settings, sys.version, platform.platform(), _processor()])


def _processor() -> str:
    """The model of the processor, where the system tells it: kernels differ by its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())


def _cells(table: Table) -> str:
    """How the table names the weights of every class: an example may hold layers of other rows."""
    return hashlib.sha256(repr(table.cell_weights()).encode()).hexdigest()
