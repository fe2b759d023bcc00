"""Turns a row's right side into source for one call: the author's arguments keep their text, order, comments and layout."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import libcst as cst

from porter import kinds as K
from porter.guards import UNKNOWN, Argument, evaluate_node
from porter.nodes import dotted_text
from porter.signature import Signature, parse_signature
from porter.table import (
    PREDICATES,
    Alternative,
    Row,
    emitted_definitions,
    mappings_directory,
    pure_definitions,
)


class NotInline(Exception):
    """The right side cannot stand at the call itself; the call goes through an adapter."""


@dataclass(frozen=True)
class Written:
    """One argument as the author wrote it."""

    text: str
    keyword: str | None
    star: str
    index: int


@dataclass(frozen=True)
class Site:
    """A call to be rewritten: bound arguments, how each was written, and how names are spelled in the file."""

    row: Row
    arguments: Mapping[str, Argument]
    written: Mapping[str, tuple[Written, ...]]
    receiver: str | None
    call: cst.Call | None
    spell: Callable[[str], str]
    quote: str = "'"


@lru_cache(maxsize=1)
def mindspore_signatures() -> dict[str, Signature]:
    """Signatures of the MindSpore names that rows use, recorded from the installed MindSpore."""
    path = mappings_directory() / "signatures.json"
    recorded = json.loads(path.read_text("utf-8"))["signatures"] if path.is_file() else {}
    return {name: parse_signature(f"{name}({text})") for name, text in recorded.items()}


def record_signatures(names: Sequence[str]) -> dict[str, str]:
    """Reads the parameter lists of MindSpore names from the installed MindSpore; names without one are left out."""
    import mindspore

    found = {}
    for name in sorted(set(names)):
        value: object = mindspore
        try:
            for part in name.split(".")[1:]:
                value = getattr(value, part)
            signature = inspect.signature(value.__init__ if inspect.isclass(value) else value)  # type: ignore[arg-type]
        except (AttributeError, TypeError, ValueError):
            continue
        parameters = [p for p in signature.parameters.values() if p.name != "self"]
        parts, star = [], False
        for p in parameters:
            if p.kind is p.KEYWORD_ONLY and not star:
                parts.append("*")
                star = True
            star = star or p.kind is p.VAR_POSITIONAL
            prefix = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
            default = "" if p.default is p.empty else f"={_default_text(p.default)}"
            parts.append(prefix + p.name + default)
        text = ", ".join(parts)
        try:
            parse_signature(f"{name}({text})")
        except ValueError:
            continue
        found[name] = text
    return found


def _default_text(value: object) -> str:
    name = getattr(value, "__module__", "")
    if isinstance(value, int | float | str | bool | tuple | list | dict) or value is None:
        return repr(value)
    return repr(str(value)) if name else "..."


@lru_cache(maxsize=4096)
def _template(text: str) -> ast.expr:
    """The tree of a row's `to`, which nothing changes."""
    return ast.parse(text, mode="eval").body


@lru_cache(maxsize=4096)
def _parsed(text: str) -> cst.BaseExpression:
    """An argument or the name of a function as LibCST has it, the same for the same text: only printed, never asked for its place."""
    return cst.parse_expression(text)


def inline(site: Site, alternative: Alternative) -> str:
    """The source text that replaces the call. Raises NotInline where the expression cannot stand there."""
    tree = _template(alternative.to)
    _single_use(tree, site)
    if isinstance(tree, ast.Call):
        return _call(tree, site)
    return _expression(tree, site)


def _single_use(tree: ast.expr, site: Site) -> None:
    """An argument that does work may be written once only."""
    counts: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            counts[node.id] = counts.get(node.id, 0) + 1
    for name, count in counts.items():
        if count < 2:
            continue
        text = site.receiver if name == "self" and site.receiver is not None else None
        argument = site.arguments.get(name)
        if text is None and argument is not None and argument.given:
            text = argument.text
        if text is not None and not _cheap(text):
            raise NotInline(name)


