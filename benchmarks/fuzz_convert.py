"""Fuzzes the converter with variations of real files: it never crashes, writes only what parses, says the same twice, and
leaves its own output as it is.

    python benchmarks/fuzz_convert.py FOLDER [--count 5000] [--seed 0]

FOLDER holds Python files, such as an unpacked wheel of torchvision or timm. A variation is a file, cut to some of its
top-level definitions, in which expressions are exchanged, arguments shuffled, dropped, spread or renamed, names shadowed,
and statements wrapped, repeated or put on one line.
"""

from __future__ import annotations

import argparse
import ast
import collections
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import track

from porter.convert import convert_source, convert_tree
from porter.files import write_text

MOST_LINES = 160


def variations(files: list[Path], count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Names and texts, the same ones for the same seed."""
    texts = {path: path.read_text("utf-8") for path in files}
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        path = rng.choice(files)
        text = texts[path]
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        yield f"{number}-{path.name}", _varied(tree, text, rng)


def _varied(tree: ast.Module, text: str, rng: random.Random) -> str:
    """Half of the variations keep the author's text and layout and change lines; the others change the syntax tree."""
    tree.body = _cut(tree.body, rng)
    if rng.random() < 0.5:
        return _changed_text(tree, text, rng)
    for _ in range(rng.randint(1, 12)):
        rng.choice(CHANGES)(tree, rng)
    ast.fix_missing_locations(tree)
    try:
        changed = ast.unparse(tree) + "\n"
        ast.parse(changed)
    except (SyntaxError, ValueError, RecursionError):
        return _changed_text(ast.parse(text), text, rng)
    return changed


def _cut(body: list[ast.stmt], rng: random.Random) -> list[ast.stmt]:
    """All imports and assignments, and some of the definitions."""
    rest = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    rng.shuffle(rest)
    kept: set[int] = set()
    lines = 0
    for node in rest:
        lines += (node.end_lineno or 0) - node.lineno + 1
        if lines > MOST_LINES and kept:
            break
        kept.add(id(node))
    return [n for n in body if not isinstance(n, ast.FunctionDef | ast.ClassDef) or id(n) in kept]


def _changed_text(tree: ast.Module, text: str, rng: random.Random) -> str:
    lines = text.splitlines()
    parts = []
    for node in tree.body:
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        parts.append("\n".join(lines[start : node.end_lineno]))
    changed = rng.choice(["\n", "\n\n\n", "\n# a comment\n", "\n\x0c\n"]).join(parts) + rng.choice(["", "\n", "\n\n", "  # end"])
    kind = rng.random()
    if kind < 0.2:
        changed = changed.replace("    ", "\t")
    elif kind < 0.35:
        changed = changed.replace("\n", "\r\n")
    elif kind < 0.45:
        changed = changed.replace(", ", " ,  ").replace(" = ", "=")
    elif kind < 0.55:
        changed = changed.replace("self", "this")
    elif kind < 0.65:
        changed = "# ünï¢ødé 张量\n" + changed.replace('"""', '"""é → ')
    try:
        ast.parse(changed)
    except (SyntaxError, ValueError):
        return "\n\n".join(parts) + "\n"
    return changed


# --- changes of the tree ------------------------------------------------------------------------------------------------


def _nodes(tree: ast.AST, *kinds: type) -> list[ast.AST]:
    return [n for n in ast.walk(tree) if isinstance(n, kinds)]


def _shuffled(tree: ast.Module, rng: random.Random) -> None:
    for call in _nodes(tree, ast.Call):
        assert isinstance(call, ast.Call)
        if call.keywords and rng.random() < 0.3:
            rng.shuffle(call.keywords)


def _dropped(tree: ast.Module, rng: random.Random) -> None:
    calls = [c for c in _nodes(tree, ast.Call) if isinstance(c, ast.Call) and (c.args or c.keywords)]
    for call in rng.sample(calls, min(len(calls), 2)):
        parts: list[list[ast.expr]] | list[list[ast.keyword]] = [p for p in (call.args, call.keywords) if p]  # type: ignore[assignment]
        if parts:
            rng.choice(parts).pop()


def _spread(tree: ast.Module, rng: random.Random) -> None:
    calls = [c for c in _nodes(tree, ast.Call) if isinstance(c, ast.Call) and c.args]
    for call in rng.sample(calls, min(len(calls), 2)):
        if rng.random() < 0.5:
            call.args = [*call.args[:-1], ast.Starred(call.args[-1], ast.Load())]
        else:
            call.keywords.append(ast.keyword(None, ast.Name("kwargs", ast.Load())))


def _exchanged(tree: ast.Module, rng: random.Random) -> None:
    calls = [c for c in _nodes(tree, ast.Call) if isinstance(c, ast.Call) and c.args]
    if len(calls) > 1:
        one, other = rng.sample(calls, 2)
        assert isinstance(one, ast.Call) and isinstance(other, ast.Call)
        inner = rng.choice(other.args)
        if not any(n is one for n in ast.walk(inner)):
            one.args[rng.randrange(len(one.args))] = inner


def _shadowed(tree: ast.Module, rng: random.Random) -> None:
    functions = [f for f in _nodes(tree, ast.FunctionDef) if isinstance(f, ast.FunctionDef)]
    if functions:
        name = rng.choice(["torch", "nn", "F", "ops", "mindspore", "ms_extras", "Tensor", "np", "x"])
        value = ast.parse(rng.choice(["None", "x", "torch.zeros(2)", "[1, 2]", "lambda y: y"]), mode="eval").body
        rng.choice(functions).body.insert(0, ast.Assign([ast.Name(name, ast.Store())], value))


def _wrapped(tree: ast.Module, rng: random.Random) -> None:
    blocks = [n.body for n in _nodes(tree, ast.FunctionDef, ast.If, ast.For) if isinstance(n, ast.FunctionDef | ast.If | ast.For)]
    if not blocks:
        return
    body = rng.choice(blocks)
    at = rng.randrange(len(body))
    statement = body[at]
    test = ast.parse(rng.choice(["torch.jit.is_scripting()", "not torch.jit.is_tracing()", "x is None", "self.training"]), mode="eval").body
    guard = ast.withitem(ast.parse("torch.no_grad()", mode="eval").body)
    handler = ast.ExceptHandler(ast.Name("ImportError", ast.Load()), None, [ast.Pass()])
    body[at] = rng.choice([
        ast.If(test, [statement], []), ast.If(test, [statement], [statement]), ast.With([guard], [statement]),
        ast.Try([statement], [handler], [], []), ast.For(ast.Name("i", ast.Store()), ast.Name("xs", ast.Load()), [statement], []),
    ])  # fmt: skip


def _inserted(tree: ast.Module, rng: random.Random) -> None:
    blocks = [n.body for n in _nodes(tree, ast.FunctionDef) if isinstance(n, ast.FunctionDef)]
    if blocks:
        body = rng.choice(blocks)
        body.insert(rng.randrange(len(body)), ast.parse(rng.choice(LINES)).body[0])


def _repeated(tree: ast.Module, rng: random.Random) -> None:
    tree.body.append(rng.choice(tree.body)) if tree.body else None


LINES = [
    "x.add_(1).mul_(2)", "x[:, ::2] += 1", "x = x.view(-1, *x.shape[1:]).max(1)[0]", "a, b = x.chunk(2, dim=1)", "del x",
    "y = {torch.float32: nn.ReLU, 'k': F.relu}[key](x)", "m = getattr(nn, name)(inplace=True)", "x = x.to(device, non_blocking=True)",
    "f = lambda t, *a, **k: torch.cat([t, *a], **k)", "x = [torch.zeros(i) for i in range(3) if (n := i)]", "self.p.data = x",
    "print(f'{x.size(0)!r:>{w}} {torch.float32}')", "x.data.copy_(y)", "global z", "x = torch.tensor(1.) if x is None else x.clone()",
    "loss.backward(); opt.step()", "x = torch.ops.aten.add(x, y)", "assert isinstance(x, (torch.Tensor, nn.Conv2d))",
    "from torch import nn as q; x = q.ReLU()(x)", "x = torch", "x: 'torch.Tensor' = torch.einsum('ij,jk->ik', x, y)",
    "x = torch.where(x > 0, x, torch.tensor(0.)) @ w.t()", "self.register_buffer('b', torch.arange(3), persistent=False)",
    "with torch.cuda.amp.autocast(), open(p) as f: x = x * 2", "yield x.item()", "x = x if (torch.is_tensor(x)) else torch.Tensor(x)",
]  # fmt: skip
CHANGES: list[Callable[[ast.Module, random.Random], None]] = [
    _shuffled, _dropped, _spread, _exchanged, _shadowed, _wrapped, _inserted, _inserted, _repeated,
]  # fmt: skip


# --- what must hold -------------------------------------------------------------------------------------------------------


def check(text: str) -> str | None:
    """What is wrong with the conversion of a text, or None."""
    try:
        ported = convert_source(text, path="varied.py")
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    internal = next((d for d in ported.diagnostics if d.code == "MSP901"), None)
    if internal is not None:
        return f"internal: {internal.message}"
    try:
        ast.parse(ported.text)
        ast.parse(ported.extras)
    except SyntaxError as error:
        return f"does not parse: {error}"
    if convert_source(text, path="varied.py") != ported:
        return "differs the second time"
    files = {"varied.py": ported.text, **({"ms_extras.py": ported.extras} if ported.extras else {})}
    again = convert_tree(files)
    for name, before in files.items():
        if again.files[name] != before:
            return f"its own output changes: {name}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the variations that fail")
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.py"))
    if not files:
        parser.error(f"no Python files under {options.folder}")
    began, failures, tried = time.perf_counter(), collections.Counter[str](), 0
    for name, text in track(variations(files, options.count, options.seed), total=options.count, description="converting"):
        tried += 1
        problem = check(text)
        if problem is not None:
            failures[problem] += 1
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                write_text(options.keep / name, text)
                print(name, problem)
    print(f"{tried} variations of {len(files)} files, {sum(failures.values())} failures, {time.perf_counter() - began:.0f} s")
    for problem, count in failures.most_common():
        print(f"{count:6} {problem}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
