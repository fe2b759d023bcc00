"""The traced run itself: imports the user's modules with every expression reporting its value, and runs the model once."""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from porter.trace import MAX_SHAPES

RECORDER = "__porter_seen__"
MAX_KINDS = 32
MAX_ITEMS = 24


class Recorder:
    """Keeps, for each span, the distinct kinds of value that were seen there."""

    def __init__(self) -> None:
        self.spans: list[str] = []
        self.kinds: list[dict[str, Any]] = []
        self.shapes: list[set[tuple[int, ...]]] = []
        self.floating: list[set[bool]] = []
        self.built: dict[int, int] = {}
        self.alive: list[object] = []
        self.entering: dict[int, set[tuple[int, ...]]] = {}

    def site(self, span: str) -> int:
        self.spans.append(span)
        self.kinds.append({})
        self.shapes.append(set())
        self.floating.append(set())
        return len(self.spans) - 1

    apart = False

    def __call__(self, site: int, value: Any) -> Any:
        kinds = self.kinds[site]
        if len(kinds) < MAX_KINDS:
            kind = describe(value, 0)
            kinds.setdefault(json.dumps(kind), kind)
            if len(kinds) == MAX_KINDS:
                kinds["any"] = ["any", "", [], []]  # what comes after is not looked at, so these are not all
        if isinstance(value, torch.Tensor):
            self.floating[site].add(value.is_floating_point() or value.is_complex())
            if len(self.shapes[site]) < MAX_SHAPES:
                self.shapes[site].add(tuple(value.shape))
        elif isinstance(value, torch.nn.Module) and id(value) not in self.built:
            self.built[id(value)] = site
            self.alive.append(value)
        return value

    def entered(self, module: Any, arguments: Any) -> None:
        first = arguments[0] if arguments else None
        if isinstance(first, torch.Tensor) and id(module) in self.built:
            self.entering.setdefault(self.built[id(module)], set()).add(tuple(first.shape))

    def result(self) -> dict[str, Any]:
        return {
            "kinds": {s: list(k.values()) for s, k in zip(self.spans, self.kinds) if k},
            "shapes": {s: sorted(v) for s, v in zip(self.spans, self.shapes) if v},
            "whole": [s for s, f in zip(self.spans, self.floating) if f == {False}],
            "entering": {self.spans[i]: sorted(v) for i, v in self.entering.items()},
        }


def describe(value: Any, level: int) -> list[Any]:
    """[name, of, items, fields]: the kind of a value, containers by their elements."""
    if value is None:
        return ["None", "", [], []]
    kind = type(value)
    if kind in (int, float, bool, str):
        return [kind.__name__, "", [], []]
    if isinstance(value, torch.nn.Parameter):
        return ["Parameter", "", [], []]
    if isinstance(value, torch.Tensor):
        return ["Tensor", "", [], []]
    if isinstance(value, torch.nn.Module):
        return ["object", _qualified(kind), _inside(value, level), []]
    if isinstance(value, torch.Size):
        return ["Size", "", [], []]
    if isinstance(value, torch.dtype):
        return ["dtype", "", [], []]
    if isinstance(value, torch.device):
        return ["device", "", [], []]
    if isinstance(value, numpy.ndarray):
        return ["ndarray", "", [], []]
    if isinstance(value, type):
        return ["class", _qualified(value), [], []]
    if isinstance(value, ModuleType):
        return ["pymod", value.__name__, [], []]
    if isinstance(value, FunctionType):
        return ["function", f"{value.__module__}.{value.__qualname__}", [], []]
    return _container(value, level)


def _container(value: Any, level: int) -> list[Any]:
    if isinstance(value, tuple | list | dict | set | frozenset) and level < 3:
        fields = list(getattr(value, "_fields", [])) if isinstance(value, tuple) else []
        # torch's own named results (max, sort, ...) list their fields so
        if isinstance(value, tuple) and not fields and type(value).__module__ == "torch.return_types":
            fields = [n for n in ("values", "indices", "sign", "logabsdet", "Q", "R") if hasattr(value, n)]
        if isinstance(value, tuple) and len(value) <= 12:
            return ["tuple", _qualified(type(value)) if hasattr(value, "_fields") else "", [[describe(v, level + 1)] for v in value], fields]
        items = _some(value.values() if isinstance(value, dict) else value)
        name = "dict" if isinstance(value, dict) else "set" if isinstance(value, set | frozenset) else "list"
        return [name, "", [_distinct(items, level)] if items else [], []]
    if type(value).__module__ not in ("builtins", "functools"):
        return ["object", _qualified(type(value)), [], []]
    return ["any", "", [], []]