def _cheap(text: str) -> bool:
    node = ast.parse(text.strip(), mode="eval").body if text.strip() else None
    return node is not None and all(
        isinstance(n, ast.Name | ast.Attribute | ast.Constant | ast.Load | ast.UnaryOp | ast.USub | ast.Tuple) for n in ast.walk(node)
    )


# --- calls -----------------------------------------------------------------------------------------------------------


@dataclass
class _Entry:
    target: str | None
    keyword: str | None
    text: str
    source: Written | None
    changed: bool = False
    droppable: bool = False


def _call(tree: ast.Call, site: Site) -> str:
    function = _function_text(tree.func, site)
    signature = _target_signature(tree.func, site)
    # a Tensor method takes in GRAPH mode what it takes by position, not always the keywords of its Python signature
    by_name = signature if signature is None or not signature.name.startswith("mindspore.Tensor.") else None
    entries = _entries(tree, site, by_name)
    if signature is not None and signature.parameters is not None:
        entries = [e for e in entries if not (e.droppable and _is_default(e, signature))]
    ordered = _ordered(entries, by_name)
    return _build_call(function, ordered, site)


def _function_text(node: ast.expr, site: Site) -> str:
    dotted = dotted_text(node)
    if dotted is not None and dotted.startswith(("mindspore.", "numpy.", "emitted.", "typing.")):
        return site.spell(dotted)
    return _expression(node, site, tight=True)


def _target_signature(node: ast.expr, site: Site) -> Signature | None:
    dotted = dotted_text(node)
    if dotted is None:
        return None
    if dotted.startswith("emitted."):
        return _emitted_signature(dotted.removeprefix("emitted."))
    if dotted.startswith("self."):
        owner = "mindspore.nn.Cell" if site.row.name.startswith("torch.nn.Module.") else "mindspore.Tensor"
        return mindspore_signatures().get(f"{owner}.{dotted[5:]}")
    return mindspore_signatures().get(dotted)


@cache
def _emitted_signature(name: str) -> Signature | None:
    definition = emitted_definitions().get(name)
    return None if definition is None or definition.parameters is None else parse_signature(f"{name}({definition.parameters})")


def _entries(tree: ast.Call, site: Site, signature: Signature | None) -> list[_Entry]:
    entries = []
    positional = signature.positional if signature is not None else ()
    for index, argument in enumerate(tree.args):
        target = positional[index] if index < len(positional) and not isinstance(argument, ast.Starred) else None
        entries += _entry(argument, target, None, site)
    for keyword in tree.keywords:
        if keyword.arg is None and _nothing_extra(keyword, site):
            continue
        entries += _entry(keyword.value, keyword.arg, keyword.arg, site)
    return entries


def _nothing_extra(keyword: ast.keyword, site: Site) -> bool:
    """Whether `**kwargs` of a row holds nothing at this call. Raises NotInline where it holds something."""
    if not isinstance(keyword.value, ast.Name) or keyword.value.id != site.row.signature.double_star:
        return False
    if site.arguments[keyword.value.id].given:
        raise NotInline(keyword.value.id)
    return True


def _entry(node: ast.expr, target: str | None, keyword: str | None, site: Site) -> list[_Entry]:
    if isinstance(node, ast.Starred) and isinstance(node.value, ast.Name) and node.value.id == site.row.signature.star:
        return [_Entry(None, None, w.star + w.text, w) for w in site.written.get(node.value.id, ())]
    if isinstance(node, ast.Starred):
        return [_Entry(None, None, "*" + _expression(node.value, site, tight=True), None)]
    if isinstance(node, ast.Name) and node.id == "self" and site.receiver is not None:
        return [_Entry(target, keyword, site.receiver, Written(site.receiver, None, "", -1))]
    if isinstance(node, ast.Name) and node.id in site.arguments and node.id != site.row.signature.star:
        written = site.written.get(node.id, ())
        if written and _is_number_for_flag(node.id, site):
            return [_Entry(target, keyword, str(bool(site.arguments[node.id].constant)), written[0], changed=True)]
        if written:
            return [_Entry(target, keyword, written[0].text, written[0])]
    text = _quoted(node, _expression(node, site), site)
    place = _written_place(node, site)
    if place is not None:
        return [_Entry(target, keyword, text, place, changed=text != place.text)]
    given = any(
        isinstance(n, ast.Name) and (n.id in site.written or (n.id == "self" and site.receiver is not None)) for n in ast.walk(node)
    )
    return [_Entry(target, keyword, text, None, droppable=not given or _constant_text(node, site))]


