"""Decides a row's conditions at conversion time: true, false, or not known."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from porter import kinds as K
from porter import pure
from porter.kinds import ANY, Kinds
from porter.table import Alternative, Row


class _Unknown:
    """The third truth value, and any value that is not known before the program runs."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value has no truth")


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Argument:
    """What is known of one argument: a constant, or the kinds it may have; `shape` and `dtype` come from a trace."""

    kinds: Kinds = ANY
    constant: Any = UNKNOWN
    given: bool = True
    node: ast.expr | None = None
    text: str = ""
    shapes: frozenset[tuple[int, ...]] = frozenset()


def constant_of(node: ast.expr | None) -> Any:
    """The value of a literal expression, or UNKNOWN."""
    if node is None:
        return UNKNOWN
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError):
        pass
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        try:
            return evaluate_node(node, {})
        except Exception:
            return UNKNOWN
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float" and len(node.args) == 1:
        return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}.get(str(constant_of(node.args[0])), UNKNOWN)
    return UNKNOWN


@cache
def default_argument(default: str | None) -> Argument:
    """The argument that an omitted parameter has."""
    node = ast.parse(default or "None", mode="eval").body
    constant = constant_of(node)
    return Argument(kind_of_constant(constant), constant, given=False, node=node, text=default or "None")


def kind_of_constant(value: Any) -> Kinds:
    simple = {int: K.INT, float: K.FLOAT, bool: K.BOOL, str: K.STR, type(None): K.NONE}
    if type(value) in simple:
        return simple[type(value)]
    if isinstance(value, tuple):
        return K.tuple_of(*(kind_of_constant(v) for v in value))
    if isinstance(value, list):
        return K.list_of(K.join(*(kind_of_constant(v) for v in value)))
    return ANY


@cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def evaluate(text: str, arguments: Mapping[str, Argument]) -> Any:
    """The value of a condition or expression of a row over what is known of the arguments, or UNKNOWN."""
    return evaluate_node(_parsed(text), arguments)


def truth(text: str | None, arguments: Mapping[str, Argument]) -> bool | None:
    """True, False, or None where it is not known."""
    if text is None:
        return True
    value = evaluate(text, arguments)
    return None if value is UNKNOWN or isinstance(value, Argument) else bool(value)


def evaluate_node(node: ast.expr, arguments: Mapping[str, Argument]) -> Any:
    method = _EVALUATORS.get(type(node))
    try:
        return method(node, arguments) if method is not None else UNKNOWN
    except (TypeError, ValueError, ZeroDivisionError, KeyError, IndexError, AttributeError, OverflowError):
        return UNKNOWN


def _constant(node: ast.Constant, arguments: Mapping[str, Argument]) -> Any:
    return node.value


def _name(node: ast.Name, arguments: Mapping[str, Argument]) -> Any:
    argument = arguments.get(node.id)
    if argument is None:
        return UNKNOWN
    return argument.constant


def _argument(node: ast.expr, arguments: Mapping[str, Argument]) -> Argument | None:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.value, ast.Name):
        holder = arguments.get(node.value.id)
        index = node.slice.value
        if holder is None or not isinstance(index, int):
            return None
        if isinstance(holder.constant, tuple | list) and index < len(holder.constant):
            return Argument(kind_of_constant(holder.constant[index]), holder.constant[index])
        return Argument(K.item(holder.kinds, index) or ANY)
    return arguments.get(node.id) if isinstance(node, ast.Name) else None


def _sequence(node: ast.Tuple | ast.List, arguments: Mapping[str, Argument]) -> Any:
    values = [evaluate_node(e, arguments) for e in node.elts]
    if any(v is UNKNOWN for v in values):
        return UNKNOWN
    return tuple(values) if isinstance(node, ast.Tuple) else values


def _unary(node: ast.UnaryOp, arguments: Mapping[str, Argument]) -> Any:
    value = evaluate_node(node.operand, arguments)
    if value is UNKNOWN:
        return UNKNOWN
    if isinstance(node.op, ast.Not):
        return not value
    return -value if isinstance(node.op, ast.USub) else UNKNOWN


