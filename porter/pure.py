"""Pure functions over Python numbers and tuples that a row's right side may call."""

from __future__ import annotations

from typing import Any


def as_tuple(value: Any) -> Any:
    """A list as the tuple that MindSpore wants; anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value


def spread(value: Any, count: int) -> tuple[Any, ...]:
    """torch's int-or-tuple argument as one entry for each of `count` axes: spread(3, 2) == (3, 3)."""
    if isinstance(value, (list, tuple)):
        return tuple(value) * count if len(value) == 1 else tuple(value)
    return (value,) * count


def pad_pairs(padding: Any) -> Any:
    """torch's symmetric padding as MindSpore's (begin, end) pairs: 1 stays 1, (1, 2) is (1, 1, 2, 2), (1, 1) is 1."""
    if not isinstance(padding, (list, tuple)):
        return padding
    if len(set(padding)) == 1:
        return padding[0]
    return tuple(side for size in padding for side in (size, size))


def conv_pads(padding: Any, kernel_size: Any, dilation: Any, ndim: int) -> Any:
    """torch's convolution padding (number, tuple, 'same' or 'valid') as MindSpore's int or (begin, end) pairs."""
    if padding == "valid":
        return 0
    if padding != "same":
        return pad_pairs(padding)
    totals = [d * (k - 1) for k, d in zip(spread(kernel_size, ndim), spread(dilation, ndim))]
    pairs = tuple(side for total in totals for side in (total // 2, total - total // 2))
    return pairs[0] if len(set(pairs)) == 1 else pairs


def torch_padding(padding: Any) -> Any:
    """MindSpore's convolution padding read as torch's: (1, 1, 2, 2) is (1, 2); what is torch's already stays."""
    if isinstance(padding, int):
        return (padding, padding)
    return tuple(padding[::2]) if len(padding) in (4, 6) else padding


def reversed_pads(pads: Any, ndim: int) -> tuple[int, ...]:
    """(begin, end) pairs, first axis first, in the order of torch's pad: last axis first."""
    pairs = (pads,) * (2 * ndim) if isinstance(pads, int) else tuple(pads)
    return tuple(side for axis in range(ndim - 1, -1, -1) for side in pairs[2 * axis : 2 * axis + 2])


def windows_equal(output_size: Any, in_hw: Any) -> bool:
    """Whether adaptive pooling's windows are those of a pool with pool_kernel and pool_stride, on both axes."""
    sizes = zip(spread(output_size, 2), in_hw)
    return all(_same_windows(size if out is None else out, size) for out, size in sizes)


def _same_windows(out: int, size: int) -> bool:
    if not 0 < out <= size:
        return False
    stride = size // out
    kernel = size - (out - 1) * stride
    return all(
        (i * size // out, -(-(i + 1) * size // out)) == (i * stride, i * stride + kernel) for i in range(out)
    )


def pool_stride(output_size: Any, in_hw: Any) -> tuple[int, ...]:
    """The stride of the pool that replaces an adaptive one: floor(in / out) on each axis."""
    return tuple(1 if out is None else size // out for out, size in zip(spread(output_size, 2), in_hw))


def pool_kernel(output_size: Any, in_hw: Any) -> tuple[int, ...]:
    """The kernel of the pool that replaces an adaptive one: in - (out - 1) * stride on each axis."""
    strides = pool_stride(output_size, in_hw)
    return tuple(
        1 if out is None else size - (out - 1) * step
        for out, size, step in zip(spread(output_size, 2), in_hw, strides)
    )


def axis_groups(side: str) -> list[Any]:
    """One side of an einops pattern: a list of axis names for each axis, none for '1' and '()', and '...' for an ellipsis."""
    groups: list[Any] = []
    inside = False
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word in ("(", ")"):
            inside = word == "("
            if inside:
                groups.append([])
        elif inside:
            groups[-1] += [] if word == "1" else [word]
        elif word == "...":
            groups.append(word)
        else:
            groups.append([] if word == "1" else [word])
    return groups