def _is_number_for_flag(name: str, site: Site) -> bool:
    """Whether a number stands where torch has True or False, as in Linear(2, 3, 1): MindSpore wants a bool."""
    value, parameter = site.arguments[name].constant, site.row.signature.by_name.get(name)
    return type(value) is int and parameter is not None and parameter.default in ("True", "False")


def _quoted(node: ast.expr, text: str, site: Site) -> str:
    """A string that the row brings, in the quotes that the file uses."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and site.quote == '"' and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def _written_place(node: ast.expr, site: Site) -> Written | None:
    """The one argument of the author that an expression is computed from, if there is just one."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    places = [w for name in names for w in site.written.get(name, ())]
    alone = len(places) == 1 and "self" not in names and not places[0].star and places[0].index >= 0
    return places[0] if alone else None


def _constant_text(node: ast.expr, site: Site) -> bool:
    """Whether a computed argument comes out as a constant that was not written by the author as it is."""
    return evaluate_node(node, site.arguments) is not UNKNOWN


def _is_default(entry: _Entry, signature: Signature) -> bool:
    name = entry.target or entry.keyword
    parameter = signature.by_name.get(name or "")
    if parameter is None or parameter.default is None:
        return False
    if entry.text == parameter.default:
        return True
    try:
        own, default = ast.literal_eval(entry.text), ast.literal_eval(parameter.default)
    except (ValueError, SyntaxError):
        return False
    return type(own) is type(default) and bool(own == default)


def _ordered(entries: list[_Entry], signature: Signature | None) -> list[_Entry]:
    """The author's own arguments first, in his order, then what the row adds, where keywords allow it."""
    named = all(e.target or e.keyword for e in entries)
    if not named:
        return entries
    mine = sorted((e for e in entries if e.source is not None), key=lambda e: e.source.index)  # type: ignore[union-attr]
    added = [e for e in entries if e.source is None]
    positional_only = {e.target for e in entries if e.keyword is None}
    order = mine + added
    known = signature.positional if signature is not None else ()
    count = 0
    for entry in order:
        name = entry.target or entry.keyword
        written_keyword = entry.source is not None and entry.source.keyword is not None
        added_keyword = entry.source is None and entry.keyword is not None
        if count is not None and count < len(known) and known[count] == name and not written_keyword and not added_keyword:
            entry.keyword = None
            count += 1
        elif name in positional_only and signature is None:
            return entries
        else:
            entry.keyword = name
            count = 10**6
    return order


def _build_call(function: str, entries: list[_Entry], site: Site) -> str:
    head = primary(function)
    # written arguments live in the original call, whose commas and comments they keep
    original = site.call
    if original is None or not any(e.source is not None for e in entries):
        return f"{head}({', '.join(_argument_text(e) for e in entries)})"
    arguments: list[cst.Arg] = []
    for entry in entries:
        if entry.source is not None and 0 <= entry.source.index < len(original.args):
            old = original.args[entry.source.index]
            if entry.changed:
                old = old.with_changes(value=_parsed(entry.text))
            arguments.append(_with_keyword(old, entry.keyword))
        else:
            arguments.append(_new_argument(entry))
    arguments = _commas(arguments, original)
    call = original.with_changes(func=_parsed(head), args=arguments)
    return cst.Module([]).code_for_node(call)


def _argument_text(entry: _Entry) -> str:
    return f"{entry.keyword}={entry.text}" if entry.keyword else entry.text