def _some(values: Iterable[Any]) -> list[Any]:
    """The first values, and of the others the first of each class: long lists are of few kinds, but of all that are in them."""
    items = list(values)
    first = items[:MAX_ITEMS]
    others = {type(v): v for v in reversed(items[MAX_ITEMS:])}
    return first + list(others.values())


def _distinct(items: Sequence[Any], level: int) -> list[Any]:
    found: dict[str, Any] = {}
    for item in items:
        kind = describe(item, level + 1)
        found.setdefault(json.dumps(kind), kind)
    return list(found.values())


def _inside(module: Any, level: int) -> list[Any]:
    if isinstance(module, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict) and level < 2:
        # before super().__init__() has run there is nothing inside
        children = _some(module.children()) if "_modules" in vars(module) else []
        return [_distinct(children, level)] if children else []
    return []


def _qualified(cls: type) -> str:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if cls.__module__.startswith("torch.nn.modules."):
        return f"torch.nn.{cls.__name__}"
    return "torch.Tensor" if cls is torch.Tensor else "torch.nn.Parameter" if cls is torch.nn.Parameter else name


class Instrument(ast.NodeTransformer):
    """Wraps expressions in calls of the recorder; positions stay those of the source."""

    def __init__(self, recorder: Recorder, path: str) -> None:
        self.recorder = recorder
        self.path = path

    def _wrapped(self, node: ast.expr, inner: ast.expr) -> ast.expr:
        span = f"{self.path}|{node.lineno}|{node.col_offset}|{node.end_lineno}|{node.end_col_offset}"
        site = self.recorder.site(span)
        call = ast.Call(ast.Name(RECORDER, ast.Load()), [ast.Constant(site), inner], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        plain = isinstance(node.func, ast.Name)
        func = node.func if plain else self._callee(node.func)
        arguments = [self.visit(a) for a in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        new = ast.copy_location(ast.Call(func, arguments, keywords), node)
        if plain and isinstance(node.func, ast.Name) and node.func.id in ("super", "locals", "globals", "vars", "dir", "eval", "exec"):
            return new
        return self._wrapped(node, new)

    def _callee(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Attribute):
            return ast.copy_location(ast.Attribute(self.visit(node.value), node.attr, ast.Load()), node)
        return self.visit(node)  # type: ignore[no-any-return]

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id not in ("__class__", "super"):
            return self._wrapped(node, node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        inner = ast.copy_location(ast.Attribute(self.visit(node.value), node.attr, node.ctx), node)
        return self._wrapped(node, inner) if isinstance(node.ctx, ast.Load) else inner

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        inner = ast.copy_location(ast.Subscript(self.visit(node.value), self.visit(node.slice), node.ctx), node)
        return self._wrapped(node, inner) if isinstance(node.ctx, ast.Load) else inner

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        return self._wrapped(node, self.generic_visit(node))  # type: ignore[arg-type]

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._wrapped(node, self.generic_visit(node))  # type: ignore[arg-type]

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        return self._wrapped(node, self.generic_visit(node))  # type: ignore[arg-type]

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        node.value = self.visit(node.value)
        if not isinstance(node.target, ast.Name):
            self.generic_visit(node.target)
            return node
        load = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
        look = ast.copy_location(ast.Expr(self._wrapped(node.target, load)), node)
        # the second run changes no tensor in place, as the port does not
        apart = ast.Assign([node.target], ast.BinOp(load, node.op, node.value))
        test = ast.Attribute(ast.Name(RECORDER, ast.Load()), "apart", ast.Load())
        choice = ast.copy_location(ast.If(test, [ast.copy_location(apart, node)], [node]), node)
        return [ast.fix_missing_locations(choice), look]  # type: ignore[return-value]

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # positions inside are not exact before Python 3.12

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [self.visit(d) if d is not None else None for d in node.args.kw_defaults]
        node.body = [s for b in node.body for s in _listed(self.visit(b))]
        return node

    def visit_Match(self, node: ast.Match) -> ast.AST:
        for case in node.cases:
            case.body = [s for b in case.body for s in _listed(self.visit(b))]
        return node


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, recorder: Recorder, relative: str) -> None:
        super().__init__(name, path)
        self.recorder = recorder
        self.relative = relative

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname) or ""
        tree = Instrument(self.recorder, self.relative).visit(ast.parse(source, self.path))
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, RECORDER, self.recorder)
        super().exec_module(module)


