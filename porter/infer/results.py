"""What calls of tensors' and modules' methods, of Python's own functions and of other libraries return."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.infer import named_tuples
from porter.infer.expressions import Expressions
from porter.infer.state import GROWING, Call, Scope
from porter.infer.varying import function_result
from porter.kinds import ANY, NOTHING, Kind, Kinds, join, one
from porter.table import Row


class Results(Expressions):
    """Calls of what the program does not define: rows, methods of torch, builtins, other libraries."""

    def _result(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        handler = getattr(self, f"_call_{kind.name}", None)
        return handler(kind, call, scope) if handler is not None else ANY

    def _call_tensor_method(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        if kind.of == "size":
            return K.INT if call.positional or call.keywords else K.SIZE
        varied = function_result(f"torch.Tensor.{kind.of}", call)
        return varied if varied is not None else self._row_result(self.table.get(f"torch.Tensor.{kind.of}"), call, (K.TENSOR,))

    def _call_unbound_tensor_method(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        return self._row_result(self.table.get(f"torch.Tensor.{kind.of}"), call, ())

    def _call_module_method(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
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
            "named_parameters": K.list_of(K.tuple_of(K.STR, K.PARAMETER)), "buffers": K.list_of(K.PARAMETER),
            "named_buffers": K.list_of(K.tuple_of(K.STR, K.PARAMETER)),
            "state_dict": one("dict", items=(K.PARAMETER,)), "forward": ANY, "get_submodule": module,
        }  # fmt: skip
        if kind.of == "forward":
            return K.TENSOR
        if kind.of in GROWING:
            receiver = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
            for one_kind in self.kinds_of(receiver) if receiver is not None else NOTHING:
                family = self.program.ancestry(one_kind.of)
                if "torch.nn.Sequential" in family:
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

    def _registered(self, call: Call, value: Kinds) -> None:
        first = call.node.args[0] if call.node.args else None
        receiver = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and receiver is not None:
            for kind in self.kinds_of(receiver):
                if kind.name == "object" and kind.of in self.program.classes:
                    none = len(call.positional) > 1 and call.positional[1] == K.NONE
                    self.write(("attr", kind.of, first.value), K.NONE if none else value)

    def _grown(self, call: Call, scope: Scope) -> None:
        if isinstance(call.node.func, ast.Attribute):
            holder = call.node.func.value
            added = call.positional[-1]
            if call.node.func.attr == "extend":
                added = K.elements(added)
            self._extend(holder, self.kinds_of(holder), added, scope)

    def _container_view(self, name: str, call: Call) -> Kinds:
        assert isinstance(call.node.func, ast.Attribute)
        holder = self.kinds_of(call.node.func.value)
        inside = join(*(k.items[0] for k in holder if k.items)) or one("object", "torch.nn.Module")
        return {"values": K.list_of(inside), "items": K.list_of(K.tuple_of(K.STR, inside)), "keys": K.list_of(K.STR)}[name]

    def _call_builtin_method(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        holder = kind.items[0]
        name = next(iter(holder)).name
        if kind.of == "_replace":
            return named_tuples.replaced(holder, call)
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

    def _call_ndarray_method(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        return ANY if kind.of in ("tolist", "item") else K.NDARRAY

    def _call_external(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
        root, _, last = kind.of.partition(".")
        if kind.of in ("functools.partial",) and call.positional:
            return one("partial", items=(call.positional[0],))
        if kind.of in named_tuples.MAKERS:
            return named_tuples.made_class(call, scope)
        if kind.of in ("copy.deepcopy", "copy.copy") and call.positional:
            return call.positional[0]
        if root == "time":
            return K.STR if last in ("strftime", "ctime", "asctime") else K.FLOAT
        if root == "math":
            return K.INT if last in ("floor", "ceil", "gcd", "comb", "prod") else K.FLOAT
        if root == "numpy":
            return ANY if last in ("prod", "sum", "max", "min", "ceil", "floor", "sqrt", "log2") else K.NDARRAY
        if root == "scipy":
            return K.NDARRAY  # its sparse matrices have numpy's methods, and are no tensors
        if kind.of == "collections.OrderedDict":
            return self._call_builtin(Kind("builtin", "dict"), call, scope)
        if kind.of == "itertools.chain":
            return K.list_of(join(*(K.elements(p) for p in call.positional)))
        return ANY

    def _call_builtin(self, kind: Kind, call: Call, scope: Scope) -> Kinds:
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
            inner = Call(call.node, [K.elements(p) for p in call.positional[1:]], {}, None, False)
            return K.list_of(join(*(self._result(k, inner, scope) for k in first)))
        if name == "getattr" and len(call.node.args) >= 2:
            return self._getattr(call)
        if name == "type":
            return frozenset(Kind("class", k.of) for k in first if k.name == "object") or ANY
        if name == "slice":
            return one("slice")
        if name == "print":
            return K.NONE
        return ANY

    def _getattr(self, call: Call) -> Kinds:
        attribute = call.node.args[1]
        if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
            found = [self.attribute(k, attribute.value) for k in K.without_none(call.positional[0])]
            return join(*found, *call.positional[2:])
        return ANY

    def _row_result(self, rows: tuple[Row, ...], call: Call, receiver: tuple[Kinds, ...]) -> Kinds:
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
