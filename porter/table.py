"""The operator-mapping table: rows read from mappings/*.yaml, strictly, and kept compiled in a cache."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import symtable
import sys
import tempfile
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from porter import __version__
from porter.diagnostics import Diagnostic, InputError, Location
from porter.signature import Signature, parse_signature

KINDS = ("module", "function", "method", "attribute", "value")
ROW_KEYS = frozenset(
    ["torch", "kind", "mindspore", "drop", "refused", "require", "limits", "ignore", "returns", "fields", "weights", "fill", "attributes", "differs", "cite", "adapter", "examples", "mutants", "since", "until", "where", "inplace", "fusion", "match", "rule", "note"]
)
ALTERNATIVE_KEYS = frozenset(["when", "target", "needs", "to", "state"])
GUARD_KEYS = frozenset(["that", "else", "help"])
LIMIT_KEYS = frozenset(["when", "what"])
REFUSED_KEYS = frozenset(["reason", "help"])
PREDICATES = frozenset(
    ["is_int", "is_float", "is_number", "is_bool", "is_str", "is_none", "is_tensor", "is_parameter", "is_sequence", "is_size", "is_empty", "is_dtype", "given"]
)
LIMIT_NAMES = frozenset(["inputs", "integral", "torch"])  # what a limit may read besides the arguments
KEPT_TABLES = 8  # compiled forms of other versions of the table, so that two of them do not compile in turns
TARGETS = ("portable", "CPU", "GPU", "Ascend")


@dataclass(frozen=True)
class Alternative:
    """One right side of a row: expression `to` holds where `when` does, on the devices of `target`."""

    to: str
    when: str | None = None
    target: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    state: str = "proven"

    def serves(self, target: str) -> bool:
        """Whether the alternative may be used for a device target; portable means GPU and Ascend document it too."""
        if not self.target:
            return True
        return "CPU" in self.target if target == "portable" else target in self.target


@dataclass(frozen=True)
class Guard:
    """A condition without which the right side would be wrong, and what to say then."""

    that: str
    otherwise: str
    help: str = ""


@dataclass(frozen=True)
class Limit:
    """Where the right side is known to differ and no guard can tell: `when` reads the arguments and `inputs` of a run."""

    when: str
    what: str


@dataclass(frozen=True)
class Row:
    """One row of the table: a torch name and what it is in MindSpore."""

    signature: Signature
    kind: str
    location: Location
    alternatives: tuple[Alternative, ...] = ()
    drop: bool = False
    refused: tuple[str, str] | None = None
    where: str | None = None
    require: tuple[Guard, ...] = ()
    limits: tuple[Limit, ...] = ()
    ignore: tuple[str, ...] = ()
    returns: str = "Tensor"
    fields: tuple[str, ...] = ()
    weights: Mapping[str, str | None] = field(default_factory=dict)
    fill: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    inplace: bool = False
    adapter: str | None = None
    differs: str = ""
    note: str = ""  # why no run on CPU proves a mapped row without example
    cite: tuple[str, ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ()
    mutants: Mapping[str, str] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None

    @property
    def name(self) -> str:
        return self.signature.name

    @property
    def torch(self) -> Signature:
        """The torch signature, under the name of its key in the file."""
        return self.signature

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    @cached_property
    def cells(self) -> tuple[str, ...]:
        """Qualified names of the MindSpore or emitted classes that a module row builds."""
        found: dict[str, None] = {}
        if self.adapter:
            found[self.adapter] = None
        for alternative in self.alternatives:
            node = ast.parse(alternative.to, mode="eval").body
            if isinstance(node, ast.Call):
                found[ast.unparse(node.func)] = None
        return tuple(found)


class _Compiled(Mapping[str, tuple[Row, ...]]):
    """Rows by torch name, each built from its compiled form when it is first asked for."""

    def __init__(self, entries: Iterable[dict[str, Any]]) -> None:
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._rows: dict[str, tuple[Row, ...]] = {}
        for entry in entries:
            name = entry["row"]["torch"].partition("(")[0].strip()
            self._entries.setdefault(name, []).append(entry)

    def __getitem__(self, name: str) -> tuple[Row, ...]:
        if name not in self._rows:
            self._rows[name] = tuple(_row_from_compiled(entry) for entry in self._entries[name])
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True)
class Table:
    """All rows, by torch name; several rows of one name are tried in order."""

    rows: Mapping[str, tuple[Row, ...]]

    def __iter__(self) -> Iterator[Row]:
        for rows in self.rows.values():
            yield from rows

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    def get(self, name: str) -> tuple[Row, ...]:
        return self.rows[name] if name in self.rows else ()

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Every dotted name that has rows below it: torch, torch.nn, torch.nn.Conv2d …"""
        found: set[str] = set()
        for name in self.rows:
            head = name.rpartition(".")[0]
            while head and head not in found:
                found.add(head)
                head = head.rpartition(".")[0]
        return frozenset(found)

    def with_row(self, row: Row) -> Table:
        """A table in which `row` stands in place of the row at the same location."""
        rows = tuple(row if r.location == row.location else r for r in self.get(row.name))
        return Table(ChainMap({row.name: rows if row in rows else (row,)}, self.rows))  # type: ignore[arg-type]

    def extended(self, rows: Iterable[Row]) -> Table:
        """A table in which the given rows come before, and so win over, rows of the same name."""
        merged = dict(self.rows)
        for name, own in _by_name(rows).items():
            merged[name] = own
        return Table(merged)

    def cell_weights(self) -> tuple[Any, ...]:
        """How parameters of each MindSpore class are named in torch (see porter.weights.names)."""
        return self._cell_weights

    @cached_property
    def _cell_weights(self) -> tuple[Any, ...]:
        from porter.weights.names import CellWeights

        found: dict[str, Any] = {}
        for row in self:
            if row.kind != "module":
                continue
            for cell in row.cells:
                if (row.weights or row.fill) and cell not in found:
                    found[cell] = CellWeights(cell=cell, weights=dict(row.weights), fill=dict(row.fill))
                    if cell.startswith("mindspore."):
                        adapter = f"emitted.{row.short_name}"
                        found.setdefault(adapter, replace(found[cell], cell=adapter))
        return tuple(found.values())