class Finder(importlib.abc.MetaPathFinder):
    """Instruments modules that lie under the roots to be converted."""

    def __init__(self, roots: list[Path], recorder: Recorder) -> None:
        self.roots = roots
        self.recorder = recorder

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return spec
        file = Path(spec.origin).resolve()
        for root in self.roots:
            if root in file.parents:
                loader = Loader(fullname, str(spec.origin), self.recorder, file.relative_to(root).as_posix())
                spec.loader = loader
                return spec
        return spec


def run(job: dict[str, Any]) -> dict[str, Any]:
    recorder = Recorder()
    roots = [Path(r) for r in job["roots"]]
    sys.path[:0] = [str(r) for r in roots]
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    sys.meta_path.insert(0, Finder(roots, recorder))
    module = _import(job["module"], roots, recorder)
    try:
        torch.manual_seed(0)
        model = eval(job["expression"], vars(module))
    except Exception as error:
        raise SystemExit(f"porter.tracing: {job['expression']}: {type(error).__name__}: {error}") from None
    if not callable(model):
        raise SystemExit(f"porter.tracing: {job['expression']} gives {type(model).__name__}, not a module")
    hook = torch.nn.modules.module.register_module_forward_pre_hook(recorder.entered)
    first: Exception | None = None
    for inputs in _draws(job["inputs"]):
        try:
            outputs = _forward(model, inputs)
            break
        except Exception as error:
            first = first or error
    else:
        raise SystemExit(f"porter.tracing: the traced run raised {type(first).__name__}: {first}")
    hook.remove()
    found = recorder.result()
    found["inplace_matters"] = not _same_apart(model, inputs, outputs, recorder)
    return found


def _same_apart(model: Any, inputs: list[Any], outputs: list[Any], recorder: Recorder) -> bool:
    """Whether the model gives the same where no layer, function or `+=` changes a tensor in place."""
    if not isinstance(model, torch.nn.Module):
        return True
    layers = [m for m in model.modules() if getattr(m, "inplace", False) is True]
    functions = {n: f for n, f in vars(torch.nn.functional).items() if isinstance(f, FunctionType) and "inplace" in f.__code__.co_varnames}
    recorder.apart = True
    try:
        for layer in layers:
            layer.inplace = False
        for name, function in functions.items():
            setattr(torch.nn.functional, name, _without_inplace(function))
        again = _forward(model, inputs)
    except Exception:
        return True
    finally:
        recorder.apart = False
        for layer in layers:
            layer.inplace = True
        for name, function in functions.items():
            setattr(torch.nn.functional, name, function)
    return len(again) == len(outputs) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in zip(outputs, again)
    )


def _without_inplace(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        if "inplace" in kwargs:
            kwargs["inplace"] = False
        return function(*args, **kwargs)

    return call


def _draws(specs: list[str]) -> Iterator[list[Any]]:
    """Sample inputs: random ones, then, for models that take lengths, integers equal to a size of another input."""
    from porter.parity.samples import draw_all, parse_spec

    parsed = [parse_spec(s) for s in specs]
    arrays = list(draw_all(parsed))
    yield arrays
    if any(a.dtype.kind in "iu" for a in arrays):
        sizes = sorted({n for a in arrays if a.dtype.kind == "f" for n in a.shape[1:]}, reverse=True)
        for size in sizes:
            yield [numpy.full_like(a, size) if a.dtype.kind in "iu" else a for a in arrays]


def _forward(model: Any, arrays: list[Any]) -> list[Any]:
    """The floating-point tensors among the outputs."""
    inputs = [torch.from_numpy(a.copy()) for a in arrays]
    if isinstance(model, torch.nn.Module):
        model.eval()
    with torch.no_grad():
        return list(_tensors(model(*inputs)))


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value.clone()
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _import(name: str, roots: list[Path], recorder: Recorder) -> ModuleType:
    try:
        if name.endswith(".py"):
            path = Path(name).resolve()
            root = next((r for r in roots if r in path.parents), path.parent)
            loader = Loader(path.stem, str(path), recorder, path.relative_to(root).as_posix())
            spec = importlib.util.spec_from_file_location(path.stem, path, loader=loader)
            if spec is None:
                raise ImportError(f"{name} cannot be loaded")
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            loader.exec_module(module)
            return module
        return importlib.import_module(name)
    except Exception as error:
        raise SystemExit(f"porter.tracing: {name}: {type(error).__name__}: {error}") from None


def main() -> None:
    job = json.load(sys.stdin)
    found = run(job)
    temporary = job["result"] + ".tmp"
    Path(temporary).write_text(json.dumps(found), "utf-8")
    os.replace(temporary, job["result"])


if __name__ == "__main__":
    os.environ.setdefault("PYTORCH_JIT", "0")
    import numpy
    import torch

    main()
