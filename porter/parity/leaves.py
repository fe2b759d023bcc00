"""What a call returned, of either framework, as named arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from porter.parity.compare import Comparison, Tensor, compare, missing

PLAIN = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class Observation:
    """One run: outputs by path, gradients by input or parameter, buffers after it; all names are torch's."""

    outputs: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    buffers: Mapping[str, Tensor] = field(default_factory=dict)


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and plain values of nested tuples, lists and dictionaries, each with its path such as `[0].mask`."""
    if isinstance(value, Mapping):
        for key in value:
            yield from flatten(value[key], f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from flatten(item, f"{path}[{index}]")
        if not value:
            yield path, ()
    else:
        yield path, value


def leaf(value: Any) -> Tensor:
    """A tensor of torch or MindSpore, an array or a plain value, with its dtype's common name."""
    if isinstance(value, np.ndarray):
        return Tensor(value, str(value.dtype))
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        return _torch_leaf(value)
    if hasattr(value, "asnumpy"):
        return _mindspore_leaf(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float | complex):
        return Tensor(np.asarray(value), type(value).__name__)
    return Tensor(np.asarray(str(value) if isinstance(value, PLAIN) else _name(value)), type_name(value))


def type_name(value: Any) -> str:
    if _is_dtype(value):
        return "dtype"
    return type(value).__name__ if isinstance(value, PLAIN) else "object"


def _is_dtype(value: Any) -> bool:
    return type(value).__name__ == "dtype" or (
        "mindspore" in type(value).__module__ and "typing" in type(value).__module__
    )


def _name(value: Any) -> str:
    """torch.float32 and mindspore.float32 are both `float32`."""
    text = str(value)
    return text.rpartition(".")[2].lower() if _is_dtype(value) else text


def _torch_leaf(value: Any) -> Tensor:
    dtype = str(value.dtype).removeprefix("torch.")
    value = value.detach().cpu()
    if value.layout is not _strided():
        value = value.to_dense()
    return Tensor((value.float() if dtype == "bfloat16" else value).numpy(force=True).copy(), dtype)


def _strided() -> Any:
    import torch

    return torch.strided


def _mindspore_leaf(value: Any) -> Tensor:
    import mindspore

    dtype = _name(value.dtype)
    if dtype == "bfloat16":
        value = value.astype(mindspore.float32)
    return Tensor(np.array(value.asnumpy()), dtype)


def outputs(value: Any) -> dict[str, Tensor]:
    """All leaves of a call's value by path; the value itself has the path ''."""
    return {path: leaf(item) for path, item in flatten(value)}


def weighting(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[Any]]:
    """The fixed weights of outputs whose sum is differentiated: cos(0), cos(1), ..."""
    weights: np.ndarray[Any, np.dtype[Any]] = np.cos(np.arange(int(np.prod(shape, dtype=np.int64))))
    return weights.reshape(shape)


def compare_named(
    what: str,
    reference: Mapping[str, Tensor],
    ported: Mapping[str, Tensor],
    *,
    rtol: float | None = None,
    loose_dtype: bool = False,
) -> list[Comparison]:
    """Compares two groups of named tensors: names that the ported side lacks fail."""
    found = []
    for name, tensor in reference.items():
        shown = f"{what} {name}".strip() if name else what
        if name in ported:
            found.append(compare(tensor, ported[name], name=shown, rtol=rtol, loose_dtype=loose_dtype))
        else:
            found.append(missing(shown))
    return found