def mappings_directory() -> Path:
    """Where the YAML files lie: inside the wheel, or at the top of the repository."""
    inside = Path(__file__).parent / "mappings"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "mappings"


def table_files(directory: Path | None = None) -> list[Path]:
    return sorted((directory or mappings_directory()).glob("*/*.yaml"))


@lru_cache(maxsize=4)
def load_table(extra: tuple[Path, ...] = ()) -> Table:
    """The shipped table and the user's own tables, whose rows win. Raises InputError for a table that breaks a law."""
    files = table_files()
    table = Table(_Compiled(_cached_entries(files)))
    for path in extra:
        rows, problems = read_rows(path)
        _raise(problems)
        table = table.extended(rows)
    return table


def _raise(problems: list[Diagnostic]) -> None:
    if problems:
        raise InputError("\n".join(str(p) for p in problems), "mend the rows named above, then run again")


def _by_name(rows: Iterable[Row]) -> dict[str, tuple[Row, ...]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row)
    return {name: tuple(same) for name, same in found.items()}


# --- the compiled form ---------------------------------------------------------------------------------------------


def _cached_entries(files: list[Path]) -> list[dict[str, Any]]:
    stamps = [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files]
    key = hashlib.sha256(json.dumps([__version__, _source_stamp(), stamps]).encode()).hexdigest()[:24]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "porter"
    cache = folder / f"table-{key}.json"
    try:
        kept: list[dict[str, Any]] = json.loads(cache.read_text("utf-8"))
        return kept
    except (OSError, ValueError):
        pass
    entries: list[dict[str, Any]] = []
    problems: list[Diagnostic] = []
    for path in files:
        found, bad = read_entries(path)
        entries += found
        problems += bad
    problems += _duplicates(entries)
    if problems and os.environ.get("PORTER_TABLE") == "draft":
        # while rows are being written: those that stand are used, those that do not are named
        print(*problems, sep="\n", file=sys.stderr)
        return entries
    _raise(problems)
    _write_cache(cache, entries)
    return entries


