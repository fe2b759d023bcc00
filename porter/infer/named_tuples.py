"""Named tuples that a program defines itself: what their fields are called and hold, read without a run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY, Kind, Kinds, join, one

if TYPE_CHECKING:
    from porter.infer.annotations import Annotations
    from porter.infer.state import Call, Scope
    from porter.program import Class

MAKERS = frozenset({"collections.namedtuple", "typing.NamedTuple", "typing_extensions.NamedTuple"})
DEEPEST = 3  # what a field holds; deeper values say nothing of use, and could grow without end where one replaces another


def made_class(call: Call, scope: Scope) -> Kinds:
    """The class that `namedtuple("Name", "a b")` or `NamedTuple("Name", [("a", int)])` makes; ANY where its fields are computed."""
    fields = _fields(call.node)
    name = call.node.args[0] if call.node.args else None
    if fields is None or not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        return ANY
    return one("named_class", f"{scope.module.name}.{name.value}", (), fields)


def instance(made: Kind, call: Call) -> Kinds:
    """A call of such a class: fields that are not given, or given behind a star, may be anything."""
    positional = call.positional if call.starred is None else call.positional[: call.starred]
    given = {**dict(zip(made.fields, positional)), **call.keywords}
    return one("tuple", made.of, tuple(_shallow(given.get(f, ANY)) for f in made.fields), made.fields)


def replaced(holder: Kinds, call: Call) -> Kinds:
    """`value._replace(field=...)`: the same named tuple with other contents."""
    return join(*(_replaced(kind, call) for kind in holder))


def of_class(analysis: Annotations, cls: Class | None) -> Kinds:
    """An instance of `class Name(NamedTuple)` or `class Name(namedtuple(...))`; nothing for any other class."""
    if cls is None or not isinstance(cls.node, ast.ClassDef):
        return K.NOTHING
    for base in cls.node.bases:
        if isinstance(base, ast.Call) and analysis.program.dotted(cls.module, base.func) in MAKERS:
            fields = _fields(base)
            return one("tuple", cls.name, (ANY,) * len(fields), fields) if fields else K.NOTHING
        if analysis.program.dotted(cls.module, base) in MAKERS:
            return _annotated_class(analysis, cls)
    return K.NOTHING


def _annotated_class(analysis: Annotations, cls: Class) -> Kinds:
    from porter.infer.state import Scope

    scope = Scope(cls.module, None, None, {})
    lines = [s for s in cls.node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    names = tuple(s.target.id for s in lines if isinstance(s.target, ast.Name))
    return one("tuple", cls.name, tuple(_shallow(analysis._annotated(s.annotation, scope)) for s in lines), names) if names else K.NOTHING


def _replaced(kind: Kind, call: Call) -> Kinds:
    if not kind.fields:
        return ANY
    if call.spread:
        return one("tuple", kind.of, (ANY,) * len(kind.fields), kind.fields)
    items = (_shallow(call.keywords.get(f, held)) for f, held in zip(kind.fields, kind.items))
    return one("tuple", kind.of, tuple(items), kind.fields)


def _shallow(kinds: Kinds) -> Kinds:
    return kinds if kinds and K.depth(kinds) <= DEEPEST else ANY


def _fields(call: ast.Call) -> tuple[str, ...] | None:
    """The names of the fields, where the call writes them out."""
    given = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg in ("field_names", "fields")), None)
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        return tuple(given.value.replace(",", " ").split())
    if not isinstance(given, ast.List | ast.Tuple):
        return None
    names = [e.elts[0] if isinstance(e, ast.Tuple) and e.elts else e for e in given.elts]
    texts = [n.value for n in names if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return tuple(texts) if len(texts) == len(names) else None
