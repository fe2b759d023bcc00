"""Writes `ms_extras.py`: the functions and classes that a port needs beside MindSpore's own, each with what it uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import replace

from porter.guards import truth
from porter.shadowed import with_own_name
from porter.signature import Signature
from porter.table import PREDICATES, Alternative, Row, emitted_definitions, load_table, pure_definitions

EXTRAS = "ms_extras"
HEADER = '"""Functions and classes of PyTorch, in plain MindSpore, for what mindspore.nn and mindspore.ops do not have as it is."""\n'
NOT_PORTED = '''class NotPorted:
    """Stands for a PyTorch name that was not ported: it may be named, and raises when it is used."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return NotPorted(f"{self._name}.{attribute}")

    def __call__(self, *args, **kwargs):
        raise NotImplementedError(f"{self._name} was not ported to MindSpore")

    def __bool__(self):
        if self._name.endswith(")"):  # not a name but what a call would have made
            self()
        return True

    def __mro_entries__(self, bases):
        return ()

    def __or__(self, other):
        return self

    __ror__ = __or__

    def __getitem__(self, item):
        return self

    __iter__ = None
'''


def adapter_name(row: Row) -> str:
    """The name in ms_extras of the function or class that has a row's torch signature."""
    if row.adapter:
        return row.adapter.removeprefix("emitted.")
    owner = row.name.rpartition(".")[0]
    if row.kind == "module" or owner == "torch":
        name = row.short_name
    elif owner == "torch.Tensor":
        name = f"tensor_{row.short_name}"
    elif owner == "torch.nn.functional":
        name = f"functional_{row.short_name}"
    elif owner == "torch.nn.Module":
        name = f"cell_{row.short_name}"
    else:
        name = row.name.removeprefix("torch.").replace(".", "_")
    return f"{name}_" if name in emitted_definitions() or name in pure_definitions() else name


def extras_text(names: Iterable[str], adapters: Iterable[Row], target: str, *, not_ported: bool = False, taken: frozenset[str] = frozenset()) -> str:
    """The module's text for the given emitted definitions and generated adapters, or "" where none is needed.

    `taken` are the names of the program's own networks.
    """
    wanted: dict[str, None] = {n: None for n in sorted(names)}
    generated: dict[str, str] = {}
    for row in sorted(adapters, key=lambda r: r.name):
        if row.adapter:
            wanted[row.adapter.removeprefix("emitted.")] = None
        else:
            text, uses = adapter_source(row, target)
            generated[adapter_name(row)] = text
            wanted.update(dict.fromkeys(sorted(uses)))
    if not wanted and not generated and not not_ported:
        return ""
    definitions = _closure(wanted)
    imports: set[str] = {"import mindspore"} if generated else set()
    for name in definitions:
        imports.update(_definition(name).imports)
    if any("np." in text or "numpy." in text for text in generated.values()):
        imports.add("import numpy as np")
    if any("math." in text for text in generated.values()):
        imports.add("import math")
    texts = [(name, _definition(name).text) for name in definitions] + list(generated.items())
    bodies = [with_own_name(name, text, taken) for name, text in texts]
    if not_ported:
        bodies.append(NOT_PORTED)
    return HEADER + "\n" + _import_block(imports) + "\n\n" + "\n\n".join(b.strip("\n") + "\n" for b in bodies)


def _definition(name: str):  # type: ignore[no-untyped-def]
    return emitted_definitions().get(name) or pure_definitions()[name]


def _closure(names: Iterable[str]) -> list[str]:
    """The definitions and all they use, what is used before what uses it."""
    order: dict[str, None] = {}
    entered: set[str] = set()

    def visit(name: str) -> None:
        if name in entered or (name not in emitted_definitions() and name not in pure_definitions()):
            return
        entered.add(name)
        for used in sorted(_definition(name).uses):
            visit(used)
        order[name] = None

    for name in names:
        visit(name)
    return _bases_first(list(order))


def _bases_first(names: list[str]) -> list[str]:
    """The same order, but what a definition needs when it is executed, such as a base class, stands before it."""
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        if name not in placed:
            for needed in _executed_names(_definition(name).text):
                if needed in names and needed != name:
                    place(needed)
            placed[name] = None

    for name in names:
        place(name)
    return list(placed)


def _executed_names(text: str) -> list[str]:
    """Names that are read when a definition is executed, those inside of functions left out."""
    found: dict[str, None] = {}
    waiting: list[ast.AST] = list(ast.parse(text).body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Name):
            found[node.id] = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            defaults = [d for d in [*node.args.defaults, *node.args.kw_defaults] if d is not None]
            waiting += [*defaults, *getattr(node, "decorator_list", [])]
        else:
            waiting += ast.iter_child_nodes(node)
    return list(found)


def _import_block(imports: set[str]) -> str:
    standard: list[str] = []
    others: list[str] = []
    froms: dict[str, set[str]] = {}
    for line in sorted(imports):
        match = re.fullmatch(r"from (\S+) import (.+)", line)
        if match:
            froms.setdefault(match[1], set()).add(match[2])
        elif line.split()[1].partition(".")[0] in ("mindspore", "numpy"):
            others.append(line)
        else:
            standard.append(line)
    own = {m: n for m, n in froms.items() if m.partition(".")[0] in ("mindspore", "numpy")}
    standard += [f"from {m} import {', '.join(sorted(n))}" for m, n in froms.items() if m not in own]
    others += [f"from {m} import {', '.join(sorted(n))}" for m, n in own.items()]
    return "\n".join(b for b in ("\n".join(standard), "\n".join(others)) if b).replace("\n\n\n", "\n\n") + "\n"


# --- adapters --------------------------------------------------------------------------------------------------------


def adapter_source(row: Row, target: str) -> tuple[str, set[str]]:
    """A function or class with a row's torch signature, and the emitted and pure names that it uses."""
    alternatives = [a for a in row.alternatives if a.serves(target) and not a.needs]
    builder = _class_source if row.kind == "module" else _function_source
    text, uses = builder(row, alternatives)
    return text, uses


def _runtime(text: str, row: Row) -> tuple[str, set[str]]:
    """An expression of a row as code that runs in the port: predicates become isinstance, emitted names plain."""
    tree = ast.parse(text, mode="eval")
    rewriter = _Runtime(row)
    return ast.unparse(rewriter.visit(tree)), rewriter.uses


class _Runtime(ast.NodeTransformer):
    TYPES = {
        "is_int": "int", "is_float": "float", "is_number": "(int, float)", "is_bool": "bool", "is_str": "str",
        "is_sequence": "(list, tuple)", "is_tensor": "mindspore.Tensor", "is_parameter": "mindspore.Parameter",
    }  # fmt: skip

    def __init__(self, row: Row) -> None:
        self.row = row
        self.uses: set[str] = set()

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name):
            name = node.func.id
            if name in PREDICATES:
                return ast.parse(self._predicate(name, ast.unparse(node.args[0])), mode="eval").body
            if name in pure_definitions():
                self.uses.add(name)
        return node

    def _predicate(self, name: str, subject: str) -> str:
        if name == "is_none":
            return f"({subject} is None)"
        if name == "is_empty":
            return f"(len({subject}) == 0)"
        if name == "is_dtype":
            return f"isinstance({subject}, type(mindspore.float32))"
        if name == "given":
            default = self.row.signature.by_name[subject].default if subject in self.row.signature.by_name else "None"
            star = subject == self.row.signature.star
            return f"(len({subject}) > 0)" if star else f"({subject} is not {default})" if default in ("None", "True", "False") else f"({subject} != {default})"
        return f"isinstance({subject}, {self.TYPES[name]})"

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "emitted":
            self.uses.add(node.attr)
            return ast.copy_location(ast.Name(node.attr, ast.Load()), node)
        if isinstance(node.value, ast.Name) and node.value.id == "numpy":
            return ast.Attribute(ast.Name("np", ast.Load()), node.attr, ast.Load())
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in pure_definitions() and node.id not in self.row.signature.by_name:
            self.uses.add(node.id)
        return node


def _checks(row: Row) -> tuple[list[str], set[str]]:
    lines, uses = [], set()
    for guard in row.require:
        condition, used = _runtime(guard.that, row)
        uses |= used
        lines += [f"if not ({condition}):", f"    raise ValueError({row.name + ': ' + guard.otherwise!r})"]
    return lines, uses


def _branches(row: Row, alternatives: list[Alternative], form: str) -> tuple[list[str], set[str]]:
    """`if when: <form>` for each alternative; form has one {} for the expression."""
    lines, uses = [], set()
    closed = False
    for alternative in alternatives:
        text, used = _runtime(alternative.to, row)
        uses |= used
        always = truth(alternative.when, {}) if alternative.when else True
        if always:
            lines.append(form.format(text))
            closed = True
            break
        condition, used = _runtime(alternative.when or "True", row)
        uses |= used
        lines += [f"if {condition}:", "    " + form.format(text)]
    if not closed:
        lines.append(f"raise ValueError({row.name + ': these arguments have no MindSpore form'!r})")
    return lines, uses


def _star_line(row: Row) -> list[str]:
    """A star parameter that the expression reads as one sequence takes a single sequence argument apart."""
    star = row.signature.star
    if star is None:
        return []
    return [f"{star} = tuple({star}[0]) if len({star}) == 1 and isinstance({star}[0], (list, tuple)) else {star}"]


def _parameter_text(row: Row) -> str:
    """torch's parameter list, with defaults that exist without torch."""
    ported = []
    for parameter in row.signature.parameters or ():
        default = parameter.default
        if default is not None and default.startswith("torch."):
            values = load_table().get(default)
            known = bool(values) and len(values[0].alternatives) == 1 and parameter.name not in row.ignore
            default = values[0].alternatives[0].to if known else "None"
        ported.append(replace(parameter, default=default))
    return Signature(row.name, tuple(ported)).text()


def _indent(lines: Iterable[str], by: int) -> str:
    return "".join(" " * by + line + "\n" for line in lines)


def _function_source(row: Row, alternatives: list[Alternative]) -> tuple[str, set[str]]:
    checks, uses = _checks(row)
    if row.drop:
        branches = ["return None"]
    else:
        branches, used = _branches(row, alternatives, "return {}")
        uses |= used
    body = [*_star_line(row), *checks, *branches]
    parameters = _parameter_text(row) if row.signature.parameters is not None else "self"
    head = f"def {adapter_name(row)}({parameters}):\n    \"\"\"{row.name} on MindSpore.\"\"\"\n"
    return head + _indent(body, 4), uses


def _class_source(row: Row, alternatives: list[Alternative]) -> tuple[str, set[str]]:
    """A subclass of the one class that all alternatives build; a row with several classes states its adapter itself."""
    checks, uses = _checks(row)
    parsed = [ast.parse(a.to, mode="eval").body for a in alternatives]
    classes = {ast.unparse(n.func) for n in parsed if isinstance(n, ast.Call)}
    if len(classes) != 1 or not all(isinstance(n, ast.Call) for n in parsed):
        return _factory_source(row, alternatives)
    base = classes.pop()
    lines, used = _branches(row, [_only_arguments(a) for a in alternatives], "super().__init__{}")
    if len(alternatives) > 1:
        lines = _chain(lines)
    base_text, base_used = _runtime(base, row)
    parameters = _parameter_text(row)
    head = f"class {adapter_name(row)}({base_text}):\n    \"\"\"{row.name} on MindSpore.\"\"\"\n\n    def __init__(self{', ' + parameters if parameters else ''}):\n"
    body = _indent([*_star_line(row), *checks, *[line.replace("__init__arguments", "__init__") for line in lines]], 8)
    text = head + body + _attribute_properties(row)
    return text, uses | used | base_used


def _attribute_properties(row: Row) -> str:
    """torch's names for renamed parameters and attributes, readable on instances whose class is not known where they are read."""
    renamed = {t: f"self.{m}" for t, m in row.weights.items() if m and "[" not in m and "." not in m and m != t and "." not in t}
    renamed.update({t: e for t, e in row.attributes.items() if e != f"self.{t}" and "(" not in e})
    lines = []
    for name, expression in renamed.items():
        lines.append(f"\n    @property\n    def {name}(self):\n        return {expression}\n")
    return "".join(lines)


def _only_arguments(alternative: Alternative) -> Alternative:
    call = ast.parse(alternative.to, mode="eval").body
    assert isinstance(call, ast.Call)
    call.func = ast.Name("arguments", ast.Load())
    return Alternative(ast.unparse(call), alternative.when, alternative.target, alternative.needs)


def _chain(lines: list[str]) -> list[str]:
    """`if a: … if b: … last` as if/elif/else, since an __init__ does not return."""
    chained: list[str] = []
    seen = False
    for line in lines:
        if line.startswith("if "):
            chained.append(("elif " if seen else "if ") + line[3:])
            seen = True
        elif line.startswith("    ") or not seen:
            chained.append(line)
        else:
            chained += ["else:", "    " + line]
    return chained


def _factory_source(row: Row, alternatives: list[Alternative]) -> tuple[str, set[str]]:
    checks, uses = _checks(row)
    lines, used = _branches(row, alternatives, "return {}")
    head = f"def {adapter_name(row)}({_parameter_text(row)}):\n    \"\"\"Builds what {row.name} is on MindSpore.\"\"\"\n"
    return head + _indent([*_star_line(row), *checks, *lines], 4), uses | used
