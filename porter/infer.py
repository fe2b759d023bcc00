"""Finds what kind of value each expression has, by following assignments, calls, attributes and returns of a program.

The program is taken as closed: a parameter is what its callers in the program pass, what its annotation says, or what its
default shows. What a traced run saw (see trace.py) stands in wherever reading alone proves nothing.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from porter import kinds as K
from porter.functions import context_place, is_function
from porter.kinds import ANY, NOTHING, Kind, Kinds, join, one
from porter.loaders import LOADER, annotated_object, loader_object
from porter.nodes import children
from porter.packed import PACKED, recurrent_result
from porter.program import Class, Function, Module, Program
from porter.recognize import (
    TENSOR_ATTRIBUTES,
    class_name_test,
    class_of,
    is_module_call,
    is_tensor_call,
    tensors_by_use,
)
from porter.sharing import Sharing
from porter.table import Row
from porter.trace import Facts, Span

Key = tuple[str, str, str]
Env = dict[str, Kinds]

MAX_VISITS = 8
FORWARD_NAMES = frozenset({"forward"})


@dataclass
class Scope:
    """Where an expression stands: module, function, class, and what its names hold at this point."""

    module: Module
    function: Function | None
    owner: Class | None
    env: Env
    unit: object = None
    alive: bool = True


class Inference:
    """The analysis of one program; `kinds_of(node)` answers once `run` is done."""

    def __init__(self, program: Program, facts: Facts | None = None) -> None:
        self.program = program
        self.table = program.table
        self.facts = facts or Facts()
        self.store: dict[Key, Kinds] = {}
        self.readers: dict[Key, dict[str, None]] = {}
        self.found: dict[int, Kinds] = {}
        self.pending: dict[str, None] = {}
        self.visits: dict[str, int] = {}
        self.descendants: dict[str, list[str]] = {}
        self.current = ""
        self.seeds: dict[Key, Kinds] = {}
        self.guessed: set[Key] = set()
        self.annotations: dict[int, tuple[ast.expr, Kinds]] = {}
        self.grown_containers = False
        self.grown_attributes: set[tuple[str, str]] = set()
        self.recognized: dict[int, Kinds] = {}
        self.class_literals: dict[int, str] = {}
        self.handlers = {getattr(ast, n[4:]): n for n in dir(self) if n.startswith("_of_")}

    # --- driving ---------------------------------------------------------------------------------------------------

    def run(self) -> Inference:
        for name in self.program.classes:
            for ancestor in self.program.ancestry(name)[1:]:
                self.descendants.setdefault(ancestor, []).append(name)
        self._settle()
        if any(self.store.get(key, ANY) != ANY for key in self.guessed):
            # a function that was read before its callers took its parameters for anything, and passed that on: once more
            self.seeds = {key: kinds - ANY for key, kinds in self.store.items() if key[0] == "param"}
            self.store, self.readers, self.found, self.visits = {}, {}, {}, {}
            self._settle()
        return self

    def _settle(self) -> None:
        for module in self.program.modules.values():
            self.pending[module.name] = None
        for function in self.program.functions.values():
            self.pending[function.name] = None
        while self.pending:
            unit = next(iter(self.pending))
            del self.pending[unit]
            if self.visits.get(unit, 0) >= MAX_VISITS:
                continue
            self.visits[unit] = self.visits.get(unit, 0) + 1
            self.current = unit
            if unit in self.program.functions:
                self._function(self.program.functions[unit])
            else:
                self._module(self.program.modules[unit])

    @cached_property
    def sharing(self) -> Sharing:
        """Which names hold the same storage, once the kinds are settled."""
        return Sharing(self)

    def kinds_of(self, node: ast.AST) -> Kinds:
        """What is known of an expression; empty where it was never reached."""
        known = self.found.get(id(node), NOTHING)
        return self.recognized.get(id(node), known) if _is_unsure(known) else known

    def read(self, key: Key) -> Kinds:
        self.readers.setdefault(key, {})[self.current] = None
        return self.store.get(key, NOTHING)

    def write(self, key: Key, kinds: Kinds) -> None:
        if not kinds:
            return
        old = self.store.get(key, NOTHING)
        if kinds <= old:
            return
        new = join(old, kinds)
        if new != old:
            self.store[key] = new
            for reader in self.readers.get(key, ()):
                self.pending[reader] = None

    def _module(self, module: Module) -> None:
        scope = Scope(module, None, None, {}, module.name)
        self._body(module.tree.body, scope)

    def _function(self, function: Function) -> None:
        node = function.node
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        env = self.parameters(function)
        scope = Scope(function.module, function, function.owner or _method_class(function), env, function.name)
        self._body(node.body, scope)

    def parameters(self, function: Function) -> Env:
        """What the parameters of a function hold when it is entered."""
        node = function.node
        args = node.args
        env: Env = {}
        named = [*args.posonlyargs, *args.args]
        defaults: dict[str, ast.expr] = dict(
            zip((a.arg for a in named[len(named) - len(args.defaults) :]), args.defaults)
        )
        defaults.update({a.arg: d for a, d in zip(args.kwonlyargs, args.kw_defaults) if d is not None})
        scope = Scope(function.module, None, None, {}, function.name)
        static = any(ast.unparse(d) == "staticmethod" for d in function.decorators)
        custom = function.owner is not None and is_function(self.program, function.owner.name)
        context = context_place(node) if custom and isinstance(node, ast.FunctionDef) and (static or node.name in ("forward", "backward")) else None
        for index, argument in enumerate([*named, *args.kwonlyargs]):
            if index == context and function.owner is not None:
                env[argument.arg] = one("object", function.owner.name)  # the context holds what forward sets on it
                continue
            if index == 0 and function.owner is not None and not static:
                is_class = any(ast.unparse(d) == "classmethod" for d in function.decorators)
                env[argument.arg] = one("class" if is_class else "object", function.owner.name)
                continue
            kinds = self._parameter(function, argument, defaults.get(argument.arg), scope)
            env[argument.arg] = self._by_use(function, argument.arg, kinds)
        if args.vararg:
            env[args.vararg.arg] = K.list_of(self._annotated(args.vararg.annotation, scope) or ANY)
        if args.kwarg:
            env[args.kwarg.arg] = one("dict", items=(ANY,))
        return env

    def _parameter(self, function: Function, argument: ast.arg, default: ast.expr | None, scope: Scope) -> Kinds:
        annotated = self._annotated(argument.annotation, scope)
        if annotated and ANY not in (annotated,) and not (annotated & ANY):
            annotated = self._specific(annotated, self.read(("param", function.name, argument.arg)))
            default_none = isinstance(default, ast.Constant) and default.value is None
            return join(annotated, K.NONE) if default_none else annotated
        custom = function.owner is not None and is_function(self.program, function.owner.name)
        if custom and function.name.endswith(".backward"):
            return K.TENSOR
        passed = self.read(("param", function.name, argument.arg))
        own = self.eval(default, scope) if default is not None else NOTHING
        passed = passed or self.seeds.get(("param", function.name, argument.arg), NOTHING)
        if passed:
            return join(passed, own)
        if function.owner is not None and self.program.mixes_into_module(function.owner.name):
            if function.node.name in FORWARD_NAMES and own <= K.NONE:  # type: ignore[union-attr]
                return join(K.TENSOR, own)
        if custom and default is None and function.name.endswith(".forward") and isinstance(function.node, ast.FunctionDef):
            if argument is function.node.args.args[context_place(function.node) + 1]:
                return K.TENSOR
        self.guessed.add(("param", function.name, argument.arg))
        return own if own and own != K.NONE else ANY

    def _by_use(self, function: Function, name: str, kinds: Kinds) -> Kinds:
        """A parameter of unknown kind is a tensor, and no module, where the function calls on it what only tensors have."""
        assert not isinstance(function.node, ast.Lambda)
        if _is_unsure(kinds) and name in tensors_by_use(self.program, function.node):
            rest = frozenset(k for k in kinds - ANY if k.name != "object")
            return join(rest, K.TENSOR) if rest <= K.TENSOR | K.PARAMETER | K.NONE else kinds
        return kinds

    def _specific(self, annotated: Kinds, passed: Kinds) -> Kinds:
        """`model: nn.Module` is whichever networks the callers pass, where all of them are known."""
        known = K.without_none(passed)
        if annotated == _SOME_MODULE and known and all(k.name == "object" and self._is_module(k.of) for k in known):
            return known
        return annotated

    # --- statements --------------------------------------------------------------------------------------------------

    def _body(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        for node in body:
            if not scope.alive:
                # unreachable code is still ported, so it is still looked at
                scope.alive = True
            self._statement(node, scope)

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        method = getattr(self, f"_do_{type(node).__name__}", None)
        if method is not None:
            method(node, scope)
            return
        for child in children(node):
            if isinstance(child, ast.expr):
                self.eval(child, scope)

    def _do_Expr(self, node: ast.Expr, scope: Scope) -> None:
        self.eval(node.value, scope)

    def _do_Assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.eval(node.value, scope)
        for target in node.targets:
            self._assign(target, value, scope)

    def _do_AnnAssign(self, node: ast.AnnAssign, scope: Scope) -> None:
        annotated = self._annotated(node.annotation, scope)
        value = self.eval(node.value, scope) if node.value is not None else NOTHING
        known = annotated if annotated and not annotated & ANY else value
        if known:
            self._assign(node.target, known, scope)

    def _do_AugAssign(self, node: ast.AugAssign, scope: Scope) -> None:
        left = self.eval(node.target, scope)
        right = self.eval(node.value, scope)
        self._assign(node.target, _arithmetic(left, right, node.op), scope)

    def _do_Return(self, node: ast.Return, scope: Scope) -> None:
        value = self.eval(node.value, scope) if node.value is not None else K.NONE
        if scope.function is not None:
            self.write(("return", scope.function.name, ""), value)
        scope.alive = False

    def _do_Raise(self, node: ast.Raise, scope: Scope) -> None:
        for child in (node.exc, node.cause):
            if child is not None:
                self.eval(child, scope)
        scope.alive = False

    def _do_Continue(self, node: ast.Continue, scope: Scope) -> None:
        scope.alive = False

    def _do_Break(self, node: ast.Break, scope: Scope) -> None:
        scope.alive = False

    def _do_If(self, node: ast.If, scope: Scope) -> None:
        self.eval(node.test, scope)
        before = scope.env
        yes, no = self._narrow(node.test, scope)
        scope.env = yes
        self._body(node.body, scope)
        after_yes, alive_yes = scope.env, scope.alive
        scope.env, scope.alive = no, True
        self._body(node.orelse, scope)
        after_no, alive_no = scope.env, scope.alive
        if alive_yes and alive_no:
            scope.env = _merge(after_yes, after_no)
        elif alive_yes or alive_no:
            scope.env = after_yes if alive_yes else after_no
        else:
            scope.env = before
        scope.alive = alive_yes or alive_no

    def _do_For(self, node: ast.For, scope: Scope) -> None:
        items = K.elements(self.eval(node.iter, scope))
        before = dict(scope.env)
        self._assign(node.target, items, scope)
        entered = scope.env
        for _ in range(2):
            scope.env = dict(entered)
            self._body(node.body, scope)
            scope.alive = True
            scope.env = _merge(before, scope.env)
            self._assign(node.target, items, scope)
            if scope.env == entered:
                break
            entered = scope.env
        self._body(node.orelse, scope)
        scope.alive = True

    def _do_AsyncFor(self, node: ast.AsyncFor, scope: Scope) -> None:
        self._body(node.body, scope)

    def _do_While(self, node: ast.While, scope: Scope) -> None:
        self.eval(node.test, scope)
        before = dict(scope.env)
        for _ in range(2):
            entered = dict(scope.env)
            self._body(node.body, scope)
            scope.alive = True
            scope.env = _merge(before, scope.env)
            if scope.env == entered:
                break
        self._body(node.orelse, scope)
        scope.alive = True

    def _do_With(self, node: ast.With, scope: Scope) -> None:
        for item in node.items:
            value = self.eval(item.context_expr, scope)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, value if item.optional_vars else ANY, scope)
        self._body(node.body, scope)

    def _do_Try(self, node: ast.Try, scope: Scope) -> None:
        before = dict(scope.env)
        self._body(node.body, scope)
        after = scope.env if scope.alive else before
        for handler in node.handlers:
            scope.env, scope.alive = dict(_merge(before, after)), True
            self._body(handler.body, scope)
            if scope.alive:
                after = _merge(after, scope.env)
        scope.env, scope.alive = dict(after), True
        self._body(node.orelse, scope)
        self._body(node.finalbody, scope)

    def _do_FunctionDef(self, node: ast.FunctionDef, scope: Scope) -> None:
        for decorator in node.decorator_list:
            self.eval(decorator, scope)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.eval(default, scope)
        if scope.function is not None:
            name = f"{scope.function.name}.<locals>.{node.name}"
            scope.env[node.name] = one("function", name)
            self._keep_local(scope, node.name, scope.env[node.name])

    _do_AsyncFunctionDef = _do_FunctionDef

    def _do_ClassDef(self, node: ast.ClassDef, scope: Scope) -> None:
        for base in [*node.bases, *(k.value for k in node.keywords), *node.decorator_list]:
            self.eval(base, scope)
        prefix = scope.function.name + ".<locals>" if scope.function else scope.module.name
        if scope.owner is not None and scope.function is None:
            prefix = scope.owner.name
        name = f"{prefix}.{node.name}"
        cls = self.program.classes.get(name)
        if scope.function is not None:
            scope.env[node.name] = one("class", name)
            self._keep_local(scope, node.name, scope.env[node.name])
        if cls is not None:
            inner = Scope(scope.module, None, cls, {}, scope.unit)
            for statement in node.body:
                self._statement(statement, inner)
            for attribute, kinds in inner.env.items():
                self.write(("attr", name, attribute), kinds)
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    self.write(("attr", name, statement.target.id), self._annotated(statement.annotation, inner))

    def _keep_local(self, scope: Scope, name: str, kinds: Kinds) -> None:
        if scope.function is not None:
            self.write(("local", scope.function.name, name), kinds)

    def _assign(self, target: ast.expr, value: Kinds, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            self.found[id(target)] = join(self.found.get(id(target), NOTHING), value)
            scope.env[target.id] = value
            for key in [k for k in scope.env if k.startswith(target.id + ".")]:
                del scope.env[key]
            if scope.function is None and scope.owner is None:
                self.write(("global", scope.module.name, target.id), value)
            else:
                self._keep_local(scope, target.id, value)
        elif isinstance(target, ast.Attribute):
            base = self.eval(target.value, scope)
            self.found[id(target)] = join(self.found.get(id(target), NOTHING), value)
            for kind in base:
                if kind.name == "object" and kind.of in self.program.classes:
                    self.write(("attr", kind.of, target.attr), value)
            dotted = _dotted_key(target)
            if dotted:
                scope.env[dotted] = value
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value, scope)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, K.list_of(value), scope)
        elif isinstance(target, ast.Subscript):
            container = self.eval(target.value, scope)
            self.eval(target.slice, scope)
            if any(k.name == "object" and "torch.nn.Sequential" in self.program.ancestry(k.of) for k in container):
                self.grown_containers = True
            if K.proven(container, frozenset({"list", "dict"})):
                self._extend(target.value, container, value, scope)

    def _unpack(self, target: ast.Tuple | ast.List, value: Kinds, scope: Scope) -> None:
        starred = any(isinstance(e, ast.Starred) for e in target.elts)
        for index, element in enumerate(target.elts):
            self._assign(element, K.elements(value) if starred else K.item(value, index), scope)

    def _extend(self, holder: ast.expr, container: Kinds, value: Kinds, scope: Scope) -> None:
        """A list, dict or module container gains an element."""
        grown = frozenset(
            Kind(k.name, k.of, (join(k.items[0] if k.items else NOTHING, value),))
            if k.name in ("list", "dict", "object")
            else k
            for k in container
        )
        if isinstance(holder, ast.Attribute):
            self._note_growth(holder)
        if isinstance(holder, ast.Name | ast.Attribute):
            self._assign(holder, grown, scope)

    def _note_growth(self, holder: ast.Attribute) -> None:
        """Notes that what an attribute of a class of the program holds is added to."""
        owners = self.kinds_of(holder.value)
        self.grown_attributes |= {(k.of, holder.attr) for k in owners if k.name == "object" and k.of in self.program.classes}

    # --- narrowing ---------------------------------------------------------------------------------------------------

    def _narrow(self, test: ast.expr, scope: Scope) -> tuple[Env, Env]:
        yes, no = dict(scope.env), dict(scope.env)
        self._narrow_into(test, scope, yes, no)
        return yes, no

    def _narrow_into(self, test: ast.expr, scope: Scope, yes: Env, no: Env) -> None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._narrow_into(test.operand, scope, no, yes)
        elif isinstance(test, ast.BoolOp):
            for value in test.values:
                spare: Env = {}
                if isinstance(test.op, ast.And):
                    self._narrow_into(value, scope, yes, spare)
                else:
                    self._narrow_into(value, scope, spare, no)
        elif (asked := class_name_test(test)) is not None:
            self._narrow_class_name(*asked, scope, yes)
        elif isinstance(test, ast.Compare) and len(test.ops) == 1 and _is_none(test.comparators[0]):
            key = _dotted_key(test.left)
            if key:
                known = self.eval(test.left, scope)
                if isinstance(test.ops[0], ast.IsNot):
                    yes[key] = known - K.NONE or known
                    no[key] = K.NONE
                elif isinstance(test.ops[0], ast.Is):
                    no[key] = known - K.NONE or known
                    yes[key] = K.NONE
        elif isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance":
            if len(test.args) == 2:
                self._narrow_isinstance(test.args[0], test.args[1], scope, yes, no)
        elif isinstance(test, ast.Call) and self.program.dotted(scope.module, test.func) == "torch.is_tensor":
            key = _dotted_key(test.args[0]) if test.args else None
            if key:
                yes[key] = K.TENSOR
        elif isinstance(test, ast.Name | ast.Attribute):
            key = _dotted_key(test)
            if key:
                known = self.eval(test, scope)
                yes[key] = known - K.NONE or known

    def _narrow_class_name(self, name: ast.expr, literal: ast.expr, part: str, scope: Scope, yes: Env) -> None:
        """`classname.find("BatchNorm") != -1` says what the module is whose class has that name."""
        for kind in self.eval(name, scope):
            if not kind.of.startswith("class of "):
                continue
            self.class_literals[id(literal)] = part
            subject = kind.of.removeprefix("class of ")
            found = [r for r in self.table.rows if r.startswith("torch.nn.") and r.count(".") == 2 and part in r.rpartition(".")[2]]
            found = [r for r in found if self._is_module(r) and not self.table.get(r)[0].refused]
            own = [c for c in self.program.classes if part in c.rpartition(".")[2] and self.program.is_module_class(c)]
            if subject in scope.env and 0 < len(found) + len(own) <= 12:
                yes[subject] = join(*(one("object", f) for f in [*found, *own]))

    def _narrow_isinstance(self, subject: ast.expr, against: ast.expr, scope: Scope, yes: Env, no: Env) -> None:
        key = _dotted_key(subject)
        if key is None:
            return
        known = self.eval(subject, scope)
        wanted = self._instances(self.eval(against, scope))
        if not wanted or wanted & ANY:
            return
        kept = frozenset(n for k in known for w in wanted if (n := self._narrowed(k, w)) is not None)
        yes[key] = kept if kept and not known & ANY else wanted
        left = frozenset(k for k in known if not any(self._within(k, w) for w in wanted))
        if left and not known & ANY:
            no[key] = left

    def _narrowed(self, kind: Kind, wanted: Kind) -> Kind | None:
        """What a value of one kind is once it is known to be of another: some module that is a Linear is a Linear."""
        if self._within(kind, wanted):
            return kind
        return wanted if kind.name == "object" and self._within(wanted, kind) else None

    def _within(self, kind: Kind, wanted: Kind) -> bool:
        if kind.name == "object" and wanted.name == "object":
            if wanted.of == "torch.nn.Module":
                return self._is_module(kind.of)
            return wanted.of in self.program.ancestry(kind.of)
        return kind.name == wanted.name or (kind.name == "Parameter" and wanted.name == "Tensor")

    def _is_module(self, name: str) -> bool:
        if name in self.program.classes:
            return self.program.is_module_class(name)
        return any(r.kind == "module" for r in self.table.get(name)) or name == "torch.nn.Module"

    def _instances(self, classes: Kinds) -> Kinds:
        """What instances of the given classes are; tuples of classes as in isinstance."""
        found: list[Kinds] = []
        for kind in classes:
            if kind.name == "tuple":
                found += [self._instances(i) for i in kind.items]
            elif kind.name == "class":
                found.append(_instance(kind.of))
            elif kind.name == "builtin" and kind.of in _BUILTIN_INSTANCES:
                found.append(_BUILTIN_INSTANCES[kind.of])
            else:
                return ANY
        return join(*found)

    # --- annotations -------------------------------------------------------------------------------------------------

    def _annotated(self, node: ast.expr | None, scope: Scope) -> Kinds:
        """What an annotation promises; ANY where it says nothing of use, nothing where there is none."""
        if node is None:
            return NOTHING
        known = self.annotations.get(id(node))
        if known is None:
            # the node is kept beside its kinds: an id is another node's once a node is gone
            known = self.annotations[id(node)] = (node, self._read_annotation(node, scope))
        return known[1]

    def _read_annotation(self, node: ast.expr, scope: Scope) -> Kinds:
        if isinstance(node, ast.Constant):
            if node.value is None:
                return K.NONE
            if isinstance(node.value, str):
                try:
                    return self._annotated(ast.parse(node.value, mode="eval").body, scope)
                except SyntaxError:
                    return ANY
            return ANY
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return join(self._annotated(node.left, scope), self._annotated(node.right, scope))
        if isinstance(node, ast.Subscript):
            return self._annotated_generic(node, scope)
        name = self.program.dotted(scope.module, node)
        short = (name or ast.unparse(node)).rpartition(".")[2]
        if name in ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor", "torch.nn.Parameter"):
            return K.PARAMETER if short == "Parameter" else K.TENSOR
        if name == "torch.nn.Module":
            return one("object", "torch.nn.Module")
        if name in ("torch.dtype", "torch.device", "torch.Size"):
            return {"dtype": K.DTYPE, "device": K.DEVICE, "Size": K.SIZE}[short]
        if name in ("numpy.ndarray",):
            return K.NDARRAY
        if name in self.program.classes or any(r.kind == "module" for r in self.table.get(name or "")):
            return _instance(name or "")
        if short in _BUILTIN_INSTANCES and (name is None or not self.program.is_torch(name)):
            return _BUILTIN_INSTANCES[short]
        return annotated_object(self, name) or ANY

    def _annotated_generic(self, node: ast.Subscript, scope: Scope) -> Kinds:
        outer = ast.unparse(node.value).rpartition(".")[2]
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        inner = [self._annotated(a, scope) for a in arguments]
        if outer == "Optional":
            return join(inner[0], K.NONE)
        if outer == "Union":
            return join(*inner)
        if outer in ("List", "list", "Sequence", "Iterable", "Set", "set", "Iterator", "Generator"):
            return K.list_of(inner[0])
        if outer in ("Tuple", "tuple"):
            if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is Ellipsis:
                return K.list_of(inner[0])
            return K.tuple_of(*inner)
        if outer in ("Dict", "dict", "Mapping", "OrderedDict", "MutableMapping"):
            return one("dict", items=(inner[-1],))
        if outer in ("Type", "type"):
            return frozenset(Kind("class", k.of) if k.name == "object" else Kind("any") for k in inner[0])
        if outer in ("Final", "ClassVar", "Annotated"):
            return inner[0]
        return ANY

    # --- expressions -------------------------------------------------------------------------------------------------

    def eval(self, node: ast.expr, scope: Scope) -> Kinds:
        handler = self.handlers.get(type(node))
        if handler is not None:
            kinds: Kinds = getattr(self, handler)(node, scope)
        else:
            for child in children(node):
                if isinstance(child, ast.expr):
                    self.eval(child, scope)
            kinds = ANY
        if self.facts.kinds and (not kinds or kinds & ANY or len(kinds) > 1 or kinds == _SOME_MODULE):
            seen = self.facts.kinds.get(span_of(scope.module, node))
            if seen is not None and not seen & ANY:
                kinds = seen
        old = self.found.get(id(node))
        self.found[id(node)] = kinds if old is None or old == kinds else join(old, kinds)
        return kinds

    def _of_Constant(self, node: ast.Constant, scope: Scope) -> Kinds:
        return _CONSTANTS.get(type(node.value), ANY)

    def _of_Name(self, node: ast.Name, scope: Scope) -> Kinds:
        if node.id in scope.env:
            return scope.env[node.id]
        outer = scope.function
        while outer is not None:
            outer = outer.outer
            if outer is not None:
                seen = self.read(("local", outer.name, node.id))
                if seen:
                    return seen
                parameter = self._closure_parameter(outer, node.id)
                if parameter:
                    return parameter
        qualified = self.program.resolve(scope.module, node.id)
        if qualified is not None:
            return self.symbol(qualified)
        return one("builtin", node.id) if hasattr(builtins, node.id) else ANY

    def _closure_parameter(self, function: Function, name: str) -> Kinds:
        arguments = function.node.args
        if any(a.arg == name for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]):
            return self.parameters(function).get(name, NOTHING)
        return NOTHING

    def symbol(self, qualified: str) -> Kinds:
        """What a qualified name stands for."""
        program = self.program
        if qualified in program.classes:
            return one("class", qualified)
        if qualified in program.functions:
            return one("function", qualified)
        if qualified in program.modules:
            return one("pymod", qualified)
        head, _, last = qualified.rpartition(".")
        if head in program.modules:
            return self.read(("global", head, last)) or ANY
        rows = self.table.get(qualified)
        if rows:
            return _row_symbol(rows[0])
        if program.is_torch(qualified):
            return one("pymod" if qualified in self.table.namespaces else "torch", qualified)
        root = qualified.partition(".")[0]
        if root in program.modules:
            return ANY
        return one("pymod" if "." not in qualified else "external", qualified)

    def _of_Attribute(self, node: ast.Attribute, scope: Scope) -> Kinds:
        base = self.eval(node.value, scope)
        key = _dotted_key(node)
        if key and key in scope.env:
            return scope.env[key]
        if node.attr in TENSOR_ATTRIBUTES and K.without_none(base) & ANY:
            self.recognized[id(node.value)] = K.TENSOR | K.PARAMETER
            return self._tensor_attribute(node.attr)
        if node.attr == "__name__" and (subject := class_of(node.value)):
            return one("str", f"class of {subject}")
        return join(*(self.attribute(k, node.attr) for k in K.without_none(base)))

    def attribute(self, kind: Kind, name: str) -> Kinds:
        """What an attribute of a value of this kind is."""
        if kind.name == "pymod":
            return self.symbol(self.program.member(kind.of, name))
        if kind.name == "external":
            return one("external", f"{kind.of}.{name}")
        if kind.name in K.TENSORS:
            return self._tensor_attribute(name)
        if kind.name == "object":
            return self._object_attribute(kind, name)
        if kind.name == "class":
            return self._class_attribute(kind, name)
        if kind.name == "super":
            found = self.program.method((kind.items and next(iter(kind.items[0])).of) or kind.of, name, after=kind.of)
            if found is not None:
                return one("bound", found[1].name, (one("object", kind.of),))
            return self._module_member(kind.of, name) or ANY
        if name in kind.fields:
            return kind.items[kind.fields.index(name)]
        if kind.name in ("list", "tuple", "dict", "str", "set", "Size", "iterator"):
            return one("builtin_method", name, (frozenset({kind}),))
        if kind.name == "ndarray":
            return one("ndarray_method", name) if name not in ("shape", "dtype", "T", "ndim", "size") else ANY
        if kind.name == "partial" and name in ("keywords", "func", "args"):
            return ANY
        return ANY

    def _tensor_attribute(self, name: str) -> Kinds:
        rows = self.table.get(f"torch.Tensor.{name}")
        if name in ("shape",):
            return K.SIZE
        if not rows:
            return ANY
        if rows[0].kind == "attribute":
            return K.returned(rows[0].returns, rows[0].fields)
        return one("tensor_method", name)

    def _object_attribute(self, kind: Kind, name: str) -> Kinds:
        if kind.of == "torch.nn.ModuleDict" and kind.items and not self.table.get(f"torch.nn.Module.{name}"):
            return kind.items[kind.fields.index(name) if name in kind.fields else 0]
        if kind.of not in self.program.classes:
            return self._module_member(kind.of, name)
        if name == "__class__":
            return one("class", kind.of)
        if name in ("saved_tensors", "saved_variables") and is_function(self.program, kind.of):
            return K.list_of(K.TENSOR)
        found = self.program.method(kind.of, name)
        if found is not None:
            function = found[1]
            if any(ast.unparse(d) in ("property", "cached_property", "functools.cached_property") for d in function.decorators):
                return self._returns(function)
            return one("bound", function.name, (frozenset({kind}),))
        family = self.program.ancestry(kind.of)
        seen = join(*(self.read(("attr", c, name)) for c in family if c in self.program.classes))
        if not seen:
            seen = join(*(self.read(("attr", c, name)) for c in self.descendants.get(kind.of, ())))
            if not seen:
                below = [self.program.classes[c].methods.get(name) for c in self.descendants.get(kind.of, ())]
                bound = [one("bound", f.name, (frozenset({kind}),)) for f in below if f is not None]
                seen = join(*bound)
        if seen:
            return seen
        for base in family:
            if base not in self.program.classes:
                member = self._module_member(base, name)
                if member and not member & ANY:
                    return member
        return ANY

    def _module_member(self, class_name: str, name: str) -> Kinds:
        """Members of torch.nn's own classes."""
        if class_name in self.program.classes:
            family = self.program.ancestry(class_name)
            return join(*(self._module_member(c, name) for c in family if c not in self.program.classes))
        rows = self.table.get(class_name)
        if not self._is_module(class_name):
            return ANY
        if rows and (name in rows[0].weights or name in ("weight", "bias")):
            return K.PARAMETER if name == "weight" else K.PARAMETER | K.NONE
        if rows and name in rows[0].signature.by_name:
            return _parameter_guess(rows[0], name)
        if name == "training":
            return K.BOOL
        member = self.table.get(f"torch.nn.Module.{name}")
        if member:
            return one("module_method", name) if member[0].kind == "method" else K.returned(member[0].returns)
        if name == "forward":
            return one("module_method", "forward")
        return ANY

    def _class_attribute(self, kind: Kind, name: str) -> Kinds:
        if name == "apply" and is_function(self.program, kind.of):
            return one("applied", kind.of)
        if kind.of in self.program.classes:
            found = self.program.method(kind.of, name)
            if found is not None:
                function = found[1]
                decorators = {ast.unparse(d) for d in function.decorators}
                if "classmethod" in decorators:
                    return one("bound", function.name, (frozenset({kind}),))
                return one("function", function.name)
            return join(*(self.read(("attr", c, name)) for c in self.program.ancestry(kind.of))) or ANY
        if kind.of == "torch.Tensor" and self.table.get(f"torch.Tensor.{name}"):
            return one("unbound_tensor_method", name)
        return ANY

    def _of_Subscript(self, node: ast.Subscript, scope: Scope) -> Kinds:
        base = K.without_none(self.eval(node.value, scope))
        self.eval(node.slice, scope)
        if isinstance(node.slice, ast.Slice):
            if any(k.name == "object" and set(_CONTAINERS) & set(self.program.ancestry(k.of)) for k in base):
                self.grown_containers = True  # a slice of MindSpore's own containers renames its parameters
            return join(*(self._sliced(k) for k in base))
        index = node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int) else None
        if isinstance(node.slice, ast.UnaryOp) and isinstance(node.slice.operand, ast.Constant):
            value = node.slice.operand.value
            index = -value if isinstance(node.slice.op, ast.USub) and isinstance(value, int) else None
        if isinstance(node.slice, ast.Tuple) and K.is_tensor(base):
            return K.TENSOR
        return K.item(base, index)

    def _sliced(self, kind: Kind) -> Kinds:
        if kind.name == "tuple":
            return K.list_of(join(*kind.items))
        if kind.name in ("list", "Size", "str", "Tensor", "ndarray", "object"):
            return frozenset({kind})
        return K.TENSOR if kind.name == "Parameter" else ANY

    def _of_Slice(self, node: ast.Slice, scope: Scope) -> Kinds:
        for child in (node.lower, node.upper, node.step):
            if child is not None:
                self.eval(child, scope)
        return one("slice")

    def _of_Tuple(self, node: ast.Tuple, scope: Scope) -> Kinds:
        items = [self.eval(e, scope) for e in node.elts]
        if any(isinstance(e, ast.Starred) for e in node.elts):
            return K.list_of(join(*items))
        return K.tuple_of(*items)

    def _of_List(self, node: ast.List, scope: Scope) -> Kinds:
        return K.list_of(join(*[self.eval(e, scope) for e in node.elts]))

    def _of_Set(self, node: ast.Set, scope: Scope) -> Kinds:
        return one("set", items=(join(*[self.eval(e, scope) for e in node.elts]),))

    def _of_Dict(self, node: ast.Dict, scope: Scope) -> Kinds:
        for key in node.keys:
            if key is not None:
                self.eval(key, scope)
        values = [self.eval(v, scope) for k, v in zip(node.keys, node.values)]
        spread = [k is None for k in node.keys]
        return one("dict", items=(join(*(K.item(v, None) if s else v for v, s in zip(values, spread))),))

    def _of_Starred(self, node: ast.Starred, scope: Scope) -> Kinds:
        return K.elements(self.eval(node.value, scope))

    def _of_JoinedStr(self, node: ast.JoinedStr, scope: Scope) -> Kinds:
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                self.eval(value.value, scope)
        return K.STR

    def _of_NamedExpr(self, node: ast.NamedExpr, scope: Scope) -> Kinds:
        value = self.eval(node.value, scope)
        self._assign(node.target, value, scope)
        return value

    def _of_IfExp(self, node: ast.IfExp, scope: Scope) -> Kinds:
        self.eval(node.test, scope)
        yes, no = self._narrow(node.test, scope)
        before = scope.env
        scope.env = yes
        left = self.eval(node.body, scope)
        scope.env = no
        right = self.eval(node.orelse, scope)
        scope.env = before
        return join(left, right)

    def _of_BoolOp(self, node: ast.BoolOp, scope: Scope) -> Kinds:
        before = scope.env
        found = []
        for value in node.values:
            found.append(self.eval(value, scope))
            yes, no = self._narrow(value, scope)
            scope.env = yes if isinstance(node.op, ast.And) else no
        scope.env = before
        if isinstance(node.op, ast.Or):
            found = [K.without_none(f) for f in found[:-1]] + found[-1:]
        return join(*found)

    def _of_Compare(self, node: ast.Compare, scope: Scope) -> Kinds:
        sides = [self.eval(node.left, scope), *(self.eval(c, scope) for c in node.comparators)]
        if all(isinstance(o, ast.Is | ast.IsNot | ast.In | ast.NotIn) for o in node.ops):
            return K.BOOL
        if any(K.is_tensor(s) for s in sides):
            return K.TENSOR
        return ANY if any(s & ANY or not s for s in sides) else K.BOOL

    def _of_UnaryOp(self, node: ast.UnaryOp, scope: Scope) -> Kinds:
        value = self.eval(node.operand, scope)
        if isinstance(node.op, ast.Not):
            return K.BOOL
        return K.TENSOR if K.is_tensor(value) else value

    def _of_BinOp(self, node: ast.BinOp, scope: Scope) -> Kinds:
        return _arithmetic(self.eval(node.left, scope), self.eval(node.right, scope), node.op)

    def _of_Lambda(self, node: ast.Lambda, scope: Scope) -> Kinds:
        return self._lambda(node, (), scope)

    def _lambda(self, node: ast.Lambda, passed: Sequence[Kinds], scope: Scope) -> Kinds:
        """A lambda, of whose first parameters it may be known what they are given."""
        before = dict(scope.env)
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            scope.env[argument.arg] = ANY
        for argument, kinds in zip(node.args.args, passed):
            scope.env[argument.arg] = kinds or ANY
        result = self.eval(node.body, scope)
        scope.env = before
        return one("lambda", items=(result,))

    def _comprehension(self, node: ast.expr, generators: list[ast.comprehension], results: list[ast.expr], scope: Scope) -> list[Kinds]:
        before = dict(scope.env)
        for generator in generators:
            self._assign(generator.target, K.elements(self.eval(generator.iter, scope)), scope)
            for test in generator.ifs:
                self.eval(test, scope)
                scope.env = self._narrow(test, scope)[0]
        found = [self.eval(r, scope) for r in results]
        scope.env = before
        return found

    def _of_ListComp(self, node: ast.ListComp, scope: Scope) -> Kinds:
        return K.list_of(self._comprehension(node, node.generators, [node.elt], scope)[0])

    def _of_SetComp(self, node: ast.SetComp, scope: Scope) -> Kinds:
        return one("set", items=(self._comprehension(node, node.generators, [node.elt], scope)[0],))

    def _of_GeneratorExp(self, node: ast.GeneratorExp, scope: Scope) -> Kinds:
        return one("iterator", items=(self._comprehension(node, node.generators, [node.elt], scope)[0],))

    def _of_DictComp(self, node: ast.DictComp, scope: Scope) -> Kinds:
        return one("dict", items=(self._comprehension(node, node.generators, [node.key, node.value], scope)[1],))

    def _of_Yield(self, node: ast.Yield, scope: Scope) -> Kinds:
        value = self.eval(node.value, scope) if node.value is not None else K.NONE
        if scope.function is not None:
            self.write(("return", scope.function.name, ""), one("iterator", items=(value,)))
        return ANY

    # --- calls -------------------------------------------------------------------------------------------------------

    def _of_Call(self, node: ast.Call, scope: Scope) -> Kinds:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and "super" not in scope.env:
            for argument in node.args:
                self.eval(argument, scope)
            return self._super(node, scope)
        callee = K.without_none(self.eval(node.func, scope))
        if isinstance(node.func, ast.Attribute):
            recognized = self._recognized(node, node.func, scope)
            callee = join(*(self.attribute(k, node.func.attr) for k in recognized)) if recognized else callee
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("add_module", "register_module") and callee & ANY:
            self.grown_containers = True
        if isinstance(node.func, ast.Attribute) and node.func.attr in _GROWING and isinstance(node.func.value, ast.Attribute):
            self._note_growth(node.func.value)
        positional = self._mapped(node, scope) or [self.eval(a, scope) for a in node.args]
        keywords = {k.arg: self.eval(k.value, scope) for k in node.keywords}
        starred = next((i for i, a in enumerate(node.args) if isinstance(a, ast.Starred)), None)
        call = _Call(node, positional, {k: v for k, v in keywords.items() if k}, starred, None in keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "item" and not node.args and (not callee or callee & ANY):
            return K.INT | K.FLOAT | K.BOOL  # of a tensor and of an array alike
        return join(*(self._result(kind, call, scope) for kind in callee)) if callee else ANY

    def _mapped(self, node: ast.Call, scope: Scope) -> list[Kinds] | None:
        """The arguments of `map(lambda t: ..., tensors)`, whose lambda is given the elements of what follows."""
        if not (isinstance(node.func, ast.Name) and node.func.id in ("map", "filter") and len(node.args) > 1):
            return None
        function = node.args[0]
        if not isinstance(function, ast.Lambda) or any(isinstance(a, ast.Starred) for a in node.args):
            return None
        rest = [self.eval(a, scope) for a in node.args[1:]]
        mapped = self._lambda(function, [K.elements(r) for r in rest], scope)
        self.found[id(function)] = mapped
        return [mapped, *rest]
    def _recognized(self, node: ast.Call, func: ast.Attribute, scope: Scope) -> Kinds:
        """A method that only tensors, or only modules, have shows what its unknown receiver is, here and in what follows."""
        known = K.without_none(self.found.get(id(func.value), NOTHING))
        if not _is_unsure(known):
            return NOTHING
        if is_tensor_call(self.program, node, func):
            recognized = K.TENSOR | K.PARAMETER
        elif is_module_call(self.program, node, func):
            recognized = frozenset(k for k in known if k.name == "object" and self._is_module(k.of)) or one("object", "torch.nn.Module")
        else:
            return NOTHING
        self.recognized[id(func.value)] = recognized
        key = _dotted_key(func.value)
        if key and (key in scope.env or "." in key):
            scope.env[key] = recognized
        return recognized

    def _super(self, node: ast.Call, scope: Scope) -> Kinds:
        owner = scope.owner
        if owner is None and scope.function is not None:
            owner = _method_class(scope.function)
        if node.args:
            for kind in self.kinds_of(node.args[0]):
                if kind.name == "class":
                    return one("super", kind.of)
        return one("super", owner.name) if owner is not None else ANY

    def _result(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        handler = getattr(self, f"_call_{kind.name}", None)
        return handler(kind, call, scope) if handler is not None else ANY

    def _call_class(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        if kind.of in self.program.classes:
            found = self.program.method(kind.of, "__init__")
            if found is not None:
                self._pass(found[1], call, skip=1)
            if self.program.is_module_class(kind.of):
                return one("object", kind.of, self._contents_of(kind.of, call))
            return one("object", kind.of)
        if kind.of in ("torch.Tensor", "torch.nn.Parameter"):
            return _instance(kind.of)
        contents = self._contents_of(kind.of, call)
        named = _named_entries(call.node) if kind.of == "torch.nn.ModuleDict" and len(contents) == 1 else {}
        if named:
            return one("object", kind.of, (*contents, *(self.found.get(id(v), ANY) for v in named.values())), ("", *named))
        return one("object", kind.of, contents)

    def _contents_of(self, name: str, call: _Call) -> tuple[Kinds, ...]:
        """What a container of modules holds."""
        family = self.program.ancestry(name)
        if not any(f in _CONTAINERS for f in family):
            return ()
        if name in self.program.classes and self.program.method(name, "__init__") is not None:
            return ()
        if len(call.positional) == 1 and call.starred is None:
            only = call.positional[0]
            if not all(k.name == "object" for k in only):
                return (K.item(only, None) if K.proven(only, frozenset({"dict"})) else K.elements(only),)
        return (join(*call.positional),)

    def _call_function(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        if kind.of in self.program.functions:
            function = self.program.functions[kind.of]
            self._pass(function, call, skip=0)
            return self._returns(function)
        if kind.of == LOADER:
            return loader_object(self, call.positional, call.keywords)
        return self._row_result(self.table.get(kind.of), call, ())

    def _call_applied(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        """X.apply(...) of a torch.autograd.Function calls forward with a context before its arguments."""
        found = self.program.method(kind.of, "forward")
        if found is None:
            return K.TENSOR
        node = found[1].node
        self._pass(found[1], call, skip=1 + context_place(node) if isinstance(node, ast.FunctionDef) else 1)
        return self._returns(found[1])

    def _call_bound(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        function = self.program.functions.get(kind.of)
        if function is None:
            return ANY
        static = any(ast.unparse(d) == "staticmethod" for d in function.decorators)
        self._pass(function, call, skip=0 if static else 1)
        return self._returns(function)

    def _call_object(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        if kind.of in self.program.classes:
            for name in ("forward", "__call__"):
                found = self.program.method(kind.of, name)
                if found is not None:
                    self._pass(found[1], call, skip=1)
                    return self._returns(found[1])
            for base in self.program.ancestry(kind.of):
                if base not in self.program.classes:
                    result = self._torch_module_result(Kind("object", base, kind.items), call, scope)
                    if result and not result & ANY:
                        return result
            return ANY
        return self._torch_module_result(kind, call, scope)

    def _torch_module_result(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        if kind.of == "torch.nn.Sequential":
            inside = kind.items[0] if kind.items else NOTHING
            for container in inside:
                self._result(container, call, scope)
            outs = [self._result(c, call, scope) for c in inside]
            return join(*outs) if outs else K.TENSOR
        rows = self.table.get(kind.of)
        if not rows or rows[0].kind != "module":
            return ANY
        given = call.positional[0] if call.positional else call.keywords.get("input", NOTHING)
        return recurrent_result(kind.of, given, K.returned(rows[0].returns, rows[0].fields))

    def _call_super(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        return ANY

    def _call_lambda(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        return kind.items[0]

    def _call_partial(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        return join(*(self._result(k, call.without_arguments(), scope) for k in kind.items[0]))

    def _call_tensor_method(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        if kind.of == "size":
            return K.INT if call.positional or call.keywords else K.SIZE
        return self._row_result(self.table.get(f"torch.Tensor.{kind.of}"), call, (K.TENSOR,))

    def _call_unbound_tensor_method(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        return self._row_result(self.table.get(f"torch.Tensor.{kind.of}"), call, ())

    def _call_module_method(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        module = one("object", "torch.nn.Module")
        if kind.of in ("train", "eval", "to", "cuda", "cpu", "float", "half", "double", "requires_grad_", "apply", "to_empty", "bfloat16", "type"):
            receiver = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
            known = self.kinds_of(receiver) if receiver is not None else NOTHING
            if kind.of == "apply" and call.positional:
                self._applied(call.positional[0], module)
            return frozenset(k for k in known if k.name == "object") or module
        special = {
            "modules": K.list_of(module), "children": K.list_of(module), "parameters": K.list_of(K.PARAMETER),
            "named_modules": K.list_of(K.tuple_of(K.STR, module)), "named_children": K.list_of(K.tuple_of(K.STR, module)),
            "named_parameters": K.list_of(K.tuple_of(K.STR, K.PARAMETER)), "buffers": K.list_of(K.TENSOR),
            "state_dict": one("dict", items=(K.TENSOR,)), "forward": ANY, "get_submodule": module,
        }  # fmt: skip
        if kind.of == "forward":
            return K.TENSOR
        if kind.of in _GROWING:
            receiver = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
            for one_kind in self.kinds_of(receiver) if receiver is not None else NOTHING:
                if "torch.nn.Sequential" in self.program.ancestry(one_kind.of):
                    self.grown_containers = True
        if kind.of == "register_buffer":
            self._registered(call, K.TENSOR)
        elif kind.of == "register_parameter":
            self._registered(call, K.PARAMETER)
        elif kind.of in ("add_module", "register_module") and len(call.positional) > 1:
            self._registered(call, call.positional[1])
        elif kind.of in ("append", "extend", "insert") and call.positional:
            self._grown(call, scope)
        elif kind.of in ("values", "items", "keys"):
            return self._container_view(kind.of, call)
        if kind.of in special:
            return special[kind.of]
        rows = self.table.get(f"torch.nn.Module.{kind.of}")
        return self._row_result(rows, call, ()) if rows else ANY

    def _applied(self, functions: Kinds, module: Kinds) -> None:
        """network.apply(function) hands every module to the function."""
        for kind in functions:
            function = self.program.functions.get(kind.of) if kind.name in ("function", "bound") else None
            if function is not None:
                arguments = function.node.args
                names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]][1 if kind.name == "bound" else 0 :]
                if names:
                    self.write(("param", function.name, names[0]), module)

    def _registered(self, call: _Call, value: Kinds) -> None:
        first = call.node.args[0] if call.node.args else None
        receiver = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and receiver is not None:
            for kind in self.kinds_of(receiver):
                if kind.name == "object" and kind.of in self.program.classes:
                    none = len(call.positional) > 1 and call.positional[1] == K.NONE
                    self.write(("attr", kind.of, first.value), K.NONE if none else value)

    def _grown(self, call: _Call, scope: Scope) -> None:
        if isinstance(call.node.func, ast.Attribute):
            holder = call.node.func.value
            added = call.positional[-1]
            if call.node.func.attr == "extend":
                added = K.elements(added)
            self._extend(holder, self.kinds_of(holder), added, scope)

    def _container_view(self, name: str, call: _Call) -> Kinds:
        assert isinstance(call.node.func, ast.Attribute)
        holder = self.kinds_of(call.node.func.value)
        inside = join(*(k.items[0] for k in holder if k.items)) or one("object", "torch.nn.Module")
        return {"values": K.list_of(inside), "items": K.list_of(K.tuple_of(K.STR, inside)), "keys": K.list_of(K.STR)}[name]

    def _call_builtin_method(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        holder = kind.items[0]
        name = next(iter(holder)).name
        if kind.of in ("append", "extend", "insert", "add", "appendleft") and call.positional:
            self._grown(call, scope)
            return K.NONE
        if kind.of == "update" and name == "dict" and call.positional and isinstance(call.node.func, ast.Attribute):
            self._extend(call.node.func.value, holder, K.item(call.positional[0], None), scope)
            return K.NONE
        if name == "dict":
            inside = join(*(k.items[0] for k in holder if k.items)) or ANY
            views = {"values": K.list_of(inside), "items": K.list_of(K.tuple_of(K.STR, inside)), "keys": K.list_of(K.STR)}
            if kind.of in views:
                return views[kind.of]
            if kind.of in ("get", "pop", "setdefault"):
                return join(inside, *(call.positional[1:] or ([K.NONE] if kind.of == "get" else [])))
            return holder if kind.of == "copy" else ANY
        if name == "str":
            return {"split": K.list_of(K.STR), "rsplit": K.list_of(K.STR), "index": K.INT, "find": K.INT, "count": K.INT}.get(
                kind.of, K.BOOL if kind.of.startswith(("is", "starts", "ends")) else K.STR
            )
        if kind.of in ("pop", "popleft"):
            return K.elements(holder)
        if kind.of in ("index", "count", "numel"):
            return K.INT
        return holder if kind.of == "copy" else K.NONE

    def _call_ndarray_method(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        return ANY if kind.of in ("tolist", "item") else K.NDARRAY

    def _call_external(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        root, _, last = kind.of.partition(".")
        if kind.of in ("functools.partial",) and call.positional:
            return one("partial", items=(call.positional[0],))
        if kind.of in ("copy.deepcopy", "copy.copy") and call.positional:
            return call.positional[0]
        if root == "time":
            return K.STR if last in ("strftime", "ctime", "asctime") else K.FLOAT
        if root == "math":
            return K.INT if last in ("floor", "ceil", "gcd", "comb", "prod") else K.FLOAT
        if root == "numpy":
            return ANY if last in ("prod", "sum", "max", "min", "ceil", "floor", "sqrt", "log2") else K.NDARRAY
        if kind.of == "collections.OrderedDict":
            return self._call_builtin(Kind("builtin", "dict"), call, scope)
        if kind.of == "itertools.chain":
            return K.list_of(join(*(K.elements(p) for p in call.positional)))
        return ANY

    def _call_builtin(self, kind: Kind, call: _Call, scope: Scope) -> Kinds:
        first = call.positional[0] if call.positional else NOTHING
        name = kind.of
        if name in ("len", "int", "hash", "ord", "id"):
            return K.INT
        if name in ("float",):
            return K.FLOAT
        if name in ("isinstance", "bool", "hasattr", "callable", "issubclass", "all", "any"):
            return K.BOOL
        if name in ("str", "repr", "format"):
            return K.STR
        if name == "range":
            return K.list_of(K.INT)
        if name == "filter" and len(call.positional) == 2:
            return K.list_of(K.elements(call.positional[1]))
        if name in ("list", "tuple", "sorted", "reversed", "set", "iter"):
            return K.list_of(K.elements(first)) if first else K.list_of(NOTHING)
        if name == "enumerate":
            return K.list_of(K.tuple_of(K.INT, K.elements(first)))
        if name == "zip":
            return K.list_of(K.tuple_of(*(K.elements(p) for p in call.positional)))
        if name == "dict":
            if first:
                return first if K.proven(first, frozenset({"dict"})) else one("dict", items=(K.item(K.elements(first), 1),))
            return one("dict", items=(join(*call.keywords.values()),))
        if name in ("next",):
            return K.elements(first)
        if name in ("max", "min"):
            return join(*call.positional) if len(call.positional) > 1 else K.elements(first)
        if name == "sum":
            return join(K.elements(first), *call.positional[1:])
        if name in ("abs", "round", "pow", "divmod"):
            return first
        if name == "map" and len(call.positional) > 1:
            inner = _Call(call.node, [K.elements(p) for p in call.positional[1:]], {}, None, False)
            return K.list_of(join(*(self._result(k, inner, scope) for k in first)))
        if name == "getattr" and len(call.node.args) >= 2:
            return self._getattr(call)
        if name == "type":
            return frozenset(Kind("class", k.of) for k in first if k.name == "object") or ANY
        if name == "print":
            return K.NONE
        return ANY

    def _getattr(self, call: _Call) -> Kinds:
        attribute = call.node.args[1]
        if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
            found = [self.attribute(k, attribute.value) for k in K.without_none(call.positional[0])]
            return join(*found, *call.positional[2:])
        return ANY

    def _pass(self, function: Function, call: _Call, *, skip: int) -> None:
        """Notes what a call gives to the parameters of a function of the program."""
        arguments = function.node.args
        names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]][skip:]
        for index, kinds in enumerate(call.positional):
            if call.starred is not None and index >= call.starred:
                for name in names[index:]:
                    self.write(("param", function.name, name), kinds if index == len(call.positional) - 1 else ANY)
                break
            if index < len(names):
                self.write(("param", function.name, names[index]), kinds)
        known = {*names, *(a.arg for a in arguments.kwonlyargs)}
        for keyword, kinds in call.keywords.items():
            if keyword in known:
                self.write(("param", function.name, keyword), kinds)

    def _returns(self, function: Function) -> Kinds:
        node = function.node
        annotated = self._annotated(getattr(node, "returns", None), Scope(function.module, None, None, {}))
        if annotated and not annotated & ANY:
            return self._specific(annotated, self.read(("return", function.name, "")))
        return self.read(("return", function.name, "")) or NOTHING

    def _row_result(self, rows: tuple[Row, ...], call: _Call, receiver: tuple[Kinds, ...]) -> Kinds:
        if not rows:
            return ANY
        if len(rows) > 1:
            from porter.guards import choose_overload

            row = choose_overload(rows, call.node, [*receiver, *call.positional], call.keywords)
            rows = (row,) if row is not None else rows
        results = []
        for row in rows:
            if row.returns in row.signature.by_name or row.returns == "self":
                position = [*row.signature.by_name].index(row.returns)
                given = [*receiver, *call.positional]
                results.append(given[position] if position < len(given) else call.keywords.get(row.returns, ANY))
            else:
                results.append(K.returned(row.returns, row.fields))
        return join(*results)


@dataclass
class _Call:
    node: ast.Call
    positional: list[Kinds]
    keywords: dict[str, Kinds]
    starred: int | None
    spread: bool

    def without_arguments(self) -> _Call:
        return _Call(self.node, [], {}, 0, True)


_SOME_MODULE = one("object", "torch.nn.Module")


def _is_unsure(kinds: Kinds) -> bool:
    """Whether a value may be anything, or, as far as is known, some module or something else."""
    return bool(kinds & ANY) or (kinds > _SOME_MODULE)


_CONSTANTS = {int: K.INT, float: K.FLOAT, bool: K.BOOL, str: K.STR, type(None): K.NONE}
_BUILTIN_INSTANCES: dict[str, Kinds] = {
    "int": K.INT, "float": K.FLOAT, "bool": K.BOOL, "str": K.STR, "list": K.list_of(ANY), "tuple": K.list_of(ANY),
    "dict": one("dict", items=(ANY,)), "List": K.list_of(ANY), "Tuple": K.list_of(ANY), "Dict": one("dict", items=(ANY,)),
    "OrderedDict": one("dict", items=(ANY,)), "set": one("set", items=(ANY,)), "Number": K.INT | K.FLOAT,
}  # fmt: skip
_GROWING = frozenset({"add_module", "register_module", "append", "extend", "insert", "pop", "__setitem__"})
_CONTAINERS = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict"})


def span_of(module: Module, node: ast.expr) -> Span:
    """The key under which a trace keeps an expression."""
    return module.path, node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


def _instance(name: str) -> Kinds:
    if name in ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor"):
        return K.TENSOR
    if name in ("torch.nn.Parameter", "torch.nn.Buffer"):
        return K.PARAMETER
    if name in ("torch.Size", "torch.dtype", "torch.device"):
        return one(name.rpartition(".")[2])
    if name == "numpy.ndarray":
        return K.NDARRAY
    return one("object", name)


def _row_symbol(row: Row) -> Kinds:
    if row.kind == "module" or row.name == PACKED:
        return one("class", row.name)
    if row.kind in ("function", "method"):
        return one("function", row.name)
    if row.name in ("torch.Tensor", "torch.nn.Parameter", "torch.Size", "torch.dtype", "torch.device", "torch.nn.Module"):
        return one("class", row.name)
    return K.returned(row.returns, row.fields)


def _parameter_guess(row: Row, name: str) -> Kinds:
    """What an attribute of a built layer holds that its constructor took: its default proves little, since any value may be given."""
    if name in ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "normalized_shape"):
        return ANY  # one number, or one for each axis
    default = row.signature.by_name[name].default
    if default is None:
        return K.INT if name.endswith(("features", "channels", "dim", "embeddings", "groups", "size", "num_heads")) else ANY
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return ANY
    if isinstance(value, float):
        return K.INT | K.FLOAT if name in ("eps", "p") else ANY
    return ANY if value is None else _CONSTANTS.get(type(value), ANY)


def _method_class(function: Function) -> Class | None:
    outer: Function | None = function
    while outer is not None:
        if outer.owner is not None:
            return outer.owner
        outer = outer.outer
    return None


def _named_entries(call: ast.Call) -> dict[str, ast.expr]:
    """The entries of `ModuleDict({"a": x})` and `ModuleDict(dict(a=x))`, where every name is written out."""
    given = call.args[0] if len(call.args) == 1 else None
    if isinstance(given, ast.Dict) and all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in given.keys):
        return {k.value: v for k, v in zip(given.keys, given.values)}  # type: ignore[union-attr]
    if isinstance(given, ast.Call) and isinstance(given.func, ast.Name) and given.func.id == "dict" and not given.args:
        return {k.arg: k.value for k in given.keywords if k.arg} if all(k.arg for k in given.keywords) else {}
    return {}


def _merge(left: Env, right: Env) -> Env:
    if left is right:
        return left
    merged = dict(left)
    for name, kinds in right.items():
        own = merged.get(name)
        merged[name] = kinds if own is None or own is kinds else join(own, kinds)
    for name in left.keys() - right.keys():
        if "." in name:
            del merged[name]
    for name in right.keys() - left.keys():
        if "." in name:
            del merged[name]
    return merged


def _arithmetic(left: Kinds, right: Kinds, operator: ast.operator) -> Kinds:
    sides = (K.without_none(left), K.without_none(right))
    if any(K.is_tensor(s) for s in sides):
        return K.TENSOR
    if any(not s or s & ANY for s in sides):
        return ANY
    known = K.names(left) | K.names(right)
    if isinstance(operator, ast.Mod) and K.proven(left, frozenset({"str"})):
        return K.STR
    if known <= K.NUMBERS:
        if isinstance(operator, ast.Div):
            return K.FLOAT
        return K.FLOAT if "float" in known and known == {"float"} else join(left, right) - K.BOOL or K.INT
    if isinstance(operator, ast.Add | ast.Mult) and known & {"list", "tuple", "Size", "str"}:
        if known <= {"str", "int"}:
            return K.STR
        if known <= {"list", "tuple", "Size", "int"}:
            parts = [K.elements(s) for s in sides if not K.proven(s, frozenset({"int"}))]
            return K.list_of(join(*parts))
    if "ndarray" in known:
        return K.NDARRAY
    if known & K.TENSORS and known <= K.TENSORS | K.NUMBERS:
        return join(K.TENSOR, *(frozenset({k}) for k in left | right if k.name in K.NUMBERS))
    return ANY


def _dotted_key(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted_key(node.value)
        return f"{base}.{node.attr}" if base else None
    return None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
