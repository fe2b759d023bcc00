"""The Python modules that are ported together: their syntax trees, what each name is bound to, and their classes."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from porter.named_imports import named_import
from porter.nodes import fields
from porter.table import Table

TORCH_ROOTS = frozenset({"torch", "torchvision", "torchaudio", "einops"})


SCRIPT_MODULE = "torch.jit.ScriptModule"  # a network whose methods are compiled one by one

@dataclass
class Function:
    """A function or method definition."""

    name: str
    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    owner: Class | None = None
    outer: Function | None = None

    @property
    def decorators(self) -> list[ast.expr]:
        return getattr(self.node, "decorator_list", [])


@dataclass
class Class:
    """A class definition."""

    name: str
    module: Module
    node: ast.ClassDef
    outer: Function | None = None
    methods: dict[str, Function] = field(default_factory=dict)


@dataclass
class Module:
    """One source file, `name` as imports of the same tree spell it."""

    name: str
    path: str
    text: str
    tree: ast.Module
    package: str
    imports: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    exported: list[str] | None = None
    aliases: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The folder of its path; empty for the folder that all paths start from."""
        return self.path.rpartition("/")[0]

    def offset(self, line: int, column: int) -> int:
        """Where an ast position (line from 1, column in UTF-8 bytes) is in the encoded text."""
        return self.line_starts[line - 1] + column

    @property
    def line_starts(self) -> list[int]:
        starts = getattr(self, "_starts", None)
        if starts is None:
            starts = [0]
            for line in self.data.split(b"\n"):
                starts.append(starts[-1] + len(line) + 1)
            self._starts = starts
        return starts

    @property
    def explored(self) -> Explored:
        """The one walk over the whole tree, made when it is first asked for."""
        found: Explored | None = getattr(self, "_explored", None)
        if found is None:
            found = self._explored = explore(self.tree)
        return found

    @property
    def data(self) -> bytes:
        data = getattr(self, "_data", None)
        if data is None:
            data = self._data = self.text.encode("utf-8")
        return data

    def has(self, text: bytes) -> bool:
        """Whether a text stands anywhere in the file, searched once: what is rare is asked for at every node."""
        known: dict[bytes, bool] = self.__dict__.setdefault("_texts", {})
        found = known.get(text)
        if found is None:
            found = known[text] = text in self.data
        return found

    def source(self, node: ast.AST) -> str:
        start = self.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        end = self.offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return self.data[start:end].decode("utf-8")