def _binary(node: ast.BinOp, arguments: Mapping[str, Argument]) -> Any:
    left, right = evaluate_node(node.left, arguments), evaluate_node(node.right, arguments)
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    if isinstance(node.op, ast.Sub) and isinstance(left, int | float) and isinstance(right, float):
        return exact_difference(left, right)
    return _OPERATORS[type(node.op)](left, right) if type(node.op) in _OPERATORS else UNKNOWN


def exact_difference(left: float, right: float) -> float:
    """`1 - 0.9` as people write it: 0.1 and not 0.09999999999999998."""
    from decimal import Decimal

    return float(Decimal(repr(left)) - Decimal(repr(right)))


def _boolean(node: ast.BoolOp, arguments: Mapping[str, Argument]) -> Any:
    wanted = isinstance(node.op, ast.Or)
    unknown = False
    value: Any = not wanted
    for operand in node.values:
        value = evaluate_node(operand, arguments)
        if value is UNKNOWN:
            unknown = True
        elif bool(value) is wanted:
            return value
    return UNKNOWN if unknown else value


def _compare(node: ast.Compare, arguments: Mapping[str, Argument]) -> Any:
    left = evaluate_node(node.left, arguments)
    if left is UNKNOWN and len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot):
        return _is_none_by_kind(node, arguments)
    result: Any = True
    for op, right_node in zip(node.ops, node.comparators):
        right = evaluate_node(right_node, arguments)
        if left is UNKNOWN or right is UNKNOWN:
            return _differ_by_kind(node, arguments)
        if not _COMPARISONS[type(op)](left, right):
            return False
        left = right
    return result


def _is_none_by_kind(node: ast.Compare, arguments: Mapping[str, Argument]) -> Any:
    argument = _argument(node.left, arguments)
    right = node.comparators[0]
    if argument is None or not (isinstance(right, ast.Constant) and right.value is None):
        return UNKNOWN
    none = _is_kind(argument, frozenset({"None"}))
    if none is UNKNOWN:
        return UNKNOWN
    return none if isinstance(node.ops[0], ast.Is) else not none


def _differ_by_kind(node: ast.Compare, arguments: Mapping[str, Argument]) -> Any:
    """`padding == 'same'` is false for a value known to be an int, though which int is not known."""
    if len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In):
        return UNKNOWN
    argument = _argument(node.left, arguments)
    right = evaluate_node(node.comparators[0], arguments)
    if argument is None or right is UNKNOWN or not argument.kinds or not K.names(argument.kinds) <= _PLAIN_EQUALITY:
        return UNKNOWN
    others = right if isinstance(node.ops[0], ast.In) else (right,)
    if all(isinstance(o, str) for o in others) and "str" not in K.names(argument.kinds):
        return isinstance(node.ops[0], ast.NotEq)
    if isinstance(node.ops[0], ast.In):
        return UNKNOWN
    numbers = K.names(argument.kinds) & K.NUMBERS
    if isinstance(right, int | float) and not numbers:
        return isinstance(node.ops[0], ast.NotEq)
    return UNKNOWN


# kinds whose == compares values and gives a bool
_PLAIN_EQUALITY = frozenset({"int", "float", "bool", "str", "None", "list", "tuple", "Size"})


