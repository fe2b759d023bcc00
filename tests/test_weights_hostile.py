"""Hostile, damaged and wrong files: refused with one clear line, nothing executed, nothing written."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from porter.diagnostics import InputError
from porter.weights.convert import WeightsError, convert_weights
from porter.weights.entries import DTYPES, Entry
from porter.weights.names import CellWeights
from porter.weights.read import open_checkpoint
from porter.weights.write import Sink, write_ckpt, write_safetensors, write_torch

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
ROWS = (
    CellWeights("mindspore.nn.BatchNorm2d", {**NORM, "num_batches_tracked": None}),
    CellWeights("mindspore.nn.LayerNorm", {"weight": "gamma", "bias": "beta"}),
)


class Executed(Exception):
    """Raised by a payload that ran."""


def bomb(*_: object) -> None:
    raise Executed


def zipped(
    data: bytes, members: dict[str, bytes] | None = None, root: str = "archive", **options: int
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", options.get("compression", zipfile.ZIP_STORED)) as archive:
        archive.writestr(f"{root}/data.pkl", data)
        archive.writestr(f"{root}/byteorder", "little")
        for name, content in (members or {"data/0": bytes(24)}).items():
            archive.writestr(f"{root}/{name}", content)
        archive.writestr(f"{root}/version", "3\n")
    return out.getvalue()


def g(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def storage(count: int = 6, key: str = "0", kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + g("torch", kind) + text(key) + text("cpu") + integer(count) + b"tQ"


def tensor(
    shape: tuple[int, ...] = (2, 3), strides: tuple[int, ...] = (3, 1), start: int = 0, **more: object
) -> bytes:
    sizes = b"(" + b"".join(map(integer, shape)) + b"t(" + b"".join(map(integer, strides)) + b"t"
    place = more.get("storage", storage())
    assert isinstance(place, bytes)
    hooks = g("collections", "OrderedDict") + b")R"
    return (
        g("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + place
        + integer(start)
        + sizes
        + b"\x89"
        + hooks
        + b"tR"
    )


def state(*items: bytes) -> bytes:
    """A pickled dictionary whose values are the given pieces."""
    pairs = b"".join(text(f"w{i}") + item for i, item in enumerate(items))
    return b"\x80\x02}(" + pairs + b"u."


def reduce(module: str, name: str, argument: bytes) -> bytes:
    return zipped(state(g(module, name) + b"(" + argument + b"tR"))


class Payload:
    """Pickles to a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def pickled(payload: object, protocol: int = 2) -> bytes:
    return pickle.dumps({"weight": payload}, protocol)


def deep(opener: bytes, count: int, closer: bytes) -> bytes:
    return b"\x80\x02" + opener * count + closer * count + b"."


GOOD = zipped(state(tensor()))