@dataclass
class Program:
    """All modules of one run, by name, with their functions and classes by qualified name.

    `package` is the name of the folder that all paths start from, where it is imported as a package.
    """

    modules: dict[str, Module]
    table: Table
    package: str = ""
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)

    def has(self, text: bytes) -> bool:
        """Whether a text stands in any of its files."""
        return any(module.has(text) for module in self.modules.values())

    @cached_property
    def makes_empty(self) -> bool:
        """Whether any module writes out a one-dimensional tensor without elements."""
        return any(m.explored.makes_empty for m in self.modules.values())

    @cached_property
    def makes_complex(self) -> bool:
        """Whether any module names what makes complex tensors: a Fourier transform, a complex dtype, a number such as 1j."""
        return any(_COMPLEX.search(m.data) for m in self.modules.values())

    @cached_property
    def makes_bytes(self) -> bool:
        """Whether any module names what makes tensors of uint8, which torch takes for conditions as well."""
        return any(_BYTES.search(m.data) for m in self.modules.values())

    @cached_property
    def names_infinity(self) -> bool:
        """Whether any module names infinity, with which a row of scores may be masked as a whole."""
        return any(_INFINITY.search(m.data) for m in self.modules.values())

    @cached_property
    def tells_ordered_apart(self) -> bool:
        """Whether any module does what tells an OrderedDict from a dict."""
        return any(_TELLS_ORDERED_APART.search(m.data) for m in self.modules.values())

    @cached_property
    def names_return_indices(self) -> bool:
        """Whether any module asks a pool for its indices, or might by a name of its own."""
        return self.has(b"return_indices")

    @cached_property
    def packs_sequences(self) -> bool:
        """Whether any module names what makes packed sequences."""
        return any(m.explored.packs_sequences for m in self.modules.values())

    @property
    def strings(self) -> list[str]:
        """Every short string literal of the program, f-strings as patterns with {} for what is computed."""
        cached: list[str] | None = getattr(self, "_strings", None)
        if cached is None:
            found: dict[str, None] = {}
            for module in self.modules.values():
                for node in module.explored.strings:
                    if isinstance(node, ast.Constant):
                        if isinstance(node.value, str) and len(node.value) < 60:
                            found[node.value] = None
                    else:
                        found["".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)] = None
            cached = self._strings = list(found)
        return cached

    @cached_property
    def goes_backward(self) -> bool:
        """Whether any of its files calls `.backward()`."""
        return self.has(b".backward(")

    @cached_property
    def makes_sparse(self) -> bool:
        """Whether any of its files makes sparse tensors, which the port holds dense."""
        return any(map(self.has, (b"to_sparse", b"torch.sparse", b"sparse_coo_tensor", b"sparse_csr_tensor")))

    def resolve(self, module: Module, name: str) -> str | None:
        """The qualified name that a global name of a module stands for, or None where it is unknown here."""
        return self._resolve(module, name, frozenset())

    def _resolve(self, module: Module, name: str, seen: frozenset[tuple[str, str]]) -> str | None:
        if (module.name, name) in seen:
            return None
        seen = seen | {(module.name, name)}
        if name in module.imports:
            return self._follow(module.imports[name], seen)
        if name in module.bound:
            meant = self._resolve(module, module.aliases[name], seen) if name in module.aliases else None
            return meant if meant in self.classes else f"{module.name}.{name}"
        for star in module.stars:
            source = self.modules.get(star)
            if source is not None:
                if name in self.public_names(source):
                    return self._resolve(source, name, seen)
            elif star.partition(".")[0] in TORCH_ROOTS and self._has_star(star, name):
                return self.canonical(f"{star}.{name}")
        submodule = f"{module.name}.{name}"
        return submodule if submodule in self.modules and module.path.endswith("__init__.py") else None

    def _has_star(self, star: str, name: str) -> bool:
        """Whether `from torch.nn import *` may bring a name: a builtin such as float only where torch has it in that very place."""
        if hasattr(builtins, name):
            return f"{star}.{name}" in self.table.rows
        return self.canonical(f"{star}.{name}") is not None

    def public_names(self, module: Module) -> set[str]:
        """What `from module import *` brings."""
        return self._public(module, frozenset())

    def _public(self, module: Module, seen: frozenset[str]) -> set[str]:
        if module.exported is not None:
            return set(module.exported)
        found = {n for n in {*module.bound, *module.imports} if not n.startswith("_")}
        for star in module.stars:
            source = self.modules.get(star)
            if source is not None and star not in seen:
                found |= self._public(source, seen | {module.name})
        return found

    def _follow(self, qualified: str, seen: frozenset[tuple[str, str]]) -> str:
        """Goes through re-exports to where a name is defined."""
        if qualified in self.modules:
            return qualified
        head, _, last = qualified.rpartition(".")
        source = self.modules.get(head)
        if source is not None:
            return self._resolve(source, last, seen) or qualified
        if qualified.partition(".")[0] in TORCH_ROOTS:
            return self.canonical(qualified) or qualified
        return qualified

    def member(self, qualified: str, name: str) -> str:
        """The qualified name of an attribute of a Python module."""
        source = self.modules.get(qualified)
        if source is not None:
            if f"{qualified}.{name}" in self.modules and name not in source.bound and name not in source.imports:
                return f"{qualified}.{name}"
            return self.resolve(source, name) or f"{qualified}.{name}"
        return self.canonical(f"{qualified}.{name}") or f"{qualified}.{name}"

    def canonical(self, qualified: str) -> str | None:
        """The name under which the table has a torch symbol: torch.nn.modules.conv.Conv2d is torch.nn.Conv2d."""
        rows = self.table.rows
        if qualified in rows:
            return qualified
        if qualified in ("torch.nn.modules.Module", "torch.nn.modules.module.Module"):
            return "torch.nn.Module"
        parts = qualified.split(".")
        for length in (1, 2, 3, 4):
            for start in (parts[:length],):
                short = ".".join([*start, parts[-1]])
                if length < len(parts) and parts[1:2] != ["backends"] and short in rows and short.startswith(_family(qualified)):
                    return short
        aliases = {
            "torch.autograd.Variable": "torch.autograd.Variable", "torch.functional": "torch",
            "torch.quantization": "torch.ao.quantization", "torch.ao.nn.quantized": "torch.nn.quantized",
        }  # fmt: skip
        for old, new in aliases.items():
            if qualified.startswith(old + ".") and new + qualified[len(old) :] in rows:
                return new + qualified[len(old) :]
        return None

    def is_torch(self, qualified: str) -> bool:
        return qualified.partition(".")[0] in TORCH_ROOTS and qualified.partition(".")[0] not in self.modules

    def is_package(self, folder: str) -> bool:
        """Whether a folder is imported as a package: it has an __init__.py, or the program's own imports name it so."""
        return folder in self._packages

    @property
    def _packages(self) -> set[str]:
        found: set[str] | None = getattr(self, "_package_folders", None)
        if found is None:
            found = {m.path.removesuffix("/__init__.py") for m in self.modules.values() if m.path.endswith("/__init__.py")}
            dotted = {m.folder: m.package if m.path.endswith("/__init__.py") else m.name.rpartition(".")[0] for m in self.modules.values() if m.folder}
            for module in self.modules.values():
                for node in module.explored.imports:
                    if isinstance(node, ast.ImportFrom) and node.level:
                        found.add(module.folder)
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        found |= {f for f, name in dotted.items() if node.module.startswith(name + ".") or node.module == name}
                    elif isinstance(node, ast.Import):
                        found |= {f for f, name in dotted.items() for a in node.names if a.name.startswith(name + ".")}
            found.discard("")
            if self.package:
                found.add("")
            self._package_folders = found
        return found

    def bases(self, class_name: str) -> list[str]:
        """Qualified names of the direct bases of a class of the program, as far as they are known."""
        cls = self.classes[class_name]
        found = []
        for base in cls.node.bases:
            name = self.dotted(cls.module, base)
            if name is None and isinstance(base, ast.Subscript):
                name = self.dotted(cls.module, base.value)
            found.append("torch.nn.Module" if name == SCRIPT_MODULE else name or "?")
        return found

    def ancestry(self, class_name: str) -> list[str]:
        """The class and all its bases, depth first, each once."""
        cached = self._ancestry_cache.get(class_name)
        if cached is None:
            found: dict[str, None] = {}
            self._climb(class_name, found)
            cached = self._ancestry_cache[class_name] = list(found)
        return cached

    @property
    def _ancestry_cache(self) -> dict[str, list[str]]:
        cache = getattr(self, "_ancestors", None)
        if cache is None:
            cache = {}
            self._ancestors: dict[str, list[str]] = cache
        return cache

    def _climb(self, class_name: str, found: dict[str, None]) -> None:
        if class_name in found:
            return
        found[class_name] = None
        if class_name in self.classes:
            for base in self.bases(class_name):
                self._climb(base, found)

    def is_module_class(self, class_name: str) -> bool:
        """Whether a class is a torch.nn.Module, itself or through its bases."""
        cache: dict[str, bool] = self.__dict__.setdefault("_module_classes", {})
        known = cache.get(class_name)
        if known is None:
            known = cache[class_name] = any(
                name == "torch.nn.Module" or any(r.kind == "module" for r in self.table.get(name)) for name in self.ancestry(class_name)
            )
        return known

    def mixes_into_module(self, class_name: str) -> bool:
        """Whether a class is a module class or is a base of one."""
        return class_name in self._module_family

    @property
    def _module_family(self) -> set[str]:
        family = getattr(self, "_family", None)
        if family is None:
            family = set()
            for name in self.classes:
                if self.is_module_class(name):
                    family |= {n for n in self.ancestry(name) if n in self.classes}
            self._family = family
        return family

    def method(self, class_name: str, name: str, *, after: str | None = None) -> tuple[str, Function] | None:
        """The definition that an attribute of an instance finds first; `after` skips up to that class, as super does."""
        chain = self.ancestry(class_name)
        if after is not None and after in chain:
            chain = chain[chain.index(after) + 1 :]
        for owner in chain:
            if owner in self.classes and name in self.classes[owner].methods:
                return owner, self.classes[owner].methods[name]
        return None

    def dotted(self, module: Module, node: ast.AST) -> str | None:
        """The qualified name of a `a.b.c` expression made of global names, or None."""
        if isinstance(node, ast.Name):
            return self.resolve(module, node.id)
        if isinstance(node, ast.Attribute):
            base = self.dotted(module, node.value)
            if base is None:
                return None
            if base in self.table.rows and self.table.rows[base][0].kind == "value" and f"{base}.{node.attr}" not in self.table.rows:
                return None  # torch.__version__.split is a text's method
            return self.member(base, node.attr)
        return None