def _call(node: ast.Call, arguments: Mapping[str, Argument]) -> Any:
    if not isinstance(node.func, ast.Name):
        return UNKNOWN
    name = node.func.id
    if name in _PREDICATES and len(node.args) == 1:
        argument = _argument(node.args[0], arguments)
        if argument is None:
            value = evaluate_node(node.args[0], arguments)
            argument = Argument(kind_of_constant(value), value) if value is not UNKNOWN else None
        return UNKNOWN if argument is None else _PREDICATES[name](argument)
    if name == "len" and len(node.args) == 1:
        counted = _argument(node.args[0], arguments)
        if counted is not None and counted.constant is UNKNOWN:
            lengths = {len(k.items) for k in counted.kinds if k.name == "tuple"}
            return lengths.pop() if len(lengths) == 1 and K.proven(counted.kinds, frozenset({"tuple"})) else UNKNOWN
    values = [evaluate_node(a, arguments) for a in node.args]
    keywords = {k.arg: evaluate_node(k.value, arguments) for k in node.keywords if k.arg}
    if any(v is UNKNOWN for v in [*values, *keywords.values()]):
        return UNKNOWN
    function: Callable[..., Any] | None = getattr(pure, name, None) or _SAFE_BUILTINS.get(name)
    return function(*values, **keywords) if function is not None else UNKNOWN


def _attribute(node: ast.Attribute, arguments: Mapping[str, Argument]) -> Any:
    argument = _argument(node.value, arguments)
    if argument is None or not argument.shapes:
        return UNKNOWN
    if node.attr == "ndim":
        ranks = {len(s) for s in argument.shapes}
        return ranks.pop() if len(ranks) == 1 else UNKNOWN
    if node.attr == "shape" and len(argument.shapes) == 1:
        return next(iter(argument.shapes))
    return UNKNOWN


def _subscript(node: ast.Subscript, arguments: Mapping[str, Argument]) -> Any:
    value = evaluate_node(node.value, arguments)
    if isinstance(node.slice, ast.Slice):
        bounds = [evaluate_node(b, arguments) if b is not None else None for b in (node.slice.lower, node.slice.upper, node.slice.step)]
        return UNKNOWN if value is UNKNOWN or any(b is UNKNOWN for b in bounds) else value[slice(*bounds)]
    index = evaluate_node(node.slice, arguments)
    return UNKNOWN if value is UNKNOWN or index is UNKNOWN else value[index]


def _conditional(node: ast.IfExp, arguments: Mapping[str, Argument]) -> Any:
    test = evaluate_node(node.test, arguments)
    if test is UNKNOWN:
        return UNKNOWN
    return evaluate_node(node.body if test else node.orelse, arguments)


def _generator(node: ast.GeneratorExp | ast.ListComp, arguments: Mapping[str, Argument]) -> Any:
    if len(node.generators) != 1 or not isinstance(node.generators[0].target, ast.Name):
        return UNKNOWN
    generator = node.generators[0]
    assert isinstance(generator.target, ast.Name)
    items = evaluate_node(generator.iter, arguments)
    if items is UNKNOWN:
        return UNKNOWN
    found = []
    for value in items:
        inner = {**arguments, generator.target.id: Argument(kind_of_constant(value), value)}
        tests = [evaluate_node(t, inner) for t in generator.ifs]
        if any(t is UNKNOWN for t in tests):
            return UNKNOWN
        if all(tests):
            found.append(evaluate_node(node.elt, inner))
    return UNKNOWN if any(f is UNKNOWN for f in found) else found


def _is_kind(argument: Argument, allowed: frozenset[str]) -> Any:
    if argument.constant is not UNKNOWN:
        return bool(K.names(kind_of_constant(argument.constant)) <= allowed)
    if not argument.kinds or argument.kinds & ANY:
        return UNKNOWN
    known = K.names(argument.kinds)
    if known <= allowed:
        return True
    return UNKNOWN if known & allowed else False


def _kind_predicate(*allowed: str) -> Callable[[Argument], Any]:
    return lambda argument: _is_kind(argument, frozenset(allowed))