def _with_keyword(argument: cst.Arg, keyword: str | None) -> cst.Arg:
    if keyword is None:
        return argument.with_changes(keyword=None, equal=cst.MaybeSentinel.DEFAULT)
    if argument.keyword is not None:
        return argument.with_changes(keyword=argument.keyword.with_changes(value=keyword))
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return argument.with_changes(keyword=cst.Name(keyword), equal=equal)


def _new_argument(entry: _Entry) -> cst.Arg:
    star: Literal["", "*", "**"] = "**" if entry.text.startswith("**") else "*" if entry.text.startswith("*") else ""
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace("")) if entry.keyword else cst.MaybeSentinel.DEFAULT
    return cst.Arg(
        value=_parsed(entry.text.lstrip("*") if star else entry.text),
        keyword=cst.Name(entry.keyword) if entry.keyword else None,
        equal=equal,
        star=star,
    )


def _commas(arguments: list[cst.Arg], original: cst.Call) -> list[cst.Arg]:
    """Separators: what the author wrote between arguments, and after the last one."""
    if not arguments:
        return arguments
    old = original.args
    between = next((a.comma for a in old[:-1] if isinstance(a.comma, cst.Comma)), None)
    # comments between arguments belong to their own place only
    if isinstance(between, cst.Comma) and "#" in cst.Module([]).code_for_node(between):
        between = None
    separator = between or cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    trailing = old[-1].comma if old else cst.MaybeSentinel.DEFAULT
    result = []
    for index, argument in enumerate(arguments):
        if index == len(arguments) - 1:
            result.append(argument.with_changes(comma=trailing))
        elif isinstance(argument.comma, cst.Comma) and not (old and argument.comma is old[-1].comma):
            result.append(argument)
        else:
            result.append(argument.with_changes(comma=separator))
    return result


# --- other expressions -------------------------------------------------------------------------------------------------


def _is_unsigned(text: str) -> bool:
    """Whether a text is a number without a sign: it binds as tightly as a name."""
    return bool(re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text.strip(), re.IGNORECASE))


def _expression(node: ast.expr, site: Site, *, tight: bool = False) -> str:
    """An expression of a row as source: constants computed, parameters replaced by the author's text."""
    folded = _folded(node, site)
    if folded is not None:
        return primary(folded) if tight else folded
    text = _Substitute(site).text(node)
    return primary(text) if tight else text


def _folded(node: ast.expr, site: Site) -> str | None:
    if isinstance(node, ast.Constant):
        return None
    if isinstance(node, ast.Name):
        argument = site.arguments.get(node.id)
        if argument is not None and not argument.given:
            return site_default(argument)
        return None
    if _is_measured(node):
        return None
    value = evaluate_node(node, site.arguments)
    if value is UNKNOWN or isinstance(value, Argument) or not _plain(value):
        return None
    return repr(value)


def _is_measured(node: ast.expr) -> bool:
    """Whether an expression reads sizes of a tensor, which a traced run knows for its own inputs only: the port asks the tensor."""
    inner = list(ast.walk(node))
    reads = any(isinstance(n, ast.Attribute) and n.attr in ("shape", "ndim") and isinstance(n.value, ast.Name) for n in inner)
    return reads and not any(isinstance(n, ast.Call) and isinstance(n.func, ast.Name) for n in inner)


def site_default(argument: Argument) -> str | None:
    return repr(argument.constant) if argument.constant is not UNKNOWN and _plain(argument.constant) else argument.text


def _plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_plain(v) for v in value)
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return isinstance(value, int | str | bool) or value is None