_COMPLEX = re.compile(rb"fft|stft|[Cc]omplex|cfloat|cdouble|chalf|polar|eigvals?\b|\d[jJ]\b|\.real\b|\.imag\b|\.angle\b")

_INFINITY = re.compile(rb"\binf\b|[Ii]nfinity|NINF")
_TELLS_ORDERED_APART = re.compile(rb"move_to_end|isinstance\([^\n]*OrderedDict|popitem")
_BYTES = re.compile(rb"uint8|\.byte\b|ByteTensor")


def _family(qualified: str) -> str:
    """The namespace in which a private path may be shortened."""
    for prefix in ("torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.nn", "torch.optim", "torch.utils", "torch"):
        if qualified.startswith(prefix + "."):
            return prefix + "." if prefix != "torch" else "torch."
    return qualified.partition(".")[0] + "."


@dataclass
class Explored:
    """One walk over a syntax tree: each node's parent, the names that it binds, its imports and its strings."""

    parents: dict[int, ast.AST] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    strings: list[ast.Constant | ast.JoinedStr] = field(default_factory=list)
    makes_empty: bool = False
    packs_sequences: bool = False


def explore(tree: ast.Module) -> Explored:
    """Walks a tree once; names that only an import of torch binds are not among those bound."""
    found = Explored()
    parents, bound = found.parents, found.bound
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        kind = type(node)
        if kind is ast.Name:
            if not isinstance(node.ctx, ast.Load):  # type: ignore[attr-defined]
                bound.add(node.id)  # type: ignore[attr-defined]
            continue
        if kind is ast.Constant:
            if type(node.value) is str:  # type: ignore[attr-defined]
                found.strings.append(node)  # type: ignore[arg-type]
            continue
        if kind is ast.Attribute:
            found.packs_sequences = found.packs_sequences or node.attr in _PACKING  # type: ignore[attr-defined]
        if kind is ast.Call:
            found.makes_empty = found.makes_empty or _makes_empty(node)  # type: ignore[arg-type]
        if kind in _NAMING:
            _note(node, found)
        for name in fields(kind):
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                parents[id(value)] = node
                stack.append(value)
            elif type(value) is list:
                for child in value:
                    if isinstance(child, ast.AST):
                        parents[id(child)] = node
                        stack.append(child)
    return found


