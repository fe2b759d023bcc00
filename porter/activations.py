"""Which layers of a network, as built, change their argument in place: nn.ReLU(inplace=True), nn.ReLU(True), a Sequential of them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from porter.nodes import dotted_text, walk
from porter.program import Class, Function, Module, Program

_CONTAINERS = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict"})
_ADDING = frozenset({"add_module", "register_module", "append", "insert"})
# hand on what they were given, or a view of it
_PASSING = frozenset(
    {
        "torch.nn.Identity",
        "torch.nn.Flatten",
        "torch.nn.Unflatten",
        "torch.nn.Dropout",
        "torch.nn.Dropout1d",
        "torch.nn.Dropout2d",
        "torch.nn.Dropout3d",
    }
)


def asks_inplace(program: Program, call: ast.Call, name: str | None) -> bool | None:
    """Whether a call of a torch name asks for a change in place, by keyword or by position; None where that name knows no such thing."""
    for keyword in call.keywords:
        if keyword.arg == "inplace":
            return _maybe_true(keyword.value)
    for row in program.table.get(name) if name is not None else ():
        positional = row.signature.positional
        if "inplace" in positional:
            at = positional.index("inplace")
            return (
                at < len(call.args)
                and not any(isinstance(a, ast.Starred) for a in call.args)
                and _maybe_true(call.args[at])
            )
    return None


def always_inplace(program: Program, call: ast.Call, name: str | None) -> bool:
    """Whether a call of a torch name asks for a change in place in so many words."""
    if name is None or asks_inplace(program, call, name) is not True or not program.is_torch(name):
        return False
    said = [k.value for k in call.keywords if k.arg == "inplace"] or [call.args[r.signature.positional.index("inplace")] for r in program.table.get(name)[:1]]
    return isinstance(said[0], ast.Constant)


def _maybe_true(value: ast.expr) -> bool:
    """True, and what may be: `inplace=inplace`."""
    return not isinstance(value, ast.Constant) or value.value is True


def _elements(function: ast.FunctionDef, name: str) -> Iterator[tuple[ast.stmt, ast.expr]]:
    """What a function puts into a list, in the order of the text."""
    statements = [n for n in ast.walk(function) if isinstance(n, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr)]
    for node in sorted(statements, key=lambda n: (n.lineno, n.col_offset)):
        value = node.value
        if isinstance(node, ast.Expr):
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and _is_name(value.func.value, name):
                for given in value.args if value.func.attr in ("append", "extend") else ():
                    yield from ((node, e) for e in (given.elts if isinstance(given, ast.List | ast.Tuple) else [given]))
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if value is not None and any(_is_name(t, name) for t in targets):
            parts = [value.left, value.right] if isinstance(value, ast.BinOp) else [value]
            for part in parts:
                if not _is_name(part, name):
                    yield from ((node, e) for e in (part.elts if isinstance(part, ast.List | ast.Tuple) else [part]))


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _added(body: ast.ClassDef, attribute: str) -> Iterator[tuple[ast.stmt, ast.expr]]:
    """What the methods of a class add to `self.attribute` after it was made."""
    found: list[tuple[ast.stmt, ast.expr]] = []
    for node in walk(body):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute)):
            continue
        func, arguments = node.value.func, node.value.args
        if arguments and func.attr in _ADDING and dotted_text(func.value) == f"self.{attribute}":
            found.append((node, arguments[-1]))
    yield from sorted(found, key=lambda f: (f[0].lineno, f[0].col_offset))


class InPlaceLayers:
    """What the attributes of the program's classes do to their argument; `forward_changes` says it of a class of the program."""

    def __init__(self, program: Program, forward_changes: Callable[[str], bool]) -> None:
        self.program, self.forward_changes = program, forward_changes
        self._attributes: dict[tuple[str, str], bool] = {}
        self._building: dict[str, bool] = {}
        self._following: set[int] = set()
        self._anywhere: bool | None = None
        self._stored: dict[str, dict[str, list[ast.expr]]] = {}

    def attribute(self, class_name: str, attribute: str) -> bool:
        """Whether `self.attribute(x)` may change x."""
        key = (class_name, attribute)
        if key not in self._attributes:
            self._attributes[key] = any(
                self._first_changes(cls.module, cls, value)
                for cls, value in self._assigned(class_name, attribute)
            ) or any(self._added_changes(cls, attribute) for cls in self._family(class_name))
        return self._attributes[key]

    def _added_changes(self, cls: Class, attribute: str) -> bool:
        """The same of what is added later, in the order of the text: `self.slice1.add_module(name, layer)`."""
        for statement, layer in _added(cls.node, attribute):
            if not isinstance(layer, ast.Call):
                return self.built_anywhere()
            if self._first_changes(cls.module, cls, layer):
                return True
            always = isinstance(cls.module.explored.parents.get(id(statement)), ast.FunctionDef)
            if always and self.program.dotted(cls.module, layer.func) not in _PASSING:
                return False
        return False

    def built_anywhere(self) -> bool:
        """Whether the program builds any such layer: what is known of layers that were made elsewhere."""
        if self._anywhere is None:
            self._anywhere = any(
                isinstance(node, ast.Call) and asks_inplace(self.program, node, self.program.dotted(module, node.func)) is True
                for module in self.program.modules.values()
                for node in walk(module.tree)
            )
        return self._anywhere

    def certain(self, class_name: str, attribute: str) -> bool:
        """Whether `self.attribute(x)` is one activation that always changes x and gives it back."""
        assigned = [(cls, value) for cls, value in self._assigned(class_name, attribute)]
        return bool(assigned) and all(
            isinstance(value, ast.Call) and always_inplace(self.program, value, self.program.dotted(cls.module, value.func)) for cls, value in assigned
        )

    def builds_any(self, class_name: str) -> bool:
        """Whether a class builds any such layer: what is known of layers that only a loop names."""
        if class_name not in self._building:
            self._building[class_name] = any(
                isinstance(node, ast.Call)
                and asks_inplace(self.program, node, self.program.dotted(cls.module, node.func)) is True
                for cls in self._family(class_name)
                for node in ast.walk(cls.node)
            )
        return self._building[class_name]

    def _family(self, class_name: str) -> Iterator[Class]:
        for name in self.program.ancestry(class_name):
            if name in self.program.classes:
                yield self.program.classes[name]

    def _assigned(self, class_name: str, attribute: str) -> Iterator[tuple[Class, ast.expr]]:
        for cls in self._family(class_name):
            for value in self._stores(cls).get(attribute, ()):
                yield cls, value

    def _stores(self, cls: Class) -> dict[str, list[ast.expr]]:
        """What a class assigns to each attribute of a name, read once."""
        if cls.name not in self._stored:
            stored = self._stored[cls.name] = {}
            for node in walk(cls.node):
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    for name in {t.attr for t in targets if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name)}:
                        stored.setdefault(name, []).append(node.value)
        return self._stored[cls.name]

    def _first_changes(self, module: Module, cls: Class | None, value: ast.expr) -> bool:
        """Whether the first layer that does anything changes its argument."""
        if isinstance(value, ast.IfExp):
            return self._first_changes(module, cls, value.body) or self._first_changes(
                module, cls, value.orelse
            )
        if isinstance(value, ast.List | ast.Tuple):
            return any(self._first_changes(module, cls, e) for e in value.elts)
        if isinstance(value, ast.ListComp):
            return self._first_changes(module, cls, value.elt)
        if not isinstance(value, ast.Call):
            return False
        name = self.program.dotted(module, value.func)
        if name in _CONTAINERS:
            return self._in_container(module, cls, value, all_of_them=name != "torch.nn.Sequential")
        asked = asks_inplace(self.program, value, name)
        if asked is None and name in self.program.classes:
            return self.forward_changes(name)
        if asked is None and name in self.program.functions:
            return self._made_by(self.program.functions[name])
        return asked is True

    def _in_container(self, module: Module, cls: Class | None, value: ast.Call, *, all_of_them: bool) -> bool:
        for layer in value.args:
            if isinstance(layer, ast.Starred) and isinstance(layer.value, ast.Name):
                return self._list_changes(module, cls, layer.value)
            if not isinstance(layer, ast.Call | ast.IfExp | ast.List | ast.ListComp | ast.Tuple):
                return cls is None or self.builds_any(cls.name)
            if self._first_changes(module, cls, layer):
                return True
            if not all_of_them and not (
                isinstance(layer, ast.Call) and self.program.dotted(module, layer.func) in _PASSING
            ):
                return False
        return False

    def _list_changes(self, module: Module, cls: Class | None, name: ast.Name) -> bool:
        """The same of a list that a function fills before it hands it on: `layers = [...]`, `layers.append(...)`, `layers += [...]`."""
        at: ast.AST | None = name
        while at is not None and not isinstance(at, ast.FunctionDef):
            at = module.explored.parents.get(id(at))
        if at is None:
            return cls is None or self.builds_any(cls.name)
        for statement, element in _elements(at, name.id):
            if not isinstance(element, ast.Call | ast.IfExp):
                return cls is None or self.builds_any(cls.name)
            if self._first_changes(module, cls, element):
                return True
            always = module.explored.parents.get(id(statement)) is at
            if always and not (isinstance(element, ast.Call) and self.program.dotted(module, element.func) in _PASSING):
                return False
        return False

    def _made_by(self, function: Function) -> bool:
        """Whether what a function returns is such a layer; a value that it puts together under a name may be any that it builds."""
        if id(function.node) in self._following:
            return False
        self._following.add(id(function.node))
        try:
            returned = [
                n.value for n in ast.walk(function.node) if isinstance(n, ast.Return) and n.value is not None
            ]
            if all(isinstance(r, ast.Call) for r in returned):
                return any(self._first_changes(function.module, None, r) for r in returned)
            calls = [n for n in ast.walk(function.node) if isinstance(n, ast.Call)]
            return any(
                asks_inplace(self.program, c, self.program.dotted(function.module, c.func)) is True
                for c in calls
            )
        finally:
            self._following.discard(id(function.node))