def _duplicates(entries: list[dict[str, Any]]) -> Iterator[Diagnostic]:
    """Rows of one name stand in one file, where their order can be read."""
    first: dict[str, str] = {}
    for entry in entries:
        name = entry["row"]["torch"].partition("(")[0]
        path = first.setdefault(name, entry["path"])
        if path != entry["path"]:
            place = Location(entry["path"], entry["line"], 1)
            yield Diagnostic(place, "MSP010", f"{name} has rows in {path} too", "keep the rows of one name in one file")


def _source_stamp() -> int:
    return Path(__file__).stat().st_mtime_ns


def _write_cache(cache: Path, entries: list[dict[str, Any]]) -> None:
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        kept = sorted(cache.parent.glob("table-*.json"), key=lambda path: path.stat().st_mtime_ns)
        for old in kept[: 1 - KEPT_TABLES]:
            old.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache.parent, delete=False, encoding="utf-8") as temporary:
            json.dump(entries, temporary)
        os.replace(temporary.name, cache)
    except OSError:
        pass  # the cache only saves time


def _row_from_compiled(entry: dict[str, Any]) -> Row:
    raw = entry["row"]
    refused = raw.get("refused")
    return Row(
        signature=parse_signature(raw["torch"]) if raw["torch"].endswith(")") else Signature(raw["torch"], None),
        kind=raw["kind"],
        location=Location(entry["path"], entry["line"]),
        alternatives=tuple(_alternative(a) for a in _listed(raw.get("mindspore"))),
        drop=raw.get("drop", False),
        refused=(refused["reason"], refused.get("help", "")) if refused else None,
        where=raw.get("where"),
        require=tuple(_guard(g) for g in raw.get("require", ())),
        limits=tuple(Limit(limit["when"], limit["what"]) for limit in raw.get("limits", ())),
        ignore=tuple(raw.get("ignore", ())),
        returns=raw.get("returns", "Tensor"),
        fields=tuple(raw.get("fields", ())),
        weights=raw.get("weights") or {},
        fill=raw.get("fill") or {},
        attributes=raw.get("attributes") or {},
        inplace=raw.get("inplace", False),
        adapter=raw.get("adapter"),
        differs=raw.get("differs", ""),
        note=raw.get("note", ""),
        cite=tuple(raw.get("cite", ())),
        examples=tuple(raw.get("examples", ())),
        mutants=raw.get("mutants") or {},
        since=raw.get("since"),
        until=raw.get("until"),
    )


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _alternative(value: Any) -> Alternative:
    if isinstance(value, str):
        return Alternative(value)
    return Alternative(
        to=value["to"],
        when=value.get("when"),
        target=tuple(_listed(value.get("target"))),
        needs=tuple(_listed(value.get("needs"))),
        state=value.get("state", "proven"),
    )


def _guard(value: Mapping[str, str]) -> Guard:
    return Guard(value["that"], value["else"], value.get("help", ""))


# --- reading YAML, with its laws -------------------------------------------------------------------------------------


def read_rows(path: Path) -> tuple[list[Row], list[Diagnostic]]:
    """The rows of one file and what breaks a law in it, with file and line."""
    entries, problems = read_entries(path)
    return [_row_from_compiled(entry) for entry in entries], problems


