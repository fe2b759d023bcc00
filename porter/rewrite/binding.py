"""One call against its rows: binds the arguments, chooses the alternative, and writes it in place or through a definition in ms_extras."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import libcst as cst

from porter import kinds as K
from porter.dataflow import none_by_default
from porter.emit import EXTRAS, adapter_name
from porter.expression import NotInline, Site, Written, inline
from porter.grammar import in_network
from porter.guards import (
    UNKNOWN,
    Argument,
    bind_arguments,
    choose_alternative,
    constant_of,
    truth,
)
from porter.held_dense import name_power
from porter.kinds import ANY
from porter.leaves import asks_for_gradient, leaves_of
from porter.masks import is_mask
from porter.nodes import walk
from porter.old_reduction import modern
from porter.optimized import is_leaf
from porter.precision import HELP, MESSAGE, asks_for_float64
from porter.rewrite.edits import Edit
from porter.rewrite.walk import Walk
from porter.table import Alternative, Row
from porter.trace import MAX_SHAPES, span_of


class Binding(Walk):
    """Calls as the rows of the table have them."""

    def _arguments(self, row: Row, node: ast.Call, receiver: ast.expr | None) -> tuple[dict[str, Argument], dict[str, tuple[Written, ...]]] | None:
        """Bound arguments and how they are written; None where they do not bind or are spread with * or **."""
        positional: list[tuple[Argument, Written]] = []
        keywords: dict[str, tuple[Argument, Written]] = {}
        if receiver is not None:
            text = self.render(receiver)
            positional.append((self._argument(receiver, text), Written(text, None, "", -1)))
        star = row.signature.star
        for index, node_argument in enumerate(node.args):
            starred = isinstance(node_argument, ast.Starred)
            value = node_argument.value if isinstance(node_argument, ast.Starred) else node_argument
            text = self.render(value)
            position = len(positional)
            if starred and (star is None or position < len(row.signature.positional)):
                return None
            argument = Argument(K.list_of(ANY), UNKNOWN, True, None, text) if starred else self._argument(value, text)
            positional.append((argument, Written(text, None, "*" if starred else "", index)))
        for offset, keyword in enumerate(node.keywords):
            if keyword.arg is None:
                return None
            text = self.render(keyword.value)
            keywords[keyword.arg] = (self._argument(keyword.value, text), Written(text, keyword.arg, "", len(node.args) + offset))
        bound = bind_arguments(row, [a for a, _ in positional], {k: a for k, (a, _) in keywords.items()})
        if bound is None:
            return None
        written: dict[str, tuple[Written, ...]] = {}
        names = row.signature.positional
        for index, (_, mark) in enumerate(positional):
            if index < len(names):
                written[names[index]] = (mark,)
            elif star:
                written[star] = (*written.get(star, ()), mark)
        for name, (_, mark) in keywords.items():
            written[row.signature.canonical(name)] = (mark,)
        if star and any(w.star for w in written.get(star, ())):
            bound[star] = Argument(K.list_of(ANY), UNKNOWN, True)
        written.pop("self", None) if receiver is not None else None
        return bound, written

    def _argument(self, node: ast.expr, text: str) -> Argument:
        shapes = self.inference.facts.shapes
        seen = shapes.get(span_of(self.module.path, node), frozenset()) if shapes else frozenset()
        kinds = self.kinds(node)
        if kinds == ANY and isinstance(node, ast.Name) and self.functions and node.id in none_by_default(self.functions[-1].args):
            kinds = ANY | K.NONE
        return Argument(kinds, constant_of(node), True, node, text, seen)

    def _port_call(self, node: ast.Call, rows: Iterable[Row], receiver: ast.expr | None) -> str | None:
        """The new text of a call, or None where it is refused (with a diagnostic)."""
        text = self._port_one(node, rows, receiver)
        leaf = text is not None and self._is_leaf(node)
        return f"{self.spell('mindspore.Parameter')}({text})" if leaf else text

    def _port_one(self, node: ast.Call, rows: Iterable[Row], receiver: ast.expr | None) -> str | None:
        rows = tuple(rows)
        row, certain = self._overload(node, rows, receiver)
        if row is None:
            if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords) or not certain:
                return self._adapter_call(node, rows[0], receiver)
            self.report(node, "MSP203", f"these arguments do not fit {rows[0].name}({rows[0].signature.text()})", "check the call", rows[0])
            return None
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
            return None
        found = self._arguments(row, node, receiver)
        if found is None:
            return self._adapter_call(node, row, receiver)
        bound, written = modern(*found, self.quote)
        bound = {**bound, **self._measured(node, bound, row)}
        if row.drop:
            return "None"
        if row.name in ("torch.nn.Sequential", "torch.nn.ModuleList") and self._needs_own_container(node, row):
            return self._adapter_call(node, row, receiver)
        if self._ignores_flag(node, row) and "requires_grad" in bound:
            bound["requires_grad"] = Argument(K.BOOL, False)
            written.pop("requires_grad", None)
        for guard in row.require:
            holds = truth(guard.that, bound)
            if holds is False:
                self.report(node, "MSP201", f"{row.name}: {guard.otherwise}", guard.help, row, symbol=row.name)
                return None
            if holds is None:
                return self._adapter_call(node, row, receiver)
        for limit in row.limits:
            if limit.when != "True" and truth(limit.when, bound):
                self.report(node, "MSP604", f"{row.name}: {limit.what}", "compare this call, or write it another way", row, symbol=row.name)
        name_power(self, node, row, bound)
        if asks_for_float64(row, node):
            self.report(node, "MSP603", MESSAGE, HELP, row)
        alternative, known = choose_alternative(row, bound, self.target)
        if alternative is None:
            self.report(node, "MSP202", f"{row.name} with these arguments has no form on {self.target}", row.differs or "port this call by hand", row, symbol=row.name)
            return None
        if not known:
            return self._adapter_call(node, row, receiver)
        return self._inline(node, row, alternative, bound, written, receiver) or self._adapter_call(node, row, receiver)

    def _is_made_parameter(self, node: ast.Call) -> bool:
        """Whether a new tensor becomes a parameter right here, whose own flag is the one that counts."""
        parent = self.parents.get(id(node))
        return isinstance(parent, ast.Call) and node in parent.args and self.resolve(parent.func) == "torch.nn.Parameter"

    def _is_leaf(self, node: ast.Call) -> bool:
        """Whether a new tensor that wants a gradient is one that an optimizer holds: a parameter, which a Cell would count as its own."""
        parent = self.parents.get(id(node))
        if not asks_for_gradient(node) or not isinstance(parent, ast.Assign) or len(parent.targets) != 1 or any(self._is_cell(c) for c in self.classes):
            return False
        if id(node) in leaves_of(self.program, self.module).calls:
            return False  # made one where it is given its name
        return is_leaf(self.program, self.module, parent.targets[0])

    def _ignores_flag(self, node: ast.Call, row: Row) -> bool:
        """Whether the flag of a new tensor counts for nothing: a parameter has its own, and what a network makes on its way is no
        input of a gradient (asking for one by .grad or torch.autograd.grad is named where it is asked)."""
        makes = any("requires_grad" in guard.that for guard in row.require)  # not so where a layer is frozen or freed
        leaves = leaves_of(self.program, self.module)
        return makes and (self._is_made_parameter(node) or in_network(self) or self._is_passing(node) or id(node) in leaves.calls or id(node) in leaves.inner or self._is_leaf(node))

    def _is_passing(self, node: ast.Call) -> bool:
        """Whether a new tensor is one step of a calculation in a program that asks for no gradient: it is computed with, and not handed on."""
        parent = self.parents.get(id(node))
        if not isinstance(parent, ast.Assign) or len(parent.targets) != 1 or not isinstance(parent.targets[0], ast.Name) or not self.functions:
            return False
        if any(self.program.has(text) for text in (b".grad", b"backward", b"optim")):
            return False
        name = parent.targets[0].id
        uses = [n for n in walk(self.functions[-1]) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
        return all(isinstance(self.parents.get(id(n)), ast.BinOp | ast.Attribute) for n in uses)

    def _needs_own_container(self, node: ast.Call, row: Row) -> bool:
        """Whether MindSpore's container would misname, refuse or lose what this one holds."""
        if self.inference.grown_containers:
            return True
        if row.name != "torch.nn.ModuleList":
            return False
        parent, first = self.parents.get(id(node)), node.args[0] if node.args else None
        held = self.kinds(node)
        for target in parent.targets if isinstance(parent, ast.Assign) else []:
            held = K.join(held, self.kinds(target))
            if isinstance(target, ast.Attribute) and self._grows(target):
                return True
        if any(K.NONE & items for k in held for items in k.items):
            return True
        function = self.functions[-1].args if self.functions else None
        spread = function is not None and function.vararg is not None and function.vararg.arg
        return isinstance(first, ast.Name) and first.id == spread

    def _grows(self, target: ast.Attribute) -> bool:
        """Whether an attribute gains cells once it is one, when MindSpore's CellList no longer names them after it."""
        owners = {c for k in self.kinds(target.value) for c in self._family(k.of)}
        return any(name == target.attr and owners & set(self._family(owner)) for owner, name in self.inference.grown_attributes)

    def _measured(self, node: ast.Call, bound: dict[str, Argument], row: Row) -> dict[str, Argument]:
        """Facts of a call beside its arguments: the height and width that reach a layer, whether it may join empty tensors,
        whether a layer may be given packed sequences, a function complex numbers or uint8, a softmax a single entry, and a
        search for what is not zero fractions, and whether a graph compiles the call."""
        entering = self.inference.facts.entering.get(span_of(self.module.path, node), frozenset())
        facts = {
            "may_be_empty": Argument(K.BOOL, self._may_join_empty(node)),
            "may_be_packed": Argument(K.BOOL, self.program.packs_sequences),
            "may_be_complex": Argument(K.BOOL, self.program.makes_complex),
            "may_be_byte": Argument(K.BOOL, self.program.makes_bytes),
            "may_be_single": Argument(K.BOOL, self._may_be_single(bound, entering)),
            "may_be_fraction": Argument(K.BOOL, _asks(row, "may_be_fraction") and not self._is_mask(bound)),
            "in_graph": Argument(K.BOOL, in_network(self)),
        }
        seen = {shape[2:] for shape in entering if len(shape) >= 3}
        return {**facts, "in_hw": Argument(ANY, next(iter(seen)))} if len(seen) == 1 else facts

    def _may_be_single(self, bound: dict[str, Argument], entering: frozenset[tuple[int, ...]]) -> bool:
        """Whether the axis `dim` of a call's input may have one entry, where the gradient of a softmax on CPU goes wrong, or may be
        minus infinity alone, where its values do."""
        if "dim" not in bound or self.target in ("Ascend", "GPU"):
            return False
        if self.program.names_infinity:
            return True
        tensor = bound.get("input", bound.get("self"))
        shapes = tensor.shapes if tensor is not None else entering
        axis = bound["dim"].constant
        if not shapes or len(shapes) >= MAX_SHAPES or not isinstance(axis, int):
            return True  # a run keeps no more shapes than that, so there may be others
        return any(not -len(shape) <= axis < len(shape) or shape[axis] == 1 for shape in shapes)

    def _is_mask(self, bound: dict[str, Argument]) -> bool:
        """Whether the tensor that a call is made of or on is surely boolean."""
        tensor = next((bound[n] for n in ("input", "self", "condition") if n in bound), None)
        return tensor is not None and is_mask(tensor.node, self.functions[-1] if self.functions else None)

    def _may_join_empty(self, node: ast.Call) -> bool:
        """Whether one of the tensors that a call is given in a list may have the shape (0,): a traced run says of each."""
        if not self.program.makes_empty:
            return False
        listed = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "tensors"), None)
        if not isinstance(listed, ast.List | ast.Tuple) or not listed.elts:
            return True
        shapes = [self.inference.facts.shapes.get(span_of(self.module.path, e), frozenset()) for e in listed.elts]
        return not all(shapes) or any((0,) in seen for seen in shapes)

    def _overload(self, node: ast.Call, rows: tuple[Row, ...], receiver: ast.expr | None) -> tuple[Row | None, bool]:
        if len(rows) == 1 and rows[0].where is None:
            return rows[0], True
        unsure = False
        likely: Row | None = None
        for row in rows:
            if likely is not None and row.refused is None:
                likely = None
                break
            found = self._arguments(row, node, receiver)
            if found is None:
                spread = any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords)
                unsure = unsure or spread
                continue
            fits = truth(row.where, found[0])
            if fits and not unsure:
                return row, True
            if fits is not False:
                # what cannot be told apart from a refused form fails loudly there, so the other form may stand
                likely = row if not unsure and row.refused is None else likely
                unsure = True
        if likely is not None and all(r.refused is not None for r in rows[rows.index(likely) + 1 :]):
            return likely, True
        if unsure and _decides_itself(rows):
            return rows[-1], True
        return None, not unsure

    def _inline(
        self, node: ast.Call, row: Row, alternative: Alternative, bound: dict[str, Argument],
        written: dict[str, tuple[Written, ...]], receiver: ast.expr | None,
    ) -> str | None:  # fmt: skip
        function = self.module.source(node.func)
        start, end = self.span(node)
        edits = [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]
        func_start, func_end = self.span(node.func)
        text = self.splice(start, end, [*edits, Edit(func_start, func_end, "f")])
        del function
        try:
            parsed = cst.parse_expression(text)
            call = parsed if isinstance(parsed, cst.Call) else None
            own = self.render(receiver) if receiver is not None else None
            if own is None and "self" in row.signature.by_name and "self" in written:
                own = written["self"][0].text
            new = inline(Site(row, bound, written, own, call, self.spell, self.quote), alternative)
        except (NotInline, cst.ParserSyntaxError):
            return None
        return self._wrapped(node, self._fitted(node, new))

    def _adapter_call(self, node: ast.Call, row: Row, receiver: ast.expr | None) -> str | None:
        first = self.table.get(row.name)[0]
        row = first if first.adapter else row
        function = self.adapter(row, node)
        if function is None:
            return None
        edits = [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]
        edits += self._torch_keywords(node, row)
        if self._ignores_flag(node, row):
            edits += [Edit(*self.span(k.value), "False") for k in node.keywords if k.arg == "requires_grad"]
        start, end = self.span(node)
        open_at = self.module.data.index(b"(", self.span(node.func)[1])
        if receiver is None:
            return self.splice(start, end, [*edits, Edit(*self.span(node.func), function)])
        own = self.render(receiver)
        comma = ", " if node.args or node.keywords else ""
        return f"{function}({own}{comma}" + self.splice(open_at + 1, end, edits).lstrip(" ")

    def _torch_keywords(self, node: ast.Call, row: Row) -> Iterator[Edit]:
        """Keywords under numpy's names, such as axis, as the adapter's parameters are called."""
        for keyword in node.keywords:
            meant = row.signature.canonical(keyword.arg) if keyword.arg is not None else keyword.arg
            if keyword.arg is not None and meant is not None and meant != keyword.arg:
                start, _ = self.span(keyword)
                yield Edit(start, start + len(keyword.arg.encode()), meant)

    def adapter(self, row: Row, node: ast.AST) -> str | None:
        """The name of the definition in ms_extras with a row's torch signature, or None where there is none."""
        several = self.table.get(row.name)
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
            return None
        if len(several) > 1 and not row.adapter:
            self.report(
                node, "MSP302", f"{row.name} has several forms and these arguments do not show which is meant",
                "annotate the arguments, write them out, or convert with --trace", row, symbol=row.name,
            )  # fmt: skip
            return None
        if not row.adapter and not any(a.serves(self.target) and not a.needs for a in row.alternatives) and not row.drop:
            self.report(node, "MSP202", f"{row.name} has no form on {self.target}", row.differs or "port this call by hand", row, symbol=row.name)
            return None
        self.needs.names.add(EXTRAS)
        if row.adapter:
            self.needs.emitted.add(row.adapter.removeprefix("emitted."))
        else:
            self.needs.adapters[row.name] = row
        return f"{EXTRAS}.{adapter_name(row)}"

    def _left(self, node: ast.Call, name: str) -> list[Edit]:
        """A call that stays as it was; its root name stays bound to a stand-in. What a class body makes while its file is imported
        becomes a stand-in itself, that raises where it is used: the rest of the file can be imported."""
        if self.classes and not self.functions and isinstance(self.parents.get(id(node)), ast.Assign | ast.AnnAssign):
            self._keep_root(node.func)
            self.needs.names.add(EXTRAS)
            given = self.module.source(node)[len(self.module.source(node.func)) :]
            given = given if given.isprintable() and not {"'", '"', "\\"} & set(given) else "(...)"
            return self.replace(node, f"{EXTRAS}.NotPorted({self.quote}{name}{given}{self.quote})")
        return self._keep_root(node.func) + [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]


def _asks(row: Row, fact: str) -> bool:
    """Whether a row chooses its form by a fact that takes a walk through the function to find."""
    return any(fact in (alternative.when or "") for alternative in row.alternatives)


def _decides_itself(rows: tuple[Row, ...]) -> bool:
    """Whether the last form is the emitted function that stands for all forms, and sees from its arguments which is meant."""
    last = rows[-1].alternatives
    adapter = rows[-1].adapter
    return all(r.adapter == adapter for r in rows if r.kind != "value") and len(last) == 1 and last[0].to.startswith(f"{adapter}(*")
