"""MindSpore's promotion of dtypes in a torch run: but for products and quotients, what has no axes counts as if it had some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

RULE = "in MindSpore a tensor without axes takes part in the promotion of dtypes as one with axes"


class AxesForAll(TorchFunctionMode):  # type: ignore[misc]
    """Inputs of one sort and several dtypes, one of which has no axes, have the widest dtype before torch computes.

    torch itself lets a tensor without axes widen the sort (integers to floating numbers) and never the size; a number
    beside it counts for nothing in torch, and as an int64 or float32 here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.widened = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = (*args, *kwargs.values())
        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        dtypes = [t.dtype for t in tensors]
        if tensors and not any(t.ndim for t in tensors):
            dtypes += [torch.int64 if type(v) is int else torch.float32 for v in given if type(v) in (int, float)]
        widest = dtypes[0] if dtypes else None
        for dtype in dtypes[1:]:
            widest = torch.promote_types(widest, dtype)
        outdone = [t for t in tensors if not t.ndim] and any(d != widest and _sort(d) == _sort(widest) for d in dtypes)
        if outdone:
            self.widened = True
            args = tuple(a.to(widest) if isinstance(a, torch.Tensor) else a for a in args)
            kwargs = {n: a.to(widest) if isinstance(a, torch.Tensor) else a for n, a in kwargs.items()}
        return func(*args, **kwargs)


def _sort(dtype: torch.dtype | None) -> str:
    if dtype is None or dtype == torch.bool:
        return ""
    return "complex" if dtype.is_complex else "float" if dtype.is_floating_point else "integer"