def read_entries(path: Path) -> tuple[list[dict[str, Any]], list[Diagnostic]]:
    """Raw rows with their places; a row that breaks a law becomes a diagnostic instead."""
    import yaml

    shown = _shown(path)
    try:
        text = path.read_text("utf-8")
        node = yaml.compose(text, Loader=_strict_loader())
        values = yaml.load(text, Loader=_strict_loader()) or []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{shown}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Location(shown, mark.line + 1, mark.column + 1) if mark else Location(shown)
        problem = str(getattr(error, "problem", None) or error)
        return [], [Diagnostic(place, "MSP001", f"not valid YAML: {problem}", "mend the syntax at this place")]
    if node is None:
        return [], []
    if not isinstance(values, list):
        return [], [Diagnostic(Location(shown, 1, 1), "MSP001", "a table file is a list of rows", "start with '- torch:'")]
    entries, problems = [], []
    for item, value in zip(node.value, values):
        line = item.start_mark.line + 1
        bad = list(_broken_laws(value, Location(shown, line, 1)))
        problems += bad
        if not bad and "fusion" not in value:
            entries.append({"row": value, "path": shown, "line": line})
    return entries, problems


def _shown(path: Path) -> str:
    root = mappings_directory()
    try:
        return "mappings/" + path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return str(path)


