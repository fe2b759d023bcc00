"""What `porter explain` and `porter new` print: a row in words, and the skeleton of one."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.diagnostics import InputError

if TYPE_CHECKING:
    from porter.table import Alternative, Row, Table

TARGETS = ("CPU", "GPU", "Ascend")
WIDTH = 110


def explained(name: str, table: Table) -> str:
    """All rows of a torch name in words. Raises InputError with close names where the table has none."""
    rows = table.get(name) or table.get(f"torch.{name}")
    if not rows:
        raise InputError(f"the table has no row called {name}", _close_names(name, table))
    proofs = _proofs()
    parts = []
    for number, row in enumerate(rows, 1):
        key = row.name if number == 1 else f"{row.name}#{number}"
        parts.append("\n".join(_lines(row, proofs.get("rows", {}).get(key), proofs.get("versions", {}), table)))
    return "\n\n".join(parts)


def _close_names(name: str, table: Table) -> str:
    known = list(table.rows)
    last = name.rpartition(".")[2].lower()
    same = [k for k in known if k.rpartition(".")[2].lower() == last]
    close = list(dict.fromkeys([*difflib.get_close_matches(name, known, 4), *same[:4]]))
    return f"close names: {', '.join(close[:5])}" if close else "names are written in full, as torch.nn.Conv2d"


def _proofs() -> dict[str, Any]:
    from porter.table import mappings_directory

    path = mappings_directory() / "proofs.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}", "run `porter prove --write` to make it again") from None
    return found if isinstance(found, dict) else {}


# --- a row in words --------------------------------------------------------------------------------------------------


def _lines(row: Row, proof: dict[str, Any] | None, versions: dict[str, str], table: Table) -> Iterator[str]:
    yield from _wrapped(f"{row.name}({row.signature.text()})" if row.signature.parameters is not None else row.name, "")
    yield _entry("row", f"{row.location.path}:{row.location.line}")
    if row.where:
        yield _entry("where", row.where)
    yield from _outcome(row)
    for guard in row.require:
        yield _entry("requires", f"{guard.that}; otherwise {guard.otherwise}")
    for limit in row.limits:
        yield _entry("limit", limit.what)
    if row.ignore:
        yield _entry("ignores", ", ".join(row.ignore))
    if row.differs:
        yield _entry("differs", row.differs)
    if row.weights or row.fill:
        yield _entry("weights", _weights(row))
    if row.cite:
        yield _entry("see", ", ".join(row.cite))
    for target, state in states(row, proof).items():
        yield _entry(f"{target}", state + (_proven_on(proof, versions) if state == "proven" and proof else ""))
    yield from _example(row, table)


def _entry(title: str, text: str) -> str:
    return "\n".join(_wrapped(text, title))


def _wrapped(text: str, title: str) -> list[str]:
    indent = "  " + " " * 10 if title else "    "
    first = f"  {title:10}" if title else ""
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [first.rstrip()]  # fmt: skip


def _outcome(row: Row) -> Iterator[str]:
    if row.refused:
        reason, help = row.refused
        yield _entry("refused", reason)
        if help:
            yield _entry("help", help)
    elif row.drop:
        yield _entry("becomes", "nothing: the call has no meaning in MindSpore and is left out")
    for alternative in row.alternatives:
        yield _entry("becomes", alternative.to + _conditions(alternative))


def _conditions(alternative: Alternative) -> str:
    said = [f"when {alternative.when}"] if alternative.when else []
    said += [f"on {', '.join(alternative.target)}"] if alternative.target else []
    said += [f"needs {', '.join(alternative.needs)}"] if alternative.needs else []
    return f"   [{'; '.join(said)}]" if said else ""


def _weights(row: Row) -> str:
    named = [f"{ours} -> {theirs if theirs is not None else 'nothing'}" for ours, theirs in row.weights.items()]
    return ", ".join([*named, *(f"{name} = {value} where torch has none" for name, value in row.fill.items())])


def states(row: Row, proof: dict[str, Any] | None) -> dict[str, str]:
    """proven, documented, refused, failed or untried by device: GPU and Ascend have only the documentation's word."""
    found = {}
    for target in TARGETS:
        if row.refused or (row.alternatives and not any(a.serves(target) for a in row.alternatives)):
            found[target] = "refused"
        elif target == "CPU":
            found[target] = str(proof["state"]) if proof else "untried (run porter prove)"
        else:
            found[target] = "documented"
    return found


def _proven_on(proof: dict[str, Any], versions: dict[str, str]) -> str:
    modes = f" in {' and '.join(proof['modes'])} mode" if proof.get("modes") else ""
    mutants = f", mutants killed {proof['mutants']}" if proof.get("mutants") else ""
    return f"{modes} on {', '.join(f'{n} {v}' for n, v in versions.items())}{mutants}"


# --- an example before and after ---------------------------------------------------------------------------------------


def _example(row: Row, table: Table) -> Iterator[str]:
    shown = [e for e in row.examples if not e.get("refused") and isinstance(e.get("call"), str)]
    example = next((e for e in shown if row.short_name in e["call"]), None)
    if example is None:
        return
    after = _remembered(row, example, table)
    if after is None:
        return
    yield _entry("before", example["call"])
    yield _entry("after", after)
    if "ms_extras." in after:
        yield _entry("", "ms_extras.py is written beside the ported file").replace("  ", " " * 12, 1)


def converted(row: Row, example: Mapping[str, Any], table: Table) -> str | None:
    """The converted call of an example, by the engine; None where the call vanishes or is left as it was."""
    from porter.convert import convert_source
    from porter.parity.cases import Case, ported_expression, read_example, torch_source

    read = read_example(example)
    case = Case("Example1", 0, "", read.call)
    text = torch_source(row, [read], [case])
    return ported_expression(convert_source(text, table=table).text, row, case)


