"""The torch source that exercises a row: one small module for each example and for each way to write its arguments."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from porter.diagnostics import InputError
from porter.parity.samples import InputSpec, parse_spec
from porter.signature import NUMPY_NAMES, Parameter, Signature
from porter.table import Row
from porter.trace import Facts, Span, span_of

EXAMPLE_KEYS = frozenset(
    [
        "call",
        "inputs",
        "mode",
        "check",
        "apply",
        "ported",
        "tolerance",
        "graph",
        "refused",
        "refused_on",
        "distribution",
        "seedless",
        "dtype",
        "setup",
        "reason",
        "forms",
        "other",
        "traced",
    ]
)
CHECKS = frozenset(("output", "grad", "buffers"))


@dataclass(frozen=True)
class Example:
    """One example of a row, read strictly from its mapping."""

    call: str
    inputs: tuple[InputSpec, ...]
    apply: str | None
    setup: str
    train: bool
    checks: frozenset[str]
    rtol: float | None
    loose_dtype: bool
    graph: bool
    refused: bool
    ported: str | None
    random: bool
    parameter: str | None
    forms: bool
    traced: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"x{i}" for i in range(len(self.inputs)))


@dataclass(frozen=True)
class Case:
    """An example with its arguments written in one form; `name` is the class that stands for it in the source."""

    name: str
    example: int
    form: str
    call: str
    prelude: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"example {self.example + 1}" + (f", {self.form}" if self.form else "")


def read_example(raw: Mapping[str, Any], where: object = "example") -> Example:
    """The example of a row's mapping. Raises InputError for an unknown key, check or input spec."""
    unknown = sorted(set(raw) - EXAMPLE_KEYS)
    if unknown:
        raise InputError(
            f"{where}: unknown key {unknown[0]!r} in an example", f"keys: {' '.join(sorted(EXAMPLE_KEYS))}"
        )
    if not isinstance(raw.get("call"), str):
        raise InputError(f"{where}: an example without 'call'", "give the torch expression, over x0, x1, ...")
    checks = frozenset(raw.get("check") or ("output",))
    if checks - CHECKS:
        raise InputError(
            f"{where}: unknown check {sorted(checks - CHECKS)[0]!r}", f"checks: {' '.join(sorted(CHECKS))}"
        )
    tolerance = raw.get("tolerance") or {}
    distribution = raw.get("distribution") or raw.get("seedless") or False
    return Example(
        call=raw["call"].strip(),
        inputs=tuple(parse_spec(str(spec)) for spec in raw.get("inputs") or ()),
        apply=raw.get("apply"),
        setup=raw.get("setup") or "",
        train=raw.get("mode", "eval") == "train",
        checks=checks,
        rtol=float(tolerance["rtol"]) if "rtol" in tolerance else None,
        loose_dtype=raw.get("dtype") == "loose",
        graph=raw.get("graph", True) is True,
        refused=bool(raw.get("refused")),
        ported=raw.get("ported"),
        random=bool(distribution),
        parameter=distribution.get("parameter") if isinstance(distribution, dict) else None,
        forms=bool(raw.get("forms", True)),
        traced=bool(raw.get("traced")),
    )


# --- argument forms ------------------------------------------------------------------------------------------------


def cases_of(row: Row, examples: Sequence[Example]) -> list[Case]:
    """Every example as it is written, then in each further argument form that says the same."""
    cases: list[Case] = []
    for number, example in enumerate(examples):
        written = Case(f"Example{number + 1}", number, "", example.call)
        cases.append(written)
        if example.forms and not example.refused and not example.random:
            cases += _forms(row, written)
    return cases


def _forms(row: Row, written: Case) -> Iterator[Case]:
    seen = {ast.unparse(ast.parse(written.call, mode="eval"))}
    for form, call, prelude in [*_argument_forms(row, written.call), *_bare_form(row, written.call)]:
        if call not in seen or prelude:
            seen.add(call)
            suffix = "".join(word.capitalize() for word in form.replace("-", " ").split())
            yield Case(written.name + suffix, written.example, form, call, prelude)
    statement = _statement_form(row, written.call)
    if statement:
        yield Case(written.name + "Statement", written.example, "as a statement", *statement)


