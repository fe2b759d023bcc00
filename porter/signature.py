"""Signatures as rows state them: `torch.nn.Conv2d(in_channels, out_channels, ...)`, and how a call's arguments bind."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, TypeVar

ParameterKind = Literal["positional", "star", "keyword", "double_star"]
Argument = TypeVar("Argument")
# names of other overloads, and numpy's names, which the argument parser of torch's builtins takes for its own (torch/csrc/utils/python_arg_parser.cpp)
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other", "indices": "indices_or_sections", "sections": "indices_or_sections"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a definition; `default` is source text, or None where there is no default."""

    name: str
    kind: ParameterKind = "positional"
    default: str | None = None


@dataclass(frozen=True)
class Binding(Generic[Argument]):
    """The arguments of one call under the parameter names; `star` holds what a `*parameter` took."""

    arguments: Mapping[str, Argument]
    star: tuple[Argument, ...] = ()
    extra: Mapping[str, Argument] | None = None


@dataclass(frozen=True)
class Signature:
    """A qualified name and its parameters; attributes and values have `parameters` None."""

    name: str
    parameters: tuple[Parameter, ...] | None

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        return {p.name: p for p in self.parameters or ()}

    @cached_property
    def positional(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters or () if p.kind == "positional")

    @cached_property
    def star(self) -> str | None:
        return next((p.name for p in self.parameters or () if p.kind == "star"), None)

    @cached_property
    def double_star(self) -> str | None:
        return next((p.name for p in self.parameters or () if p.kind == "double_star"), None)

    def canonical(self, keyword: str) -> str:
        """The parameter that a keyword means: itself, or torch's name for a numpy one such as `axis`."""
        if keyword in self.by_name or self.double_star is not None:
            return keyword
        meant = NUMPY_NAMES.get(keyword, keyword)
        return meant if meant in self.by_name else keyword

    def bind(self, positional: Sequence[Argument], keywords: Mapping[str, Argument]) -> Binding[Argument] | None:
        """The binding of a call's arguments, or None where they do not fit."""
        names = self.positional
        arguments: dict[str, Argument] = dict(zip(names, positional))
        rest = tuple(positional[len(names) :])
        if rest and self.star is None:
            return None
        extra: dict[str, Argument] = {}
        for written, argument in keywords.items():
            name = self.canonical(written)
            if name in arguments:
                return None
            known = self.by_name.get(name)
            if known is not None and known.kind in ("positional", "keyword"):
                arguments[name] = argument
            elif self.double_star is not None or (name == self.star and not rest):
                extra[name] = argument
            else:
                return None
        if self.star is not None and self.star in extra:
            arguments[self.star] = extra.pop(self.star)
        missing = [
            p.name
            for p in self.parameters or ()
            if p.kind in ("positional", "keyword") and p.default is None and p.name not in arguments
        ]
        return None if missing else Binding(arguments, rest, extra)

    def text(self, *, skip_self: bool = False) -> str:
        """The parameter list as source, without the parentheses."""
        parts: list[str] = []
        seen_star = False
        for p in self.parameters or ():
            if skip_self and p.name == "self":
                continue
            if p.kind == "keyword" and not seen_star:
                parts.append("*")
                seen_star = True
            prefix = {"star": "*", "double_star": "**"}.get(p.kind, "")
            seen_star = seen_star or p.kind == "star"
            parts.append(prefix + p.name + (f"={p.default}" if p.default is not None else ""))
        return ", ".join(parts)


def parse_signature(text: str) -> Signature:
    """Reads `a.b.c(x, y=1, *, z=None)` or a bare `a.b.c`. Raises ValueError where the text is neither."""
    name, paren, rest = text.strip().partition("(")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"not a qualified name: {name!r}")
    if not paren:
        return Signature(name, None)
    if not rest.endswith(")"):
        raise ValueError(f"signature without closing parenthesis: {text!r}")
    try:
        function = ast.parse(f"def f({rest[:-1]}): pass").body[0]
    except SyntaxError as error:
        raise ValueError(f"not a signature: {text!r} ({error.msg})") from None
    assert isinstance(function, ast.FunctionDef)
    return Signature(name, tuple(_parameters(function.args)))


def _parameters(args: ast.arguments) -> list[Parameter]:
    names = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(names) - len(args.defaults)) + list(args.defaults)
    found = [Parameter(a.arg, "positional", ast.unparse(d) if d else None) for a, d in zip(names, defaults)]
    if args.vararg:
        found.append(Parameter(args.vararg.arg, "star"))
    for argument, default in zip(args.kwonlyargs, args.kw_defaults):
        found.append(Parameter(argument.arg, "keyword", ast.unparse(default) if default else None))
    if args.kwarg:
        found.append(Parameter(args.kwarg.arg, "double_star"))
    return found
