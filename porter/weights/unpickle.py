"""Reads the pickle of a checkpoint without running it: its opcodes build inert values, unknown names are refused."""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from porter.diagnostics import InputError
from porter.weights.entries import DTYPES, DType


@dataclass(frozen=True)
class Global:
    """A name that the pickle refers to; nothing is imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, eq=False)
class Opaque:
    """A value that is no tensor, known to be harmless and of no use here (a numpy scalar, a Namespace)."""

    kind: str


@dataclass(eq=False)
class Instance:
    """An object of a TorchScript class: its attributes only."""

    kind: str
    state: Any = None


@dataclass(frozen=True, eq=False)
class StorageReference:
    """What a persistent id says about a storage: its key and, unless untyped (itemsize 1), its element type."""

    key: str
    dtype: DType | None
    count: int
    view: Any = None


@dataclass(frozen=True, eq=False)
class TensorReference:
    """A tensor as the pickle describes it, not yet checked against the storage."""

    dtype: DType
    storage: StorageReference
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


STORAGES = {dtype.storage: dtype for dtype in DTYPES.values() if dtype.storage}
VALUES = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "builtins.dict",
    "builtins.list",
    "builtins.set",
    "builtins.frozenset",
    "builtins.complex",
    "__builtin__.set",
    "__builtin__.dict",
    "__builtin__.list",
    "torch.Size",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
}
REBUILDERS = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
}
OPAQUE = {
    "_codecs.encode",
    "argparse.Namespace",
    "collections.Counter",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "torch.device",
    "torch.serialization._get_layout",
}
LISTS = {
    f"torch.jit._pickle.{name}"
    for name in ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")
}
KNOWN_REFUSALS = {
    "torch._utils._rebuild_qtensor": "a quantized tensor, which MindSpore checkpoints cannot hold",
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor; save its to_dense()",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor; save its to_dense()",
    "torch._utils._rebuild_nested_tensor": "a nested tensor; save its parts",
    "torch._utils._rebuild_meta_tensor_no_storage": "a meta tensor, which has no values",
    "torch._utils._rebuild_wrapper_subclass": "a tensor subclass; save plain tensors",
    "torch._utils._rebuild_device_tensor_from_numpy": "a tensor of another device; save its cpu()",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "a tensor of another device; save its cpu()",
    "torch.storage._load_from_bytes": "another torch file inside itself; save its contents directly",
}


class Pickle:
    """One pickle, read opcode by opcode from `data`; `end` is where it stopped."""

    def __init__(self, data: bytes, path: str, start: int = 0, script: bool = False) -> None:
        self.data = data
        self.path = path
        self.at = start
        self.script = script
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value; InputError when the pickle names what a state dict does not hold, or is damaged."""
        operations = OPERATIONS
        data = self.data
        collecting = gc.isenabled()
        gc.disable()  # values only accumulate here
        try:
            while True:
                code = data[self.at]
                self.at += 1
                if code == 0x2E:
                    return self.stack.pop()
                operations[code](self)
        except InputError:
            raise
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error, OverflowError):
            message = f"{self.path} holds a damaged pickle (at byte {self.at})"
            raise InputError(message, "copy or download the checkpoint again") from None
        finally:
            if collecting:
                gc.enable()

    def refuse(self, what: str, help: str) -> InputError:
        return InputError(f"{self.path} refused: its pickle {what}; nothing was executed", help)

    def take(self, length: int) -> bytes:
        if length < 0 or self.at + length > len(self.data):
            raise IndexError
        part = self.data[self.at : self.at + length]
        self.at += length
        return part

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "little")

    def line(self) -> str:
        end = self.data.index(b"\n", self.at)
        part = self.data[self.at : end]
        self.at = end + 1
        return part.decode("utf-8")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def find(self, module: str, name: str) -> Any:
        """What a GLOBAL opcode means here."""
        full = f"{module}.{name}"
        if full in VALUES or full in REBUILDERS or full in OPAQUE:
            return Global(module, name)
        if module in ("torch", "torch.storage"):
            if name in STORAGES or name in ("UntypedStorage", "TypedStorage"):
                return Global("torch", name)
            if name in DTYPES and module == "torch":
                return DTYPES[name]
        if self.script and (module.startswith("__torch__") or full in LISTS or name == "restore_type_tag"):
            return Global(module, name)
        if full in KNOWN_REFUSALS:
            raise InputError(f"{self.path} holds {KNOWN_REFUSALS[full]}", "convert it in PyTorch first")
        raise self.refuse(
            f"wants {full!r}, which is no part of a state dict",
            "if you trust the file, load it in PyTorch and save its state_dict() alone",
        )

    def call(self, function: Any, arguments: Any) -> Any:
        """What REDUCE means here: a tensor reference, a container or an opaque value."""
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise self.refuse("calls a value", "do not trust this file")
        name = str(function)
        if name in REBUILDERS:
            return self.rebuild(function.name, arguments)
        if name in OPAQUE:
            return Opaque(name)
        if name in (
            "collections.OrderedDict",
            "builtins.dict",
            "__builtin__.dict",
            "collections.defaultdict",
        ):
            result: dict[Any, Any] = {}
            pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
            for pair in pairs:
                key, value = pair
                result[checked_key(key)] = value
            return result
        if name in ("torch.Size", "builtins.list", "builtins.set", "builtins.frozenset", "__builtin__.set"):
            items = arguments[0] if arguments else []
            return tuple(items) if function.name == "Size" else list(items)
        if name in LISTS or function.name == "restore_type_tag":
            return arguments[0]
        if self.script and function.module.startswith("__torch__"):
            return Instance(name)
        if name == "torch.nn.parameter.Parameter" and isinstance(arguments[0], TensorReference):
            return arguments[0]
        if name == "builtins.complex":
            return Opaque(name)
        raise self.refuse(f"calls {name!r}", "do not trust this file")

    def rebuild(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "_rebuild_from_type_v2":
            function, _, inner, _ = arguments
            if (
                not isinstance(function, Global)
                or str(function) not in REBUILDERS
                or not isinstance(inner, tuple)
            ):
                raise self.refuse("rebuilds a tensor by an unknown function", "save plain tensors")
            if function.name == name:
                raise self.refuse("nests tensor types", "save plain tensors")
            return self.rebuild(function.name, inner)
        if name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            if not isinstance(arguments[0], TensorReference):
                raise TypeError
            return arguments[0]
        storage, start, shape, strides = arguments[:4]
        if not isinstance(storage, StorageReference):
            raise TypeError
        dtype = arguments[6] if name == "_rebuild_tensor_v3" else storage.dtype
        if not isinstance(dtype, DType):
            raise TypeError
        sizes, steps = whole(shape), whole(strides)
        if len(sizes) != len(steps) or len(sizes) > 64 or not is_whole(start):
            raise TypeError
        return TensorReference(dtype, storage, start, sizes, steps)

    def persistent(self, identity: Any) -> StorageReference:
        """('storage', type, key, device, count[, view]) as torch.save writes it."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise self.refuse("has a persistent id of another program", "do not trust this file")
        _, kind, key, _, count = identity[:5]
        if not isinstance(kind, Global) or kind.module != "torch" or not is_whole(count):
            raise TypeError
        if isinstance(key, int):
            key = str(key)
        if not isinstance(key, str):
            raise TypeError
        return StorageReference(
            key, STORAGES.get(kind.name), count, identity[5] if len(identity) == 6 else None
        )

    def build(self) -> None:
        """BUILD: attributes of a container are left aside, those of a TorchScript object are kept."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Instance):
            target.state = state
        elif not isinstance(target, (dict, Opaque, TensorReference)):
            raise self.refuse("changes a value that is no container", "do not trust this file")

    def push_collected(self, kind: type) -> None:
        items = self.pop_mark()
        self.stack.append(kind(items))

    def drop_mark(self) -> None:
        self.pop_mark()

    def skip(self, length: int) -> None:
        self.take(length)

    def protocol(self) -> None:
        if self.take(1)[0] > 5:
            raise ValueError

    def set_items(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Opaque):
            return
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def append(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Opaque):
            return
        if not isinstance(target, list):
            raise TypeError
        target.extend(items)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def whole(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or not all(map(is_whole, values)):
        raise TypeError
    return tuple(values)


def checked_key(key: Any) -> Any:
    """A dictionary key of a kind whose hash costs nothing (a tuple could be nested without end)."""
    if isinstance(key, (str, int, float, bytes, type(None))):
        return key
    if isinstance(key, (Opaque, Global, DType, StorageReference, TensorReference)):
        return str(type(key))
    raise TypeError


def _operations() -> list[Callable[[Pickle], None]]:
    def unknown(p: Pickle) -> None:
        code = p.data[p.at - 1]
        if code in b"i\x82\x83\x84\x97\x98oP":
            raise p.refuse(
                f"uses the opcode {code:#04x}, which torch.save never writes", "do not trust this file"
            )
        raise ValueError

    table: list[Callable[[Pickle], None]] = [unknown] * 256

    def operation(code: str | int) -> Callable[[Callable[[Pickle], None]], Callable[[Pickle], None]]:
        def enter(function: Callable[[Pickle], None]) -> Callable[[Pickle], None]:
            table[ord(code) if isinstance(code, str) else code] = function
            return function

        return enter

    def constant(code: str | int, value: Any) -> None:
        operation(code)(lambda p: p.stack.append(value))

    constant("N", None)
    constant(0x88, True)
    constant(0x89, False)
    constant(")", ())
    operation("]")(lambda p: p.stack.append([]))
    operation("}")(lambda p: p.stack.append({}))
    operation(0x8F)(lambda p: p.stack.append([]))

    def counted(code: str | int, width: int, decode: Callable[[bytes], Any]) -> None:
        @operation(code)
        def read(p: Pickle) -> None:
            start = p.at + width
            end = start + int.from_bytes(p.data[p.at : start], "little")
            if end > len(p.data):
                raise IndexError
            p.stack.append(decode(p.data[start:end]))
            p.at = end

    def text(raw: bytes) -> str:
        return str(raw, "utf-8", "surrogatepass")

    def latin(raw: bytes) -> str:
        return str(raw, "latin-1")

    def signed(raw: bytes) -> int:
        return int.from_bytes(raw, "little", signed=True)

    for code, width in (("X", 4), (0x8C, 1), (0x8D, 8)):
        counted(code, width, text)
    for code, width in (("B", 4), ("C", 1), (0x8E, 8), (0x96, 8)):
        counted(code, width, bytes)
    for code, width in (("T", 4), ("U", 1)):
        counted(code, width, latin)
    for code, width in ((0x8A, 1), (0x8B, 4)):
        counted(code, width, signed)

    @operation("K")
    def byte(p: Pickle) -> None:
        p.stack.append(p.data[p.at])
        p.at += 1

    operation("M")(lambda p: p.stack.append(p.number(2)))
    operation("J")(lambda p: p.stack.append(signed(p.take(4))))
    operation("G")(lambda p: p.stack.append(struct.unpack(">d", p.take(8))[0]))
    operation("V")(lambda p: p.stack.append(p.line()))
    operation("F")(lambda p: p.stack.append(float(p.line())))
    operation("L")(lambda p: p.stack.append(int(p.line().rstrip("L"))))
    operation("S")(lambda p: p.stack.append(p.line().strip("'\"")))

    @operation("I")
    def integer(p: Pickle) -> None:
        line = p.line()
        p.stack.append(line == "01" if line in ("00", "01") else int(line))

    @operation("(")
    def mark(p: Pickle) -> None:
        p.marks.append(p.stack)
        p.stack = []

    operation("t")(lambda p: p.push_collected(tuple))
    operation("l")(lambda p: p.push_collected(list))

    @operation("d")
    def dictionary(p: Pickle) -> None:
        items = p.pop_mark()
        result: dict[Any, Any] = {}
        p.set_items(result, items)
        p.stack.append(result)

    def tuple_of(count: int) -> Callable[[Pickle], None]:
        def collect(p: Pickle) -> None:
            if len(p.stack) < count:
                raise IndexError
            p.stack[-count:] = [tuple(p.stack[-count:])]

        return collect

    for count in (1, 2, 3):
        operation(0x84 + count)(tuple_of(count))

    @operation("s")
    def set_item(p: Pickle) -> None:
        value, key = p.stack.pop(), p.stack.pop()
        p.set_items(p.stack[-1], [key, value])

    @operation("u")
    def set_items(p: Pickle) -> None:
        items = p.pop_mark()
        p.set_items(p.stack[-1], items)

    @operation("a")
    def append(p: Pickle) -> None:
        value = p.stack.pop()
        p.append(p.stack[-1], [value])

    @operation("e")
    @operation(0x90)
    def appends(p: Pickle) -> None:
        items = p.pop_mark()
        p.append(p.stack[-1], items)

    operation(0x91)(lambda p: p.push_collected(list))

    @operation("0")
    def pop(p: Pickle) -> None:
        if p.stack:
            p.stack.pop()
        else:
            p.pop_mark()

    operation("1")(lambda p: p.drop_mark())
    operation("2")(lambda p: p.stack.append(p.stack[-1]))

    def put(index: Callable[[Pickle], int]) -> Callable[[Pickle], None]:
        def store(p: Pickle) -> None:
            p.memo[index(p)] = p.stack[-1]

        return store

    def get(index: Callable[[Pickle], int]) -> Callable[[Pickle], None]:
        return lambda p: p.stack.append(p.memo[index(p)])

    # the commonest opcodes, by hand: a cut-off number is met again as the missing next opcode
    @operation("q")
    def put_short(p: Pickle) -> None:
        p.memo[p.data[p.at]] = p.stack[-1]
        p.at += 1

    @operation("r")
    def put_long(p: Pickle) -> None:
        p.memo[int.from_bytes(p.data[p.at : p.at + 4], "little")] = p.stack[-1]
        p.at += 4

    operation("p")(put(lambda p: int(p.line())))
    operation(0x94)(put(lambda p: len(p.memo)))

    @operation("h")
    def get_short(p: Pickle) -> None:
        p.stack.append(p.memo[p.data[p.at]])
        p.at += 1

    operation("j")(get(lambda p: p.number(4)))
    operation("g")(get(lambda p: int(p.line())))

    operation("c")(lambda p: p.stack.append(p.find(p.line(), p.line())))

    @operation(0x93)
    def stack_global(p: Pickle) -> None:
        name, module = p.stack.pop(), p.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        p.stack.append(p.find(module, name))

    @operation("R")
    @operation(0x81)
    def reduce(p: Pickle) -> None:
        arguments, function = p.stack.pop(), p.stack.pop()
        p.stack.append(p.call(function, arguments))

    @operation(0x92)
    def new_with_keywords(p: Pickle) -> None:
        _, arguments, function = p.stack.pop(), p.stack.pop(), p.stack.pop()
        p.stack.append(p.call(function, arguments))

    operation("Q")(lambda p: p.stack.append(p.persistent(p.stack.pop())))
    operation("b")(lambda p: p.build())
    operation(0x95)(lambda p: p.skip(8))
    operation(0x80)(lambda p: p.protocol())
    return table


OPERATIONS = _operations()