class _Substitute:
    """Prints an expression with the author's texts in place of parameters."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.replacements: dict[str, str] = {}

    def text(self, node: ast.expr) -> str:
        tree = self._mark(node)
        source = ast.unparse(tree)
        for mark, text in self.replacements.items():
            source = source.replace(mark, text)
        return source

    def _mark(self, node: ast.expr) -> ast.expr:
        marked = _Marker(self).visit(ast.parse(ast.unparse(node), mode="eval").body)
        assert isinstance(marked, ast.expr)
        return marked

    def mark(self, text: str, tight: bool) -> ast.expr:
        if tight and not is_primary(text) and not _is_unsigned(text):
            text = f"({text})"
        name = f"porter_{len(self.replacements)}_mark"
        self.replacements[name] = text
        return ast.Name(name, ast.Load())


class _Marker(ast.NodeTransformer):
    def __init__(self, owner: _Substitute) -> None:
        self.owner = owner
        self.site = owner.site
        self.parents: list[ast.AST] = []
        self.tight = False
        self.bound: set[str] = set()

    def visit(self, node: ast.AST) -> ast.AST:
        folded = _folded(node, self.site) if isinstance(node, ast.expr) and not isinstance(node, ast.Name | ast.Constant | ast.Starred) else None
        if folded is not None and not self.bound:
            return self.owner.mark(folded, self._is_tight(node))
        if isinstance(node, ast.GeneratorExp | ast.ListComp):
            self.bound |= {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        self.tight = self._is_tight(node)
        self.parents.append(node)
        result: ast.AST = super().visit(node)
        self.parents.pop()
        return result

    def _is_tight(self, node: ast.AST) -> bool:
        """Whether the place of a node binds tighter than an operator: parents[-1] is its parent."""
        parent = self.parents[-1] if self.parents else None
        if isinstance(parent, ast.Call):
            return node is parent.func
        return isinstance(
            parent, ast.BinOp | ast.UnaryOp | ast.Attribute | ast.Compare | ast.BoolOp | ast.Starred | ast.IfExp
        ) or (isinstance(parent, ast.Subscript) and node is parent.value)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        dotted = dotted_text(node)
        if dotted is not None and dotted.startswith(("mindspore.", "numpy.", "emitted.", "typing.")):
            return self.owner.mark(self.site.spell(dotted), False)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if self._is_list(node):
            return self.owner.mark(_tuple_text(self._star_sequence(node.args[0].id)), False)  # type: ignore[attr-defined]
        if self._is_no_list(node) or self._is_bool(node):
            return self._descend(node.args[0], self.parents[-2] if len(self.parents) > 1 else node)
        if isinstance(node.func, ast.Name) and node.func.id in pure_definitions() and node.func.id not in self.site.arguments:
            raise NotInline(node.func.id)
        if isinstance(node.func, ast.Name) and node.func.id in PREDICATES:
            raise NotInline(node.func.id)
        node.args = [a for argument in node.args for a in self._spliced(argument)]
        node.func = self._descend(node.func, node)
        node.args = [self._descend(a, node) for a in node.args]
        node.keywords = [k for k in node.keywords if k.arg is not None or not _nothing_extra(k, self.site)]
        for keyword in node.keywords:
            keyword.value = self._descend(keyword.value, node)
        return node

    def _is_list(self, node: ast.Call) -> bool:
        """as_tuple(x), where x is one list that the author gives for a star parameter."""
        star = self.site.row.signature.star
        if not (isinstance(node.func, ast.Name) and node.func.id == "as_tuple" and ast.unparse(node.args[0]) == star):
            return False
        argument = self.site.arguments.get(star)
        return argument is not None and bool(argument.kinds) and K.names(argument.kinds) == {"list"} and len(self.site.written.get(star, ())) == 1

    def _is_no_list(self, node: ast.Call) -> bool:
        """as_tuple(x), where x is known to be a number, a tuple or None: the call changes nothing."""
        if not (isinstance(node.func, ast.Name) and node.func.id == "as_tuple" and isinstance(node.args[0], ast.Name)):
            return False
        argument = self.site.arguments.get(node.args[0].id)
        return argument is not None and bool(argument.kinds) and K.names(argument.kinds) <= {"int", "float", "tuple", "None"}

    def _is_bool(self, node: ast.Call) -> bool:
        """bool(x), where x is a bool, or a flag of torch's of which nothing else is known."""
        if not (isinstance(node.func, ast.Name) and node.func.id == "bool" and isinstance(node.args[0], ast.Name)):
            return False
        name = node.args[0].id
        argument, parameter = self.site.arguments.get(name), self.site.row.signature.by_name.get(name)
        if argument is None or parameter is None:
            return False
        flag = parameter.default in ("True", "False")
        return K.names(argument.kinds) <= ({"bool", "any"} if flag else {"bool"}) and (flag or bool(argument.kinds))

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        node.elts = [a for element in node.elts for a in self._spliced(element)]
        return self.generic_visit(node)

    visit_List = visit_Tuple  # type: ignore[assignment]

    def _descend(self, node: ast.expr, parent: ast.AST) -> ast.expr:
        self.parents.append(parent)
        result = self.visit(node)
        self.parents.pop()
        assert isinstance(result, ast.expr)
        return result

    def _spliced(self, node: ast.expr) -> list[ast.expr]:
        star = self.site.row.signature.star
        if star and isinstance(node, ast.Starred) and isinstance(node.value, ast.Name) and node.value.id == star:
            return [self.owner.mark(w.star + w.text, False) for w in self.site.written.get(star, ())]
        return [node]

    def visit_Name(self, node: ast.Name) -> ast.AST:
        name = node.id
        if name in self.bound:
            return node
        tight = self.tight
        if name == "self" and self.site.receiver is not None:
            return self.owner.mark(self.site.receiver, tight)
        if name == self.site.row.signature.star:
            return self.owner.mark(self._star_sequence(name), tight)
        argument = self.site.arguments.get(name)
        if argument is None:
            return node
        written = self.site.written.get(name, ())
        if written:
            return self.owner.mark(written[0].text, tight)
        return self.owner.mark(site_default(argument) or "None", tight)

    def _star_sequence(self, name: str) -> str:
        written = self.site.written.get(name, ())
        if len(written) == 1 and not written[0].star:
            from porter.kinds import SEQUENCES, names

            argument = self.site.arguments[name]
            if argument.constant is UNKNOWN and not (names(argument.kinds) <= SEQUENCES and argument.kinds):
                raise NotInline(name)
            single = _single_sequence(argument, written[0].text)
            if single:
                return written[0].text
            return f"({written[0].text},)"
        return "(" + ", ".join(w.star + w.text for w in written) + ("," if len(written) == 1 else "") + ")"


