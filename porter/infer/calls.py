"""Calls: of the program's own functions, methods, classes and networks, and what their parameters are given."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.functions import context_place
from porter.infer import named_tuples
from porter.infer.annotations import instance_of
from porter.infer.results import Results
from porter.infer.state import CONTAINERS, GROWING, Call, Scope, is_unsure, method_class
from porter.infer.varying import CHECKPOINT, checkpointed, function_result, layer_result
from porter.kinds import ANY, NOTHING, Kind, Kinds, join, one
from porter.leaves import leaves_of
from porter.loaders import LOADER, loader_object
from porter.nodes import dotted_text
from porter.packed import recurrent_result
from porter.program import Function
from porter.recognize import is_module_call, is_tensor_call, only_tensors_have


class Calls(Results):
    """Evaluates calls, and hands what they pass to the functions called."""

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
        if isinstance(node.func, ast.Attribute) and node.func.attr in GROWING and isinstance(node.func.value, ast.Attribute):
            self._note_growth(node.func.value)
        if isinstance(node.func, ast.Attribute) and node.func.attr in GROWING and _is_parameter(node.func.value, scope):
            held = self.found.get(id(node.func.value), NOTHING)
            if any(k.name == "object" and "torch.nn.ModuleList" in self.program.ancestry(k.of) for k in held):
                self.grown_containers = True  # a list of cells that has an owner elsewhere already
        positional = self._mapped(node, scope) or [self.eval(a, scope) for a in node.args]
        keywords = {k.arg: self.eval(k.value, scope) for k in node.keywords}
        starred = next((i for i, a in enumerate(node.args) if isinstance(a, ast.Starred)), None)
        call = Call(node, positional, {k: v for k, v in keywords.items() if k}, starred, None in keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "item" and not node.args and K.is_unknown(callee):
            return K.INT | K.FLOAT | K.BOOL  # of a tensor and of an array alike
        if isinstance(node.func, ast.Attribute) and node.func.attr == "type" and not node.args and not node.keywords:
            if K.is_tensor(self.found.get(id(node.func.value), NOTHING)):
                return K.DTYPE  # its name in torch, which is refused where it is not handed on as a dtype
        if id(node) in leaves_of(self.program, scope.module).calls:
            return K.PARAMETER
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
        narrowed = only_tensors_have(known, func.attr)
        if not known and is_tensor_call(self.program, node, func):
            return K.TENSOR  # nothing has reached the receiver yet; what the call gives is that of a tensor all the same
        if not is_unsure(known) and not narrowed:
            return NOTHING
        if narrowed or is_tensor_call(self.program, node, func):
            recognized = K.TENSOR | K.PARAMETER
        elif is_module_call(self.program, node, func):
            recognized = frozenset(k for k in known if k.name == "object" and self._is_module(k.of)) or one("object", "torch.nn.Module")
        else:
            return NOTHING
        self.recognized[id(func.value)] = recognized
        key = dotted_text(func.value)
        if key and (key in scope.env or "." in key or scope.function is not None):
            scope.env[key] = recognized  # a global too is what it was seen to be, for the rest of the function
        return recognized

    def _super(self, node: ast.Call, scope: Scope) -> Kinds:
        owner = scope.owner
        if owner is None and scope.function is not None:
            owner = method_class(scope.function)
        if node.args:
            for kind in self.kinds_of(node.args[0]):
                if kind.name == "class":
                    return one("super", kind.of)
        return one("super", owner.name) if owner is not None else ANY

    def _call_named_class(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        return named_tuples.instance(kind, call)

    def _call_class(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        if kind.of in self.program.classes:
            made = named_tuples.of_class(self, self.program.classes[kind.of])
            if made:
                return made
            found = self.program.method(kind.of, "__init__")
            if found is not None:
                self._pass(found[1], call, skip=1)
            if self.program.is_module_class(kind.of):
                return one("object", kind.of, self._contents_of(kind.of, call))
            return one("object", kind.of)
        if kind.of in ("torch.Tensor", "torch.nn.Parameter"):
            return instance_of(kind.of)
        if kind.of.rpartition(".")[0] in self.program.modules:
            return ANY  # a class that a call made, such as a named tuple: a run says more of what it holds
        contents = self._contents_of(kind.of, call)
        named = _named_entries(call.node) if kind.of == "torch.nn.ModuleDict" and len(contents) == 1 else {}
        if named:
            return one("object", kind.of, (*contents, *(self.found.get(id(v), ANY) for v in named.values())), ("", *named))
        return one("object", kind.of, contents)

    def _contents_of(self, name: str, call: Call) -> tuple[Kinds, ...]:
        """What a container of modules holds."""
        family = self.program.ancestry(name)
        if not any(f in CONTAINERS for f in family):
            return ()
        if "torch.nn.ModuleList" in family and any(self._is_dict_of_modules(p) for p in call.positional):
            self.grown_containers = True  # MindSpore's own list refuses a dictionary of cells
        if name in self.program.classes and self.program.method(name, "__init__") is not None:
            return ()
        if len(call.positional) == 1 and call.starred is None:
            only = call.positional[0]
            if not all(k.name == "object" for k in only):
                return (K.item(only, None) if K.proven(only, frozenset({"dict"})) else K.elements(only),)
        return (join(*call.positional),)

    def _is_dict_of_modules(self, given: Kinds) -> bool:
        """Whether some element of what a list of modules is made of is a ModuleDict."""
        inside = K.elements(frozenset(k for k in given if k.name in ("list", "tuple", "iterator")))
        return any(k.name == "object" and "torch.nn.ModuleDict" in self.program.ancestry(k.of) for k in inside)

    def _call_function(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        if kind.of in self.program.functions:
            function = self.program.functions[kind.of]
            self._pass(function, call, skip=0)
            return self.returned_by(function)
        if kind.of == LOADER:
            return loader_object(self, call.positional, call.keywords)
        made = checkpointed(call) if kind.of == CHECKPOINT else None
        if made is not None:
            return join(*(self._result(k, made, scope) for k in K.without_none(call.positional[0])))
        varied = function_result(kind.of, call)
        return varied if varied is not None else self._row_result(self.table.get(kind.of), call, ())

    def _call_applied(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        """X.apply(...) of a torch.autograd.Function calls forward with a context before its arguments."""
        found = self.program.method(kind.of, "forward")
        if found is None:
            return K.TENSOR
        node = found[1].node
        self._pass(found[1], call, skip=1 + context_place(node) if isinstance(node, ast.FunctionDef) else 1)
        return self.returned_by(found[1])

    def _call_bound(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        function = self.program.functions.get(kind.of)
        if function is None:  # a method of an object of torch's
            return self._row_result(self.table.get(kind.of), call, (kind.items[0],))
        static = any(ast.unparse(d) == "staticmethod" for d in function.decorators)
        self._pass(function, call, skip=0 if static else 1)
        return self.returned_by(function)

    def _call_object(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        if kind.of in self.program.classes:
            for name in ("forward", "__call__"):
                found = self.program.method(kind.of, name)
                if found is not None:
                    self._pass(found[1], call, skip=1)
                    return self.returned_by(found[1])
            for base in self.program.ancestry(kind.of):
                if base not in self.program.classes:
                    result = self._torch_module_result(Kind("object", base, kind.items), call, scope)
                    if result and not result & ANY:
                        return result
            return ANY
        return self._torch_module_result(kind, call, scope)

    def _torch_module_result(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        if kind.of == "torch.nn.Sequential":
            inside = kind.items[0] if kind.items else NOTHING
            for container in inside:
                self._result(container, call, scope)
            outs = [self._result(c, call, scope) for c in inside]
            return join(*outs) if outs else K.TENSOR
        rows = self.table.get(kind.of)
        if not rows or rows[0].kind != "module":
            return ANY
        varied = layer_result(self.program, kind.of, call)
        if varied is not None:
            return varied
        given = call.positional[0] if call.positional else call.keywords.get("input", NOTHING)
        return recurrent_result(kind.of, given, K.returned(rows[0].returns, rows[0].fields))

    def _call_super(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        return ANY

    def _call_lambda(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        return kind.items[0]

    def _call_partial(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        return join(*(self._result(k, call.without_arguments(), scope) for k in kind.items[0]))

    def _pass(self, function: Function, call: Call, *, skip: int) -> None:
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


def _named_entries(call: ast.Call) -> dict[str, ast.expr]:
    """The entries of `ModuleDict({"a": x})` and `ModuleDict(dict(a=x))`, where every name is written out."""
    given = call.args[0] if len(call.args) == 1 else None
    if isinstance(given, ast.Dict) and all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in given.keys):
        return {k.value: v for k, v in zip(given.keys, given.values)}  # type: ignore[union-attr]
    if isinstance(given, ast.Call) and isinstance(given.func, ast.Name) and given.func.id == "dict" and not given.args:
        return {k.arg: k.value for k in given.keywords if k.arg} if all(k.arg for k in given.keywords) else {}
    return {}


def _is_parameter(node: ast.expr, scope: Scope) -> bool:
    """Whether a name is what the function at hand was given."""
    if not isinstance(node, ast.Name) or scope.function is None:
        return False
    arguments = scope.function.node.args
    return node.id in {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