_OF_VALUES = frozenset({"tensor", "as_tensor", "new_tensor", "Tensor", "FloatTensor", "DoubleTensor", "HalfTensor", "LongTensor", "IntTensor", "BoolTensor"})
_OF_SIZES = frozenset({"empty", "zeros", "ones", "rand", "randn", "full", "new_empty", "new_zeros", "new_ones", "new_full", "new"}) | _OF_VALUES


def _makes_empty(node: ast.Call) -> bool:
    """Whether a call writes out a one-dimensional tensor without elements: torch.empty(0), torch.tensor([])."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _OF_SIZES:
        return False
    if not node.args:
        return name == "new" or name.endswith("Tensor")
    first = ast.unparse(node.args[0]) if len(node.args) == 1 or name.endswith("full") or name in _OF_VALUES else ""
    return first in ("[]", "()") if name in _OF_VALUES and first != "0" else first in ("0", "(0,)", "[0]")


_PACKING = frozenset({"pack_padded_sequence", "pack_sequence", "PackedSequence"})

_NAMING = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.arg, ast.Import, ast.ImportFrom, ast.JoinedStr})


def _note(node: ast.AST, found: Explored) -> None:
    """What one node binds, imports or spells."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        found.bound.add(node.name)
    elif isinstance(node, ast.arg):
        found.bound.add(node.arg)
    elif isinstance(node, ast.ImportFrom):
        found.imports.append(node)
        found.packs_sequences = found.packs_sequences or any(alias.name in _PACKING for alias in node.names)
        if node.level or (node.module or "").partition(".")[0] != "torch":
            found.bound |= {a.asname or a.name for a in node.names}
    elif isinstance(node, ast.Import):
        found.imports.append(node)
        found.bound |= {a.asname or a.name.partition(".")[0] for a in node.names if a.name.partition(".")[0] != "torch"}
    elif isinstance(node, ast.JoinedStr):
        found.strings.append(node)