def _tuple_text(text: str) -> str:
    """A list as a tuple: what is in a list display in parentheses, and any other expression in a call."""
    node = ast.parse(text.strip(), mode="eval").body
    if isinstance(node, ast.List):
        inner = text.strip()[1:-1].rstrip().removesuffix(",")
        return f"({inner},)" if len(node.elts) == 1 else f"({inner})"
    return f"tuple({text})"


def _single_sequence(argument: Argument, text: str) -> bool:
    """Whether the one argument of a star parameter is itself the sequence."""
    from porter.kinds import names

    if argument.node is not None:
        if isinstance(argument.node, ast.Tuple | ast.List):
            return True
        return bool(names(argument.kinds) <= {"list", "tuple", "Size"}) and not isinstance(argument.constant, tuple)
    return False


def primary(text: str) -> str:
    """An expression as it may stand before a dot: in parentheses where it needs them."""
    return text if is_primary(text) else f"({text})"


def is_primary(text: str) -> bool:
    """Whether an expression can be followed by `.x` or `(...)` as it is."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return False
    if text.strip().startswith("(") and text.strip().endswith(")") and isinstance(node, ast.Tuple):
        return True
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) or node.value is None or isinstance(node.value, bool)
    atoms = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.List | ast.Dict | ast.ListComp | ast.DictComp
    if isinstance(node, atoms):
        return True
    stripped = text.strip()
    return stripped.startswith("(") and _closes_at_end(stripped)


def _closes_at_end(text: str) -> bool:
    level = 0
    for index, char in enumerate(text):
        level += {"(": 1, ")": -1}.get(char, 0)
        if level == 0:
            return index == len(text) - 1
    return False
