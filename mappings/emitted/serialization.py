"""Checkpoints: torch.save and torch.load in MindSpore's own format; export of networks."""

import contextlib
import io
import json
import os
import pickle
import shutil
import tempfile
import zipfile

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

STRUCTURE = "structure"


def save(obj, f, pickle_module=None, pickle_protocol=2, _use_new_zipfile_serialization=True, _disable_byteorder_record=False):
    """torch.save: a MindSpore checkpoint under any file name.

    A state dict is written under its own names, as mindspore.save_checkpoint does; other nested dicts, lists and
    numbers are described by one more entry, called "structure". What holds a whole network is pickled.
    """
    tensors = {}
    try:
        structure = packed(obj, "", tensors)
    except TypeError:
        pickled(obj, f)
        return
    plain = isinstance(obj, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items())
    text = {} if plain else {STRUCTURE: json.dumps(structure)}
    entries = [{"name": name, "data": value} for name, value in tensors.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "saved.ckpt")
        mindspore.save_checkpoint(entries or [{"name": "empty", "data": Tensor(0)}], path, append_dict=text)
        if hasattr(f, "write"):
            with open(path, "rb") as written:
                shutil.copyfileobj(written, f)
        else:
            shutil.copyfile(path, os.fspath(f) + ".part")
            os.replace(os.fspath(f) + ".part", f)


class NetworkPickler(pickle.Pickler):
    """Pickles cells, their parameters as arrays and their primitives as the arguments that made them."""

    def reducer_override(self, obj):
        if isinstance(obj, ops.Primitive):
            arguments = {k: v for k, v in getattr(obj, "init_attrs", {}).items() if k != "name"}
            return made, (type(obj), arguments)
        if isinstance(obj, Parameter):
            return made, (Parameter, {"default_input": Tensor(obj.asnumpy()), "name": obj.name, "requires_grad": obj.requires_grad})
        if isinstance(obj, Tensor):
            return made, (Tensor, {"input_data": obj.asnumpy()})
        return NotImplemented


def made(kind, arguments):
    """An object from the arguments that it was made with."""
    return kind(**arguments)


def pickled(obj, f):
    """Writes a pickle to a path or an open file."""
    if hasattr(f, "write"):
        NetworkPickler(f).dump(obj)
        return
    with open(os.fspath(f) + ".part", "wb") as file:
        NetworkPickler(file).dump(obj)
    os.replace(os.fspath(f) + ".part", f)


def safe_globals(safe_globals):
    """torch.serialization.safe_globals: `load` asks for no list of types."""
    return contextlib.nullcontext()