def _remembered(row: Row, example: Mapping[str, Any], table: Table) -> str | None:
    """The converted call, kept in the user's cache: starting the engine takes longer than all else here."""
    key = hashlib.sha256(json.dumps([_stamps(), row.name, row.location.line, example], default=str).encode()).hexdigest()
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "porter" / "examples"
    kept = folder / f"{key[:24]}.json"
    try:
        found = json.loads(kept.read_text("utf-8"))
    except (OSError, ValueError):
        found = converted(row, example, table)
        try:
            from porter.files import write_text

            write_text(kept, json.dumps(found))
        except OSError:
            pass  # the cache only saves time
    return found if isinstance(found, str) else None


def _stamps() -> list[int]:
    """Change when the engine or the table does."""
    from porter.table import table_files

    engine = Path(__file__).parent.glob("*.py")
    return [p.stat().st_mtime_ns for p in sorted([*engine, *table_files()])]


# --- porter new --------------------------------------------------------------------------------------------------------


def skeleton(name: str) -> str:
    """A row to fill in, with the signature that the installed torch has. Raises InputError where torch has no such name."""
    found = _torch_object(name)
    kind = _kind(name, found)
    text = signature_of(name, found, kind)
    parameters = [p for p in _parameter_names(text) if p not in ("self", "device", "dtype")]
    ignored = [p for p in ("device",) if p in _parameter_names(text)]
    lines = [
        f"- torch: {text}",
        f"  kind: {kind}",
        f"  mindspore: {_guess(name, kind, parameters)}",
        *([f"  ignore: [{', '.join(ignored)}]"] if ignored else []),
        "  # require: [{that: CONDITION, else: SENTENCE, help: WHAT TO DO}]",
        "  # differs: one sentence",
        f"  cite: [{_citation(name, kind)}]",
        "  examples:",
        f"    - {{call: {_example_call(name, kind, parameters)!r}, inputs: ['float32[2,3,5,7]']}}",
    ]
    return "\n".join(lines)


def _torch_object(name: str) -> Any:
    try:
        import torch
    except ImportError:
        raise InputError(
            "porter new reads the signature from torch, which is not installed", "pip install 'porter[frameworks]'"
        ) from None
    if name.partition(".")[0] != "torch":
        raise InputError(f"{name}: not a torch name", "write it in full, as torch.nn.Conv2d")
    found: Any = torch
    for number, part in enumerate(name.split(".")[1:], 1):
        if not hasattr(found, part):
            raise InputError(_no_such(name, number, torch.__version__), _close_attributes(found, part))
        found = getattr(found, part)
    return found


def _no_such(name: str, number: int, version: str) -> str:
    parts = name.split(".")
    return f"{'.'.join(parts[:number])} has no {parts[number]!r} in torch {version}"


def _close_attributes(found: Any, part: str) -> str:
    lower = {n.lower(): n for n in dir(found)}
    close = [lower[n] for n in difflib.get_close_matches(part.lower(), lower, 3)]
    return f"close names: {', '.join(close)}" if close else ""


def _kind(name: str, found: Any) -> str:
    import torch

    of_tensor = name.startswith(("torch.Tensor.", "torch.nn.Module."))
    if isinstance(found, type):
        return "module" if issubclass(found, torch.nn.Module) else "function"
    if callable(found):
        return "method" if of_tensor else "function"
    return "attribute" if of_tensor else "value"


def signature_of(name: str, found: Any, kind: str) -> str:
    """The row's signature, without annotations; what has none by inspection is read off the first line of its docstring."""
    if kind in ("attribute", "value"):
        return name
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return _documented_signature(name, found, kind)
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    text = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return f"{name}{text.replace(', /', '')}"


def _documented_signature(name: str, found: Any, kind: str) -> str:
    first = (inspect.getdoc(found) or "").partition("->")[0].partition("\n")[0].strip()
    inside = first.partition("(")[2].rpartition(")")[0] if "(" in first else ""
    if kind == "method":
        inside = ", ".join(["self", *([inside] if inside else [])])
    text = f"{name}({inside})"
    if not inside:
        return f"{name}(...)"
    try:
        from porter.signature import parse_signature

        parse_signature(text)
    except ValueError:
        return f"{name}({'self, ' if kind == 'method' else ''}...)"
    return text


def _parameter_names(text: str) -> list[str]:
    from porter.signature import parse_signature

    try:
        return list(parse_signature(text).by_name)
    except ValueError:
        return []


def _guess(name: str, kind: str, parameters: Iterable[str]) -> str:
    last = name.rpartition(".")[2]
    given = ", ".join(parameters)
    return {
        "module": f"mindspore.nn.{last}({given})",
        "function": f"mindspore.ops.{last}({given})",
        "method": f"self.{last}({given})",
        "attribute": f"self.{last}",
        "value": f"mindspore.{last}",
    }[kind]


def _citation(name: str, kind: str) -> str:
    last = name.rpartition(".")[2]
    home = {"module": "nn", "function": "ops"}.get(kind, "Tensor")
    return f"docstring:mindspore.{home}.{last}"


def _example_call(name: str, kind: str, parameters: list[str]) -> str:
    last = name.rpartition(".")[2]
    given = ", ".join(parameters)
    if kind == "attribute":
        return f"x0.{last}"
    if kind == "method":
        return f"x0.{last}({given})"
    if kind == "value":
        return f"x0.to({name})"
    return f"{name}({given if kind == 'module' else ', '.join(['x0', *parameters[1:]])})"