@lru_cache(maxsize=1)
def _strict_loader() -> Any:
    """A safe loader that reads booleans and floats as YAML 1.2 does (`on` is a string, `1e-5` a number)."""
    import re

    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class StrictLoader(base):  # type: ignore[misc]
        pass

    resolvers = {k: [(t, r) for t, r in v if not t.endswith((":bool", ":float", ":timestamp"))]
                 for k, v in base.yaml_implicit_resolvers.items()}
    StrictLoader.yaml_implicit_resolvers = resolvers
    StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
    StrictLoader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)$"),
        list("-+0123456789."),
    )

    def mapping(loader: Any, node: Any, deep: bool = False) -> Any:
        keys = [loader.construct_object(k, deep=True) for k, _ in node.value]
        twice = {k for k in keys if keys.count(k) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key {sorted(twice)[0]!r} stands twice", node.start_mark)
        return base.construct_mapping(loader, node, deep=True)

    StrictLoader.add_constructor("tag:yaml.org,2002:map", mapping)
    return StrictLoader


def _broken_laws(raw: Any, place: Location) -> Iterator[Diagnostic]:
    def broken(code: str, message: str, help: str) -> Diagnostic:
        return Diagnostic(place, code, message, help)

    if not isinstance(raw, dict):
        yield broken("MSP001", "a row is a mapping", "start it with '- torch: ...'")
        return
    if "fusion" in raw:
        return
    unknown = sorted(set(raw) - ROW_KEYS)
    if unknown:
        yield broken("MSP002", f"unknown key {unknown[0]!r}", f"keys are: {', '.join(sorted(ROW_KEYS))}")
    for key, kind in (("examples", list), ("require", list), ("limits", list), ("ignore", list), ("weights", dict), ("fill", dict), ("attributes", dict)):
        if key in raw and not isinstance(raw[key], kind):
            yield broken("MSP004", f"{key} is not a {'list' if kind is list else 'mapping'}", f"write {key} as one, or leave it out")
            return
    if not isinstance(raw.get("torch"), str):
        yield broken("MSP003", "a row without 'torch'", "give the torch name with its signature")
        return
    try:
        signature = parse_signature(raw["torch"])
    except ValueError as error:
        yield broken("MSP003", str(error), "write it as torch.nn.Conv2d(in_channels, out_channels, ...)")
        return
    if raw.get("kind") not in KINDS:
        yield broken("MSP004", f"kind {raw.get('kind')!r} of {signature.name}", f"use one of {', '.join(KINDS)}")
    outcomes = [key for key in ("mindspore", "refused", "drop") if raw.get(key)]
    if len(outcomes) != 1:
        yield broken("MSP005", f"{signature.name} needs exactly one of mindspore, refused, drop", "state one outcome")
        return
    if "refused" in raw:
        if not isinstance(raw["refused"], dict) or "reason" not in raw["refused"]:
            yield broken("MSP005", f"{signature.name}: refused needs a reason", "refused: {reason: ..., help: ...}")
        elif set(raw["refused"]) - REFUSED_KEYS:
            yield broken("MSP002", f"{signature.name}: refused has the key {sorted(set(raw['refused']) - REFUSED_KEYS)[0]!r}",
                         "keys are: reason, help; quote a sentence that holds a comma")
        return
    for guard in raw.get("require", ()):
        if not isinstance(guard, dict) or set(guard) - GUARD_KEYS or not {"that", "else"} <= set(guard):
            yield broken("MSP002", f"{signature.name}: require is not {{that: ..., else: ..., help: ...}}: {guard}",
                         "keys are: that, else, help; quote a sentence that holds a comma")
            return
    for limit in raw.get("limits", ()):
        if not isinstance(limit, dict) or set(limit) != LIMIT_KEYS:
            yield broken("MSP002", f"{signature.name}: limits is not {{when: ..., what: ...}}: {limit}",
                         "keys are: when, what; quote a sentence that holds a comma")
            return
    yield from _broken_expressions(raw, signature, place)


def _broken_expressions(raw: dict[str, Any], signature: Signature, place: Location) -> Iterator[Diagnostic]:
    name = signature.name
    parameters = set(signature.by_name) | {"self"}
    used: set[str] = set()
    expressions: list[tuple[str, str]] = []
    for alternative in _listed(raw.get("mindspore")):
        if isinstance(alternative, dict):
            unknown = sorted(set(alternative) - ALTERNATIVE_KEYS)
            if unknown or "to" not in alternative:
                yield Diagnostic(place, "MSP002", f"{name}: alternative with {unknown or 'no to'}", "keys: when target needs to state")
                return
            expressions.append(("to", alternative["to"]))
            if alternative.get("when") is not None:
                expressions.append(("when", alternative["when"]))
        else:
            expressions.append(("to", alternative))
    expressions += [("require", g.get("that", "")) for g in raw.get("require", ()) if isinstance(g, dict)]
    if raw.get("where") is not None:
        expressions.append(("where", raw["where"]))
    expressions += [("limits", limit["when"]) for limit in raw.get("limits", ())]
    for role, text in expressions:
        if not isinstance(text, str):
            yield Diagnostic(place, "MSP006", f"{name}: {role} is not text: {text!r}", "quote the expression")
            return
        try:
            tree = ast.parse(text, mode="eval")
        except SyntaxError as error:
            yield Diagnostic(place, "MSP006", f"{name}: {role} does not parse: {text!r} ({error.msg})", "write one Python expression")
            return
        names, emitted = _free_names(tree)
        if "is_size" in names and role not in ("where", "limits"):
            yield Diagnostic(place, "MSP007", f"{name}: {role} asks is_size, which a ported program cannot answer: a size is a tuple there",
                             "ask it in where, which is decided when a file is converted")
        used |= names if role != "limits" else set()
        allowed = parameters | pure_names() | PREDICATES | {"mindspore", "numpy", "emitted", "math", "typing"} | _BUILTINS | {"in_hw", "may_be_empty", "may_be_packed", "may_be_complex", "may_be_byte", "may_be_single", "may_be_fraction", "in_graph"}
        allowed |= LIMIT_NAMES if role == "limits" else set()
        for free in sorted(names - allowed):
            yield Diagnostic(place, "MSP007", f"{name}: {role} reads {free!r}, which is no parameter or known function",
                             "use a torch parameter, a function of porter/pure.py, mindspore.*, numpy.* or emitted.*")
        for missing in sorted(emitted - set(emitted_definitions())):
            yield Diagnostic(place, "MSP008", f"{name}: emitted.{missing} is not defined in mappings/emitted/", "define it there")
    if raw.get("mindspore"):
        ignored = set(raw.get("ignore", ()))
        adapted = bool(raw.get("adapter"))
        lost = [p for p in signature.by_name if p not in used and p not in ignored and p != "self"]
        if lost and not adapted:
            yield Diagnostic(place, "MSP009", f"{name}: parameter {lost[0]!r} is neither used nor required nor ignored",
                             "use it on the right, add a require, or list it under ignore if it cannot change a value")


_BUILTINS = frozenset(["True", "False", "None", "len", "tuple", "list", "int", "float", "bool", "str", "isinstance", "range", "max", "min", "sum", "abs", "slice", "all", "any", "type", "round", "setattr", "getattr"])


def _free_names(tree: ast.AST) -> tuple[set[str], set[str]]:
    bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {a.arg for n in ast.walk(tree) if isinstance(n, ast.Lambda) for a in n.args.args}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)} - bound
    emitted = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "emitted"
    }
    return names, emitted