def packed(value, path, tensors):
    """What json can hold of a value; its tensors go into `tensors` by their path."""
    if isinstance(value, nn.Cell):
        raise TypeError("a whole network has no place in a checkpoint")
    if isinstance(value, (Tensor, np.ndarray)):
        name = path or "tensor"
        tensors[name] = value if isinstance(value, Tensor) else Tensor(value)
        return {"tensor": name, "numpy": isinstance(value, np.ndarray)}
    if isinstance(value, dict):
        return {"dict": [[packed_key(k), packed(v, f"{path}.{k}" if path else str(k), tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [packed(v, f"{path}.{i}" if path else str(i), tensors) for i, v in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    if hasattr(value, "__dict__") and type(value).__name__ == "Namespace":
        return {"namespace": packed(vars(value), path, tensors)}
    raise TypeError(f"cannot save {type(value).__name__} at {path or 'the top'}: tensors, numbers, strings, dicts and lists only")


def packed_key(key):
    """Keys of dicts are strings or numbers."""
    if key is None or isinstance(key, (bool, int, float, str)):
        return key
    raise TypeError(f"cannot save a dict with the key {key!r}")


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, **pickle_load_args):
    """torch.load of what `save` or mindspore.save_checkpoint wrote, under any file name, and of data that torch wrote.

    A pickled network runs code of the file: load only those that you trust. A state dict that torch wrote has torch's
    names: `porter weights` converts it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither a MindSpore checkpoint nor a file of torch with tensors, arrays, numbers and containers.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "saved.ckpt")
        if hasattr(f, "read"):
            with open(path, "wb") as copy:
                shutil.copyfileobj(f, copy)
        elif not os.path.isfile(f):
            raise FileNotFoundError(f"no checkpoint at {os.fspath(f)}")
        else:
            os.symlink(os.path.abspath(f), path)
        with open(path, "rb") as copy:
            if copy.read(1) == pickle.PROTO:
                copy.seek(0)
                found = pickle.load(copy)
                if found == TORCH_MAGIC:
                    raise ValueError("a file in the format of torch before 1.6: save it anew with a later torch")
                return found
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return TorchFile(archive).load()
        tensors = mindspore.load_checkpoint(path)
    structure = tensors.pop(STRUCTURE, None)
    if structure is None:
        return dict(tensors)
    return unpacked(json.loads(str(structure)), tensors)


class TorchFile(pickle.Unpickler):
    """What torch.save wrote, as MindSpore tensors; of classes it makes only arrays and containers, so no code is run."""

    def __init__(self, archive):
        self.archive = archive
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        self.folder = name.removesuffix("data.pkl")
        super().__init__(io.BytesIO(archive.read(name)))

    def find_class(self, module, name):
        if module == "torch._utils" and name in TORCH_REBUILDERS:
            return TORCH_REBUILDERS[name]
        if module == "torch" and name in TORCH_STORAGES:
            return TORCH_STORAGES[name]
        package = module.replace("numpy._core", "numpy.core")
        if (package, name) in TORCH_SAFE:
            return super().find_class(package, name)
        raise ValueError(f"the file holds {module}.{name}, which is neither a tensor nor a container")

    def persistent_load(self, pid):
        _, dtype, key, _, _ = pid
        return np.frombuffer(self.archive.read(f"{self.folder}data/{key}"), dtype)


def rebuilt_tensor(storage, offset, size, stride, requires_grad=False, backward_hooks=None, metadata=None):
    """A tensor from its place in a storage."""
    steps = [n * storage.itemsize for n in stride]
    array = np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()
    if storage.dtype == np.dtype("V2"):
        return Tensor((array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)).astype(mindspore.bfloat16)
    return Tensor(array)


def rebuilt_parameter(data, requires_grad, backward_hooks):
    """A parameter is read as its tensor."""
    return data


TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_REBUILDERS = {"_rebuild_tensor_v2": rebuilt_tensor, "_rebuild_parameter": rebuilt_parameter}
TORCH_STORAGES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16, "BFloat16Storage": np.dtype("V2"),
    "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16, "CharStorage": np.int8,
    "ByteStorage": np.uint8, "BoolStorage": np.bool_, "ComplexFloatStorage": np.complex64,
}  # fmt: skip
TORCH_SAFE = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "scalar"), ("numpy", "ndarray"), ("numpy", "dtype"),
    ("collections", "OrderedDict"), ("argparse", "Namespace"), ("_codecs", "encode"),
}  # fmt: skip


def unpacked(structure, tensors):
    """The value that `packed` described."""
    (kind, value), *rest = structure.items()
    if kind == "tensor":
        found = Tensor(tensors[value].asnumpy()) if structure["numpy"] else tensors[value]
        return found.asnumpy() if structure["numpy"] else found
    if kind == "dict":
        return {key: unpacked(item, tensors) for key, item in value}
    if kind == "namespace":
        import argparse

        return argparse.Namespace(**unpacked(value, tensors))
    if kind in ("list", "tuple"):
        items = [unpacked(item, tensors) for item in value]
        return items if kind == "list" else tuple(items)
    return value


def load_state_dict(self, state_dict, strict=True, assign=False):
    """torch.nn.Module.load_state_dict: raises RuntimeError for missing, unexpected or wrongly shaped entries."""
    own = self.parameters_dict()
    missing = [name for name in own if name not in state_dict]
    unexpected = [name for name in state_dict if name not in own]
    shapes = [n for n, v in state_dict.items() if n in own and tuple(own[n].shape) != tuple(v.shape)]
    if shapes or (strict and (missing or unexpected)):
        raise RuntimeError(f"Error(s) in loading state_dict: missing {missing}, unexpected {unexpected}, wrong shape {shapes}")
    values = {n: v if isinstance(v, Parameter) else Parameter(v, name=n) for n, v in state_dict.items() if n in own}
    mindspore.load_param_into_net(self, values)
    return missing, unexpected


def export_network(model, args, f, input_names=None, output_names=None, file_format="ONNX"):
    """Writes a network for inputs of given shapes, as mindspore.export does, under exactly the given file name."""
    inputs = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    training = model.training
    model.set_train(False)
    with tempfile.TemporaryDirectory() as folder:
        mindspore.export(model, *inputs, file_name=os.path.join(folder, "network"), file_format=file_format)
        (written,) = os.listdir(folder)
        with open(os.path.join(folder, written), "rb") as file:
            data = file.read()
    with open(os.fspath(f), "wb") as file:
        named = file_format == "ONNX" and (input_names or output_names)
        file.write(onnx_with_names(data, input_names or (), output_names or ()) if named else data)
    model.set_train(training)


def onnx_with_names(model, input_names, output_names):
    """A serialized ONNX model whose inputs and outputs have other names, in their order (onnx.proto3 has the field numbers)."""
    graph = next(value for number, value in protobuf_fields(model) if number == 7)
    parts = list(protobuf_fields(graph))

    def name_in(message, field=1):
        return next(bytes(value) for number, value in protobuf_fields(message) if number == field)

    weights = {name_in(value, 8) for number, value in parts if number == 5}
    inputs = [name for number, value in parts if number == 11 and (name := name_in(value)) not in weights]
    outputs = [name_in(value) for number, value in parts if number == 12]
    wanted = [name.encode() for name in (*input_names, *output_names)]
    given = {**dict(zip(inputs, wanted)), **dict(zip(outputs, wanted[len(input_names) :]))}
    inner = {value for number, part in parts if number == 1 for field, value in protobuf_fields(part) if field in (1, 2)}
    for name in (inner | weights) - given.keys():
        if name in given.values():  # a value inside of the network has the name already
            given[name] = name + b"_inner"

    def renamed(message, fields):
        kept = ((number, given.get(value, value) if number in fields else value) for number, value in protobuf_fields(message))
        return b"".join(protobuf_field(number, value) for number, value in kept)

    fields = {1: (1, 2), 5: (8,), 11: (1,), 12: (1,), 13: (1,)}
    body = b"".join(protobuf_field(n, renamed(v, fields[n]) if n in fields else v) for n, v in parts)
    return b"".join(protobuf_field(n, body if n == 7 else v) for n, v in protobuf_fields(model))


def protobuf_fields(message):
    """Number and value of each field: bytes, an integer, or the bytes of a fixed number after its wire type."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
            continue
        length = varint() if wire == 2 else {1: 8, 5: 4}[wire]
        value = message[at : at + length]
        at += length
        yield number, value if wire == 2 else (wire, value)


def protobuf_field(number, value):
    """A field as it is written."""

    def varint(value):
        written = b""
        while value > 127:
            written, value = written + bytes([value & 127 | 128]), value >> 7
        return written + bytes([value])

    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    if isinstance(value, tuple):
        return varint(number * 8 + value[0]) + value[1]
    return varint(number * 8 + 2) + varint(len(value)) + value


class TracedNetwork(nn.Cell):
    """torch.jit.trace: a network with the inputs that it is to be exported for; called, it is the network itself."""

    def __init__(self, network, inputs):
        super().__init__(auto_prefix=False)
        self.network = network
        self.traced_in_training = isinstance(network, nn.Cell) and network.training
        self.inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)

    def construct(self, *inputs):
        return self.network(*inputs)

    def save(self, f, _extra_files=None):
        """Writes the network as MINDIR."""
        jit_save(self, f)


def jit_trace(func, example_inputs=None, optimize=None, check_trace=True, check_inputs=None, check_tolerance=1e-5, strict=True):
    """torch.jit.trace: remembers the inputs; MindSpore compiles when the network is exported."""
    return TracedNetwork(func, example_inputs)


def jit_save(m, f, _extra_files=None):
    """torch.jit.save: the traced network as MINDIR.

    Raises:
        TypeError: the network was not traced, so that the shapes of its inputs are not known.
        ValueError: it was traced in training mode, which torch keeps and MindSpore's export does not.
    """
    if not isinstance(m, TracedNetwork) or any(i is None for i in m.inputs):
        raise TypeError("torch.jit.save needs a traced network: MindSpore exports for inputs of known shapes")
    if m.traced_in_training:
        raise ValueError("MindSpore exports a network for evaluation: call set_train(False) before it is traced")
    export_network(m.network, m.inputs, f, file_format="MINDIR")


def jit_load(f, map_location=None, _extra_files=None, _restore_shapes=False):
    """torch.jit.load: the network of a MINDIR file as a Cell."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.mindir")
        os.symlink(os.path.abspath(f), path)
        return nn.GraphCell(mindspore.load(path))