def with_names(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", state(tensor()))
        archive.writestr("archive/data/0", bytes(24))
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


def overlapping() -> bytes:
    raw = bytearray(
        zipped(state(tensor(), tensor(storage=storage(6, "1"))), {"data/0": bytes(24), "data/1": bytes(24)})
    )
    first = raw.find(b"PK\x01\x02", raw.rfind(b"data/0") - 60)
    offset = struct.unpack_from("<I", raw, first + 42)[0]
    second = raw.find(b"PK\x01\x02", raw.rfind(b"data/1") - 60)
    struct.pack_into("<I", raw, second + 42, offset)
    return bytes(raw)


def flipped() -> bytes:
    raw = bytearray(GOOD)
    raw[raw.find(b"\0" * 24) + 5] ^= 8
    return bytes(raw)


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def st(shape: list[object], offsets: list[object], data: bytes = bytes(24), kind: object = "F32") -> bytes:
    return safetensors({"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}}, data)


HOSTILE: dict[str, bytes] = {
    "os.system": zipped(pickled(Payload(os.system, "touch executed"))),
    "posix.system protocol 4": zipped(pickled(Payload(os.system, "touch executed"), 4)),
    "builtins.eval": zipped(pickled(Payload(eval, "open('executed', 'w')"))),
    "builtins.exec protocol 0": zipped(pickled(Payload(exec, "open('executed', 'w')"), 0)),
    "builtins.getattr": zipped(pickled(Payload(getattr, {}, "clear"))),
    "builtins.open": reduce("builtins", "open", text("executed") + text("w")),
    "__builtin__.apply": reduce("__builtin__", "apply", text("x")),
    "subprocess.Popen": reduce("subprocess", "Popen", text("true")),
    "importlib": reduce("importlib", "import_module", text("antigravity")),
    "getattr chain": zipped(state(g("builtins", "getattr") + b"(" + g("os", "path") + text("x") + b"tR")),
    "dotted global": zipped(
        state(g("torch", "serialization.os.system") + b"(" + text("touch executed") + b"tR")
    ),
    "stack global": zipped(
        state(text("os") + text("system") + b"\x93" + b"(" + text("touch executed") + b"tR")
    ),
    "torch.load": reduce("torch", "load", text("other.pth")),
    "torch.hub.load": reduce("torch.hub", "load", text("a/b")),
    "torch._load_from_bytes": reduce("torch.storage", "_load_from_bytes", b"C\x01x"),
    "torch.jit.load": reduce("torch.jit", "load", text("x")),
    "numpy.load": reduce("numpy", "load", text("x")),
    "pickle.loads": reduce("pickle", "loads", b"C\x01."),
    "code object": reduce("types", "CodeType", b"K\x00"),
    "functools.partial": reduce("functools", "partial", g("os", "system")),
    "operator.attrgetter": reduce("operator", "attrgetter", text("__class__")),
    "whole module": zipped(b"\x80\x02" + g("torchvision.models.resnet", "ResNet") + b")\x81}b."),
    "INST opcode": zipped(b"\x80\x02(ios\nsystem\n."),
    "OBJ opcode": zipped(b"\x80\x02(" + g("collections", "OrderedDict") + b"o."),
    "extension registry": zipped(b"\x80\x02\x82\x01."),
    "persistent id of another kind": zipped(state(text("os.system") + b"Q")),
    "text persistent id": zipped(b"\x80\x02Pos.system\n."),
    "BUILD on a global": zipped(b"\x80\x02" + g("collections", "OrderedDict") + b"}b."),
    "BUILD on a list": zipped(b"\x80\x02]}b."),
    "rebuild by os.system": zipped(
        state(
            g("torch._tensor", "_rebuild_from_type_v2")
            + b"("
            + g("os", "system")
            + g("torch", "Tensor")
            + b"))tR"
        )
    ),
    "quantized tensor": zipped(state(g("torch._utils", "_rebuild_qtensor") + b")R")),
    "sparse tensor": zipped(state(g("torch._utils", "_rebuild_sparse_tensor") + b")R")),
    "call of a value": zipped(b"\x80\x02" + text("x") + b")R."),
    "legacy os.system": pickled(Payload(os.system, "touch executed")),
    "legacy magic then os.system": pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    + pickle.dumps(1001, 2)
    + pickle.dumps({"little_endian": True}, 2)
    + pickled(Payload(os.system, "touch executed")),
    "deep lists": zipped(deep(b"(", 300_000, b"l")),
    "deep tuple as a key": zipped(b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s."),
    "deep dictionaries": zipped(b"\x80\x02" + b"}" + b"X\x01\0\0\0a}" * 5000 + b"s" * 5000 + b"."),
    "dictionary in itself": zipped(b"\x80\x02}q\x00(X\x01\0\0\0ah\x00X\x01\0\0\0b" + tensor() + b"u."),
    "billion laughs": zipped(
        b"\x80\x02}q\x00X\x01\0\0\0w"
        + tensor()
        + b"s"
        + b"".join(b"}q%c(X\x01\0\0\0ah%cX\x01\0\0\0bh%cu" % (i + 1, i, i) for i in range(50))
        + b"."
    ),
    "memo far away": zipped(b"\x80\x02}r\xff\xff\xff\x7fj\xfe\xff\xff\x7f."),
    "huge text length": zipped(b"\x80\x02X\xff\xff\xff\xff."),
    "huge bytes length": zipped(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."),
    "huge number": zipped(b"\x80\x02L" + b"9" * 100_000 + b"L\n."),
    "stack underflow": zipped(b"\x80\x02R."),
    "no mark": zipped(b"\x80\x02t."),
    "no end": zipped(b"\x80\x02}"),
    "protocol 9": zipped(b"\x80\x09}."),
    "shape beyond storage": zipped(state(tensor((2, 4)))),
    "shape of 2**60": zipped(state(tensor((1 << 60,), (0,)))),
    "shape times shape": zipped(state(tensor((1 << 40, 1 << 40), (0, 0)))),
    "shape of 2**63": zipped(state(tensor((1 << 63,), (1,)))),
    "negative shape": zipped(state(tensor((-2, -3)))),
    "negative stride": zipped(state(tensor((2, 3), (-3, 1)))),
    "negative offset": zipped(state(tensor(start=-1))),
    "stride of 2**61": zipped(state(tensor((2, 3), (1 << 61, 1)))),
    "offset beyond storage": zipped(state(tensor((0,), (1,), 1 << 40))),
    "more strides than sizes": zipped(state(tensor((2,), (3, 1)))),
    "many axes": zipped(state(tensor((1,) * 100, (1,) * 100))),
    "storage larger than member": zipped(state(tensor(storage=storage(1 << 50)))),
    "storage smaller than member": zipped(state(tensor(storage=storage(5)))),
    "storage key leaves archive": zipped(state(tensor(storage=storage(6, "../../etc/passwd")))),
    "storage key missing": zipped(state(tensor(storage=storage(6, "7")))),
    "unknown storage type": zipped(state(tensor(storage=storage(6, kind="EvilStorage")))),
    "path traversal": with_names("archive/../../../tmp/executed"),
    "absolute member": with_names("/tmp/executed"),
    "windows member": with_names("C:\\executed"),
    "two archives": with_names("other/data.pkl"),
    "deflated bomb": zipped(state(tensor()), {"data/0": bytes(1 << 22)}, compression=zipfile.ZIP_DEFLATED),
    "nested archive": zipped(zipped(state(tensor()))),
    "overlapping members": overlapping(),
    "flipped bit in values": flipped(),
    "flipped bit in pickle": GOOD.replace(b"w0", b"w1", 1),
    "truncated": GOOD[: len(GOOD) // 2],
    "end cut off": GOOD[:-1],
    "front cut off": GOOD[100:],
    "garbage after": GOOD + b"x" * 70_000,
    "empty": b"",
    "one byte": b"P",
    "text": b"epoch,loss\n1,0.5\n",
    "html": b"<!DOCTYPE html><html>404</html>",
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
    "no directory": b"PK\x03\x04" + bytes(60),
    "plain zip": with_names().replace(b"data.pkl", b"read.txt"),
    "big endian": zipped(state(tensor())).replace(b"little", b"big   "),
    "pickled list": zipped(b"\x80\x02]."),
    "no tensors": zipped(b"\x80\x02}X\x01\0\0\0aK\x01s."),
    "tar": bytes(257) + b"ustar" + bytes(300),
    "st: header beyond file": safetensors({}, length=1 << 60),
    "st: header of 200 MB": safetensors(b"{" + b" " * 100 + b"}", length=200 << 20),
    "st: not JSON": safetensors(b"{nope}"),
    "st: deep JSON": safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "st: twice": safetensors(
        b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        b'"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
    ),
    "st: beyond file": st([1 << 50], [0, 1 << 52]),
    "st: offsets disagree": st([6], [0, 20]),
    "st: negative": st([-6], [0, -24]),
    "st: float sizes": st([6.0], [0, 24]),
    "st: text sizes": st(["6"], [0, 24]),
    "st: hole": st([5], [4, 24]),
    "st: trailing bytes": st([6], [0, 24], bytes(25)),
    "st: unknown type": st([6], [0, 24], kind="Q32"),
    "st: list type": st([6], [0, 24], kind=["F32"]),
    "st: metadata": safetensors({"__metadata__": {"a": 1}}),
    "st: no object": safetensors({"w": [1]}),
    "ckpt: length beyond file": b"\x0a\xff\xff\xff\xff\x0f\x0a\x01w",
    "ckpt: endless varint": b"\x0a" + b"\xff" * 8 + b"\x01\x0a" + b"\xff" * 40,
    "ckpt: no content": b"\x0a\x0e\x0a\x01w\x12\x09\x12\x07Float32",
    "ckpt: unknown type": b"\x0a\x15\x0a\x01w\x12\x10\x12\x08Evil\0\0\0\0\x1a\x04\0\0\0\0",
    "ckpt: huge dims": b"\x0a\x1b\x0a\x01w\x12\x16\x08\xff\xff\xff\xff\xff\x3f\x12\x07Float32\x1a\x04\0\0\0\0",
}


def convert(source: Path, destination: Path) -> None:
    convert_weights(source, destination, rows=ROWS, side="mindspore")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "model.pth"
    source.write_bytes(HOSTILE[name])
    with pytest.raises(InputError) as caught:
        convert(source, tmp_path / "out.ckpt")
    message = caught.value.args[0]
    assert "model.pth" in message and "\n" not in message and len(message) < 400
    assert os.listdir(tmp_path) == ["model.pth"]


def test_good_file_of_these_pieces_converts(tmp_path: Path) -> None:
    source = tmp_path / "model.pth"
    source.write_bytes(GOOD)
    convert(source, tmp_path / "out.ckpt")
    assert (tmp_path / "out.ckpt").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"weight_map": {"a": "../model.safetensors"}},
        {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": "missing.safetensors"}},
        {"weight_map": {"a": "x.index.json"}},
        {"weight_map": {"a": 3}},
        {"weight_map": {"a": ["x"]}},
        {"weight_map": []},
        {"weight_map": {}},
        {},
        [],
        "text",
    ],
)
def test_hostile_index_is_refused(content: object, tmp_path: Path) -> None:
    source = tmp_path / "x.index.json"
    source.write_text(json.dumps(content))
    with pytest.raises(InputError):
        convert(source, tmp_path / "out.ckpt")


def entries() -> dict[str, Entry]:
    f32, i64 = DTYPES["float32"], DTYPES["int64"]
    return {
        "conv.weight": Entry(f32, (2, 3, 1, 1), constant=b"\0\0\x80?"),
        "conv.bias": Entry(f32, (2,), constant=b"\0\0\0@"),
        "bn.weight": Entry(f32, (2,), constant=b"\0\0\x80?"),
        "bn.running_mean": Entry(f32, (2,), constant=b"\0\0\x80?"),
        "bn.num_batches_tracked": Entry(i64, (), constant=bytes(8)),
    }


def written(kind: str, path: Path) -> bytes:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    sink = Sink(descriptor)
    if kind == "ckpt":
        write_ckpt(sink, entries())
    elif kind == "safetensors":
        write_safetensors(sink, entries(), {})
    else:
        write_torch(sink, entries(), "archive")
    sink.finish()
    os.close(descriptor)
    return path.read_bytes()


def mutate(raw: bytes, rng: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + rng.randrange(1, 64)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 16))
        else:
            data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"))
        if not data:
            break
    return bytes(data)


def fuzz(kind: str, count: int, folder: Path, seed: int) -> int:
    """Mutated files are refused, or mean the same as before; only for zip do checksums make that certain."""
    original = written(kind, folder / "good")
    rng = random.Random(seed)
    refused = 0
    path, out = folder / "model.pth", folder / "out.ckpt"
    for _ in range(count):
        path.write_bytes(mutate(original, rng))
        out.unlink(missing_ok=True)
        try:
            convert(path, out)
        except (InputError, WeightsError):
            refused += 1
            assert not out.exists()
            continue
        if kind == "torch":
            with open_checkpoint(out) as checkpoint:
                values = {name: b"".join(entry.chunks()) for name, entry in checkpoint.entries.items()}
            assert set(values.values()) == set(
                b"".join(e.chunks()) for n, e in entries().items() if "num" not in n
            )
    return refused


@pytest.mark.parametrize("kind", ["torch", "safetensors", "ckpt"])
def test_mutated_files_never_crash(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 150, tmp_path, 7) > 50


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch", "safetensors", "ckpt"])
def test_two_thousand_mutated_files(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 2000, tmp_path, 11) > 700


def test_truncation_at_every_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    for length in range(0, len(GOOD), 7):
        path.write_bytes(GOOD[:length])
        with pytest.raises(InputError):
            convert(path, tmp_path / "out.ckpt")


def test_checksum_of_values_is_checked(tmp_path: Path) -> None:
    assert zlib.crc32(bytes(24)) != zlib.crc32(bytes(23) + b"\1")
    path = tmp_path / "model.pth"
    path.write_bytes(HOSTILE["flipped bit in values"])
    with pytest.raises(InputError, match="checksum"):
        convert(path, tmp_path / "out.ckpt")