# --- definitions that rows may use -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Definition:
    """A top-level function, class or constant of porter/pure.py or mappings/emitted/, as source text."""

    name: str
    text: str
    uses: frozenset[str]
    imports: tuple[str, ...]
    parameters: str | None = None


@lru_cache(maxsize=1)
def emitted_definitions() -> dict[str, Definition]:
    """All definitions of mappings/emitted/*.py by name, read without importing them."""
    found: dict[str, Definition] = {}
    for path in sorted((mappings_directory() / "emitted").glob("*.py")):
        own = _definitions(path)
        twice = sorted(own.keys() & {*found, *pure_names()})
        if twice:
            raise InputError(
                f"{path.name}: {', '.join(twice)} is defined in another emitted module, or in porter/pure.py, too",
                "give the definition a name of its own: ms_extras.py holds definitions of all of them",
            )
        found.update(own)
    return found


@lru_cache(maxsize=1)
def pure_definitions() -> dict[str, Definition]:
    """All functions of porter/pure.py by name."""
    return _definitions(Path(__file__).with_name("pure.py"))


@lru_cache(maxsize=1)
def pure_names() -> frozenset[str]:
    return frozenset(pure_definitions())


def _definitions(path: Path) -> dict[str, Definition]:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    imports: dict[str, str] = {}
    local: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and (module.startswith(("mappings.", "porter")) or module == "__future__"):
                continue
            for alias in node.names:
                one = ast.ImportFrom(module, [alias], node.level) if isinstance(node, ast.ImportFrom) else ast.Import([alias])
                imports[(alias.asname or alias.name).partition(".")[0]] = ast.unparse(one)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            local[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            local[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            local[node.target.id] = node
    found = {}
    for name, node in local.items():
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        start = _with_comments(lines, start)
        uses = _global_names("".join(lines[start : node.end_lineno])) | set(_annotation_names(node))
        found[name] = Definition(
            name,
            "".join(lines[start : node.end_lineno]).rstrip() + "\n",
            frozenset(uses - {name}),
            tuple(sorted(imports[u] for u in uses if u in imports)),
            _parameter_text(node),
        )
    return found


def _global_names(text: str) -> set[str]:
    """Names that a definition takes from outside, and not from its own parameters or variables."""
    found: set[str] = set()
    waiting = [symtable.symtable(text, "definition", "exec")]
    while waiting:
        scope = waiting.pop()
        outermost = scope.get_type() == "module"
        found |= {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (s.is_global() or outermost)}
        waiting += scope.get_children()
    return found


def _parameter_text(node: ast.stmt) -> str | None:
    """The parameters of a function, or of a class's __init__ without self, as source."""
    if isinstance(node, ast.ClassDef):
        node = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), node)
        if isinstance(node, ast.FunctionDef):
            return ast.unparse(node.args).partition(",")[2].strip()
        return None
    return ast.unparse(node.args) if isinstance(node, ast.FunctionDef) else None


def _annotation_names(node: ast.AST) -> Iterator[str]:
    """Names in annotations that are written as strings."""
    for n in ast.walk(node):
        written = n.annotation if isinstance(n, ast.arg | ast.AnnAssign) else n.returns if isinstance(n, ast.FunctionDef) else None
        if isinstance(written, ast.Constant) and isinstance(written.value, str) and written.value.isidentifier():
            yield written.value


def _with_comments(lines: list[str], start: int) -> int:
    while start > 0 and lines[start - 1].startswith("#"):
        start -= 1
    return start