def _argument_forms(row: Row, text: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    tree = ast.parse(text, mode="eval")
    call = own_call(row, tree)
    if call is None or row.torch.parameters is None:
        return
    given = _bound(row, call)
    if given is None:
        return
    method = row.kind == "method"
    parameters = [p for p in row.torch.parameters if not (method and p.name == "self")]
    for form, arguments in _arrangements(parameters, given):
        copy = deepcopy(tree)
        own = own_call(row, copy)
        assert own is not None
        own.args, own.keywords = arguments
        yield form, ast.unparse(copy), ()


def bound_arguments(row: Row, text: str) -> dict[str, ast.expr] | None:
    """The arguments of the row's own call in an expression, by parameter name."""
    call = own_call(row, ast.parse(text, mode="eval"))
    return None if call is None or row.torch.parameters is None else _bound(row, call)


def _bound(row: Row, call: ast.Call) -> dict[str, ast.expr] | None:
    """The arguments by parameter name; None where they are starred or do not bind."""
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return None
    receiver = [ast.Name("self")] if row.kind == "method" else []
    keywords = {k.arg: k.value for k in call.keywords if k.arg is not None}
    binding = row.torch.bind([*receiver, *call.args], keywords)
    if binding is None or binding.star or binding.extra:
        return None
    return {name: value for name, value in binding.arguments.items() if not (receiver and name == "self")}


Arguments = tuple[list[ast.expr], list[ast.keyword]]


def _arrangements(parameters: list[Parameter], given: dict[str, ast.expr]) -> Iterator[tuple[str, Arguments]]:
    by_keyword = [ast.keyword(name, given[name]) for p in parameters if (name := p.name) in given]
    if not by_keyword:
        return
    yield "positional", _positional(parameters, given)
    yield "keyword", ([], by_keyword)
    shuffled = by_keyword[:]
    random.Random(len(by_keyword)).shuffle(shuffled)
    yield "shuffled keywords", ([], shuffled if shuffled != by_keyword else by_keyword[::-1])
    renamed = [ast.keyword(_numpy_name(k.arg or ""), k.value) for k in by_keyword]
    if [k.arg for k in renamed] != [k.arg for k in by_keyword]:
        yield "numpy names", ([], renamed)
    first = parameters[0]
    if first.kind == "positional" and first.name in given and len(by_keyword) > 1:
        rest = [k for k in by_keyword if k.arg != first.name]
        yield "mixed", ([given[first.name]], rest[::-1])


def _numpy_name(name: str) -> str:
    """The first of numpy's names for a parameter, where torch's builtins take one; torch says whether this one does."""
    return next((numpy for numpy, meant in NUMPY_NAMES.items() if meant == name), name)


def _positional(parameters: list[Parameter], given: dict[str, ast.expr]) -> Arguments:
    """All arguments by position as far as the last one given; defaults are written out in between."""
    positional = [p for p in parameters if p.kind == "positional"]
    while positional and positional[-1].name not in given:
        positional.pop()
    values: list[ast.expr] = []
    for p in positional:
        if p.name in given:
            values.append(given[p.name])
        elif p.default is not None:
            values.append(ast.parse(p.default, mode="eval").body)
        else:
            break
    taken = {p.name for p in positional[: len(values)]}
    return values, [ast.keyword(name, value) for name, value in given.items() if name not in taken]


def own_call(row: Row, tree: ast.AST) -> ast.Call | None:
    """The one call of the row's name in an expression; None where there is none, or more than one."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_own(row, n.func)]
    return found[0] if len(found) == 1 else None


def _is_own(row: Row, func: ast.expr) -> bool:
    if row.kind in ("method", "attribute"):
        return (
            isinstance(func, ast.Attribute) and func.attr == row.short_name and ast.unparse(func) != row.name
        )
    return isinstance(func, ast.Attribute | ast.Name) and ast.unparse(func) == row.name


def _bare_form(row: Row, text: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The name read as a value first, called through a variable: the port needs its adapter."""
    tree = ast.parse(text, mode="eval")
    call = own_call(row, tree)
    if call is not None and row.kind in ("module", "function"):
        call.func = ast.Name("reference")
        yield "bare reference", ast.unparse(tree), (f"reference = {row.name}",)


def _statement_form(row: Row, text: str) -> tuple[str, tuple[str, ...]] | None:
    """An in-place call whose value is not used: what it does to its receiver must survive."""
    tree = ast.parse(text, mode="eval")
    call = own_call(row, tree)
    if not row.inplace or call is None or call is not tree.body:
        return None
    target = call.func.value if row.kind == "method" and isinstance(call.func, ast.Attribute) else None
    target = target or (call.args[0] if call.args else None)
    if not isinstance(target, ast.Name):
        return None
    name, target.id = target.id, "changed"
    return "changed", (f"changed = {name} * 1", ast.unparse(tree))


# --- source --------------------------------------------------------------------------------------------------------


def torch_source(row: Row, examples: Sequence[Example], cases: Sequence[Case]) -> str:
    """The torch module that holds one class for each case."""
    classes = [_class(row, examples[case.example], case) for case in cases]
    setups = dict.fromkeys(e.setup.rstrip() for e in examples if e.setup)
    roots = _roots("\n".join([*setups, *classes])) - {"torch"}
    imports = ["import torch", *(f"import {_SUBMODULES.get(root, root)}" for root in sorted(roots))]
    return "\n\n\n".join(["\n".join(imports), *setups, *classes]) + "\n"


_IMPORTABLE = frozenset(
    ["torchvision", "torchaudio", "einops", "numpy", "math", "functools", "copy", "itertools", "collections"]
)


_SUBMODULES = {"einops": "einops.layers.torch", "torchvision": "torchvision.transforms.v2"}  # which their package does not import


def _roots(text: str) -> set[str]:
    return {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)} & _IMPORTABLE