def module_name(relative: PurePosixPath) -> str:
    parts = list(relative.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def build_program(sources: dict[str, str], table: Table, *, package: str = "") -> tuple[Program, dict[str, SyntaxError]]:
    """Parses every file (relative path → text); those that are not Python come back with their error.

    `package` is the name of the folder that the paths start from: where its files import each other as a package, their
    qualified names begin with it.
    """
    modules: dict[str, Module] = {}
    parsed: dict[str, ast.Module] = {}
    failed: dict[str, SyntaxError] = {}
    for path, text in sources.items():
        try:
            tree = ast.parse(text, filename=path)
        except (SyntaxError, ValueError) as error:
            failed[path] = error if isinstance(error, SyntaxError) else SyntaxError(str(error))
            continue
        parsed[path] = tree
    if not imports_itself(package, parsed):
        package = ""
    for path, tree in parsed.items():
        name = ".".join(part for part in (package, module_name(PurePosixPath(path))) if part)
        own = name if PurePosixPath(path).name == "__init__.py" else name.rpartition(".")[0]
        modules[name] = Module(name, path, sources[path], tree, own)
    program = Program(modules, table, package)
    for module in modules.values():
        _index(program, module)
    _bind_named_imports(program)
    return program, failed


def imports_itself(package: str, trees: Mapping[str, ast.Module]) -> bool:
    """Whether a folder with an __init__.py is imported as a package: its files name it, or go up to it by leading dots."""
    if not package or "__init__.py" not in trees:
        return False
    for path, tree in trees.items():
        depth = len(PurePosixPath(path).parts)
        for node in _module_level(tree.body):
            if isinstance(node, ast.ImportFrom):
                if node.level == depth or (not node.level and (node.module or "").partition(".")[0] == package):
                    return True
            elif isinstance(node, ast.Import) and any(a.name.partition(".")[0] == package for a in node.names):
                return True
    return False


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Names that one statement of a module, and nothing else there, makes another name for something: `Upsample = UpSample`."""
    bound = [t for node in _module_level(tree.body) for t in _targets(node)]
    bound += [n.name for n in _module_level(tree.body) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            found.update({t.id: node.value.id for t in node.targets if isinstance(t, ast.Name) and bound.count(t.id) == 1})
    return found


def _bind_named_imports(program: Program) -> None:
    """Names that a call with a module's name in a string imports are known as those of import statements are."""
    for module in program.modules.values():
        for node in _module_level(module.tree.body):
            found = named_import(program, module, node)
            if found is not None:
                module.imports[found.name] = found.qualified
                module.bound.discard(found.name)


def _index(program: Program, module: Module) -> None:
    fallbacks = _fallbacks(module.tree.body)
    for node in _module_level(module.tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                if alias.asname:
                    module.imports[alias.asname] = _beside(program, module, alias.name)
                else:
                    module.imports[top] = _beside(program, module, alias.name).removesuffix(alias.name[len(top) :])
        elif isinstance(node, ast.ImportFrom):
            _index_from(program, module, node, fallback=id(node) in fallbacks)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            module.bound.add(node.name)
            module.imports.pop(node.name, None)
        else:
            for target in _targets(node):
                module.bound.add(target)
            exported = _exported(node)
            if exported is not None:
                module.exported = (module.exported or []) + exported
    module.bound -= set(module.imports)
    module.aliases = _aliases(module.tree)
    _index_inner(program, module)
    _define(program, module, module.tree.body, module.name, None, None)


def _index_inner(program: Program, module: Module) -> None:
    """Imports of torch and of the program's files inside functions, as if they stood at the top, where no other name is taken for
    them there."""
    own: dict[str, set[str]] = {}
    for node in module.explored.imports:
        names: dict[str, str] = {}
        if isinstance(node, ast.Import):
            names = {a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names if a.name != "*"}
        for name, qualified in names.items():
            if name not in module.bound and program.is_torch(qualified):
                module.imports.setdefault(name, qualified)
        source = absolute(module, node) if isinstance(node, ast.ImportFrom) else ""
        if isinstance(node, ast.ImportFrom) and not node.level:
            source = _beside(program, module, source)
        if isinstance(node, ast.ImportFrom) and source in program.modules:
            for alias in node.names:
                own.setdefault(alias.asname or alias.name, set()).add(f"{source}.{alias.name}")
    for name, found in own.items():
        if len(found) == 1 and name not in module.bound and "*" not in name:
            module.imports.setdefault(name, found.pop())


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """The absolute name of the module that a from-import reads."""
    if not node.level:
        return node.module or ""
    parts = module.package.split(".") if module.package else []
    parts = parts[: len(parts) - (node.level - 1)] if node.level > 1 else parts
    return ".".join([*parts, *([node.module] if node.module else [])])


def _beside(program: Program, module: Module, name: str) -> str:
    """The module that an absolute name means: a script imports those beside it by their bare names."""
    if name and module.package and name.partition(".")[0] not in program.modules:
        beside = f"{module.package}.{name}"
        if beside in program.modules:
            return beside
    return name


def _index_from(program: Program, module: Module, node: ast.ImportFrom, *, fallback: bool = False) -> None:
    source = absolute(module, node)
    if not node.level:
        source = _beside(program, module, source)
    for alias in node.names:
        if alias.name == "*":
            module.stars.append(source)
        elif not (fallback and _is_torch_row(program, module.imports.get(alias.asname or alias.name))):
            module.imports[alias.asname or alias.name] = f"{source}.{alias.name}" if source else alias.name
            module.bound.discard(alias.asname or alias.name)


def _is_torch_row(program: Program, name: str | None) -> bool:
    return name is not None and program.is_torch(name) and program.canonical(name) is not None


def _fallbacks(body: list[ast.stmt]) -> set[int]:
    """What stands in the handlers of tried statements: it runs where torch is too old for what was tried."""
    tried = [node for node in _module_level(body) if isinstance(node, ast.Try)]
    return {id(s) for node in tried for handler in node.handlers for s in _module_level(handler.body)}


def _module_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at import, those under if, try, with and loops included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try):
            for name in ("body", "orelse", "finalbody"):
                yield from _module_level(getattr(node, name, []))
            for handler in getattr(node, "handlers", []):
                yield from _module_level(handler.body)


def _targets(node: ast.AST) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For):
        targets = [node.target]
    elif isinstance(node, ast.With):
        targets = [i.optional_vars for i in node.items if i.optional_vars]
    for target in targets:
        for name in ast.walk(target):
            if isinstance(name, ast.Name):
                yield name.id


