"""What the parameters of a function hold when it is entered: its callers, its annotations, its defaults and its use tell."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.functions import context_place, is_function
from porter.infer.annotations import Annotations
from porter.infer.state import Env, Scope, is_unsure
from porter.kinds import ANY, NOTHING, Kinds, join, one
from porter.program import Function
from porter.recognize import tensors_by_use

FORWARD_NAMES = frozenset({"forward"})


class Parameters(Annotations):
    """Binds the parameters of functions."""

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
        context = context_place(node) if custom and isinstance(node, ast.FunctionDef) and node.name in ("forward", "backward") else None
        for index, argument in enumerate([*named, *args.kwonlyargs]):
            if index == context and function.owner is not None:
                env[argument.arg] = one("object", function.owner.name)  # the context holds what forward sets on it
                continue
            if index == 0 and function.owner is not None and not static:
                is_class = any(ast.unparse(d) == "classmethod" for d in function.decorators)
                passed = self.read(("param", function.name, argument.arg))
                if argument.arg not in ("self", "cls") and passed and not K.names(passed) & {"object", "class"}:
                    env[argument.arg] = passed  # a function in a class that is only called as Class.function(value)
                    continue
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
        layers = frozenset(k for k in kinds if k.name == "object" and k.of.startswith("torch.nn."))  # as a table of activations has
        if layers and kinds - layers and name in tensors_by_use(self.program, function.node):
            kinds -= layers
        if is_unsure(kinds) and name in tensors_by_use(self.program, function.node):
            rest = frozenset(k for k in kinds - ANY if k.name != "object")
            return join(rest, K.TENSOR) if rest <= K.TENSOR | K.PARAMETER | K.NONE else kinds
        return kinds