def _class(row: Row, example: Example, case: Case) -> str:
    tree = ast.parse(example.call, mode="eval")
    built = row.kind == "module" or row.returns == "module"
    # a network that the call gives its inputs itself is built where it runs
    built |= row.returns == "object[torch.nn.Module]" and not any(isinstance(n, ast.Name) and n.id in example.names for n in ast.walk(tree))
    held = built and own_call(row, tree) is not None
    return _module_class(example, case) if held else _function_class(example, case)


def _signature(names: Sequence[str]) -> str:
    return ", ".join(["self", *(f"{name}: torch.Tensor" for name in names)])


def constructor_inputs(row: Row, example: Example) -> tuple[str, ...]:
    """The inputs that the constructor of a module example reads, such as class weights."""
    if row.kind != "module" or (example.apply is None and not example.inputs):
        return ()
    used = {n.id for n in ast.walk(ast.parse(example.call)) if isinstance(n, ast.Name)}
    return tuple(name for name in example.names if name in used)


def traced_facts(path: str, source: str, examples: Sequence[Example], cases: Sequence[Case]) -> Facts:
    """What a traced run would see of those cases whose example asks for it: the shapes of their inputs, and of what enters a layer."""
    traced = {case.name: examples[case.example] for case in cases if examples[case.example].traced}
    shapes: dict[Span, frozenset[tuple[int, ...]]] = {}
    entering: dict[Span, frozenset[tuple[int, ...]]] = {}
    for owner in ast.parse(source).body if traced else ():
        if not (isinstance(owner, ast.ClassDef) and owner.name in traced):
            continue
        example = traced[owner.name]
        given = {name: frozenset({spec.shape}) for name, spec in zip(example.names, example.inputs)}
        for node in ast.walk(owner):
            if isinstance(node, ast.Name) and node.id in given:
                shapes[span_of(path, node)] = given[node.id]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.m" and example.apply is None:
                entering[span_of(path, node.value)] = given[example.names[0]]
    return Facts(shapes=shapes, entering=entering)


def _module_class(example: Example, case: Case) -> str:
    used = {n.id for n in ast.walk(ast.parse(example.call)) if isinstance(n, ast.Name)}
    given = [name for name in example.names if name in used]
    inputs = [name for name in example.names if name not in used]
    apply = _with_self(example.apply) if example.apply else f"self.m({', '.join(inputs)})"
    lines = [
        f"class {case.name}(torch.nn.Module):",
        f"    def __init__({_signature(given)}) -> None:",
        "        super().__init__()",
        *(f"        {line}" for line in case.prelude),
        f"        self.m = {case.call}",
        "",
        f"    def forward({_signature(inputs)}):",
        f"        return {apply}",
    ]
    return "\n".join(lines)


def _with_self(text: str) -> str:
    """The expression with the name `m` written as `self.m`, everything else as it was."""
    names = [n for n in ast.walk(ast.parse(text, mode="eval")) if isinstance(n, ast.Name) and n.id == "m"]
    for node in sorted(names, key=lambda n: -n.col_offset):
        text = text[: node.col_offset] + "self.m" + text[node.col_offset + 1 :]
    return text


def _function_class(example: Example, case: Case) -> str:
    apply = case.call if example.apply is None else example.apply
    lines = [
        f"class {case.name}(torch.nn.Module):",
        f"    def forward({_signature(example.names)}):",
        *(f"        {line}" for line in case.prelude),
        *([f"        m = {case.call}"] if example.apply is not None else []),
        f"        return {apply}",
    ]
    return "\n".join(lines)


def ported_expression(text: str, row: Row, case: Case) -> str | None:
    """The source of the converted call of a case in ported text; None where its class or statement is gone."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == case.name:
            value = _marked_value(node)
            return None if value is None else ast.get_source_segment(text, value)
    return None


def _marked_value(node: ast.ClassDef) -> ast.expr | None:
    """What is assigned to `m`, else what the class returns."""
    statements = [s for f in node.body if isinstance(f, ast.FunctionDef) for s in f.body]
    for statement in statements:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in ("self.m", "m"):
            return statement.value
    return next((s.value for s in statements if isinstance(s, ast.Return)), None)


def canonical(text: str) -> str:
    """An expression with names in full and keywords in order, so that only what it says is compared."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return text
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords.sort(key=lambda k: k.arg or "")
        if isinstance(node, ast.Name):
            node.id = _FULL_NAMES.get(node.id, node.id)
    return ast.unparse(tree)


_FULL_NAMES = {
    "ms": "mindspore",
    "nn": "mindspore.nn",
    "ops": "mindspore.ops",
    "mint": "mindspore.mint",
    "Tensor": "mindspore.Tensor",
    "np": "numpy",
    "emitted": "ms_extras",
}


def signature_text(signature: Signature) -> str:
    """The signature as its row writes it."""
    return signature.name if signature.parameters is None else f"{signature.name}({signature.text()})"