def _exported(node: ast.AST) -> list[str] | None:
    if isinstance(node, ast.Assign | ast.AugAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == "__all__":
            return [e.value for e in ast.walk(node.value) if isinstance(e, ast.Constant) and isinstance(e.value, str)]
    return None


def _define(
    program: Program, module: Module, body: list[ast.stmt], prefix: str, owner: Class | None, outer: Function | None
) -> None:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = Function(f"{prefix}.{node.name}", module, node, owner, outer)
            if owner is not None:
                # of overloads and property setters the getter, the first, is what readers see
                if not any(ast.unparse(d).endswith((".setter", "overload")) for d in node.decorator_list):
                    owner.methods[node.name] = function
            if function.name not in program.functions or owner is None:
                program.functions[function.name] = function
            else:
                program.functions[f"{function.name}@{node.lineno}"] = function
                function.name = f"{function.name}@{node.lineno}"
            _define(program, module, node.body, f"{function.name}.<locals>", None, function)
        elif isinstance(node, ast.ClassDef):
            cls = Class(f"{prefix}.{node.name}", module, node, outer)
            program.classes[cls.name] = cls
            _define(program, module, node.body, cls.name, cls, outer)
        elif isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try):
            for name in ("body", "orelse", "finalbody"):
                _define(program, module, getattr(node, name, []), prefix, owner, outer)
            for handler in getattr(node, "handlers", []):
                _define(program, module, handler.body, prefix, owner, outer)


def read_sources(root: Path) -> dict[str, str]:
    """Python files under a folder, by POSIX path relative to it."""
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted(root.rglob("*.py"))
        if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts)
    }