_PREDICATES: dict[str, Callable[[Argument], Any]] = {
    "is_int": _kind_predicate("int"),
    "is_float": _kind_predicate("float"),
    "is_number": _kind_predicate("int", "float"),
    "is_bool": _kind_predicate("bool"),
    "is_str": _kind_predicate("str"),
    "is_none": _kind_predicate("None"),
    "is_tensor": _kind_predicate("Tensor", "Parameter"),
    "is_parameter": _kind_predicate("Parameter"),
    "is_sequence": _kind_predicate("list", "tuple", "Size"),
    "is_size": _kind_predicate("Size"),
    "is_empty": lambda argument: argument.constant in ((), []),
    "is_dtype": _kind_predicate("dtype"),
    "given": lambda argument: argument.given,
}
_SAFE_BUILTINS: dict[str, Callable[..., Any]] = {
    "len": len, "tuple": tuple, "list": list, "int": int, "float": float, "bool": bool, "str": str, "isinstance": lambda *_: UNKNOWN,
    "range": range, "max": max, "min": min, "sum": sum, "abs": abs, "all": all, "any": any, "round": round,
}  # fmt: skip
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: lambda a, b: a**b if abs(b) < 64 else UNKNOWN,
}  # fmt: skip
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_EVALUATORS: dict[type, Callable[[Any, Mapping[str, Argument]], Any]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Tuple: _sequence, ast.List: _sequence, ast.UnaryOp: _unary,
    ast.BinOp: _binary, ast.BoolOp: _boolean, ast.Compare: _compare, ast.Call: _call, ast.Attribute: _attribute,
    ast.Subscript: _subscript, ast.IfExp: _conditional, ast.GeneratorExp: _generator, ast.ListComp: _generator,
}  # fmt: skip


def bind_arguments(row: Row, positional: Sequence[Argument], keywords: Mapping[str, Argument]) -> dict[str, Argument] | None:
    """Arguments by parameter name, defaults filled in; a star parameter is there as a tuple when all of it is constant."""
    binding = row.signature.bind(positional, keywords)
    if binding is None:
        return None
    arguments = dict(binding.arguments)
    for parameter in row.signature.parameters or ():
        if parameter.name in arguments:
            continue
        if parameter.kind == "star":
            arguments[parameter.name] = star_argument(binding.star)
        elif parameter.kind == "double_star":
            arguments[parameter.name] = Argument(K.one("dict"), {} if not binding.extra else UNKNOWN, bool(binding.extra))
        else:
            arguments[parameter.name] = default_argument(parameter.default)
    return arguments


def star_argument(values: Sequence[Argument]) -> Argument:
    """What `*size` holds as one sequence: a single sequence argument stands for its elements."""
    if len(values) == 1 and _is_kind(values[0], frozenset({"list", "tuple", "Size"})) is True:
        return values[0]
    if len(values) == 1 and _is_kind(values[0], frozenset({"int", "float", "bool", "Tensor"})) is not True:
        return Argument(ANY, UNKNOWN, True)
    constants = tuple(v.constant for v in values)
    constant: Any = UNKNOWN if any(c is UNKNOWN for c in constants) else constants
    return Argument(K.tuple_of(*(v.kinds for v in values)), constant, bool(values))


def choose_overload(
    rows: Sequence[Row], call: ast.Call, positional: Sequence[Kinds], keywords: Mapping[str, Kinds]
) -> Row | None:
    """The first row of a name that the call's arguments fit for sure; None where that is not known."""
    offset = len(positional) - len(call.args)
    arguments = [
        Argument(kinds, constant_of(call.args[i - offset]) if i >= offset else UNKNOWN) for i, kinds in enumerate(positional)
    ]
    named = {k.arg: Argument(keywords.get(k.arg, ANY), constant_of(k.value)) for k in call.keywords if k.arg}
    for row in rows:
        bound = bind_arguments(row, arguments, named)
        if bound is None:
            continue
        fits = truth(row.where, bound)
        if fits:
            return row
        if fits is None:
            return None
    return None


def choose_alternative(row: Row, arguments: Mapping[str, Argument], target: str) -> tuple[Alternative | None, bool]:
    """The alternative that applies and whether that is known; (None, True) where none does."""
    for alternative in row.alternatives:
        if not alternative.serves(target) or any(need not in arguments for need in alternative.needs):
            continue
        applies = truth(alternative.when, arguments)
        if applies:
            return alternative, True
        if applies is None:
            return alternative, False
    return None, True
