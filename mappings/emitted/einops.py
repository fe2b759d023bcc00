"""The functions and layers of einops on reshape, transpose and reductions: einops has no MindSpore backend."""

from mindspore import nn, ops

from mappings.emitted.torch_einsum import einsum
from porter.pure import axis_groups


def rearrange(tensor, pattern, **axes_lengths):
    """einops.rearrange: a list of tensors is stacked along a new first axis."""
    return _einops(tensor, pattern, '', axes_lengths)


def repeat(tensor, pattern, **axes_lengths):
    """einops.repeat."""
    return _einops(tensor, pattern, '+', axes_lengths)


def reduce(tensor, pattern, reduction, **axes_lengths):
    """einops.reduce: reduction is 'mean', 'sum', 'max', 'min', 'prod', 'any', 'all', or a function of (tensor, axes)."""
    return _einops(tensor, pattern, reduction, axes_lengths)


def einops_einsum(*tensors_and_pattern):
    """einops.einsum: tensors, then a pattern whose axes have names of any length."""
    return einsum(_short_equation(tensors_and_pattern[-1]), *tensors_and_pattern[:-1])


def pack(tensors, pattern):
    """einops.pack: the axes at '*' flattened and joined; the second result is what unpack needs."""
    before, after = _star_place(pattern)
    flat, packed_shapes = [], []
    for tensor in tensors:
        shape = tensor.shape
        stop = len(shape) - after
        packed_shapes.append(shape[before:stop])
        flat.append(tensor.reshape(shape[:before] + (-1,) + shape[stop:]))
    return ops.cat(flat, before), packed_shapes


def unpack(tensor, packed_shapes, pattern):
    """einops.unpack: the inverse of pack; one length may be -1."""
    before, _ = _star_place(pattern)
    shape = tensor.shape
    sizes = _unpacked_sizes(tuple([tuple(s) for s in packed_shapes]), shape[before])
    parts = []
    for part, packed in zip(ops.split(tensor, sizes, before), packed_shapes):
        parts.append(part.reshape(shape[:before] + tuple(packed) + shape[before + 1:]))
    return parts


def parse_shape(x, pattern):
    """einops.parse_shape: the lengths of the named axes; '_' stands for an axis of no interest."""
    return {name: length for name, length in zip(pattern.split(), x.shape) if name != '_'}


class Rearrange(nn.Cell):
    """einops.layers.torch.Rearrange."""

    def __init__(self, pattern, **axes_lengths):
        super().__init__()
        self.pattern = pattern
        self.axes_lengths = axes_lengths

    def construct(self, input):
        return _einops(input, self.pattern, '', self.axes_lengths)


class Reduce(nn.Cell):
    """einops.layers.torch.Reduce."""

    def __init__(self, pattern, reduction, **axes_lengths):
        super().__init__()
        self.pattern = pattern
        self.reduction = reduction
        self.axes_lengths = axes_lengths

    def construct(self, input):
        return _einops(input, self.pattern, self.reduction, self.axes_lengths)


def _einops(tensor, pattern, reduction, axes_lengths):
    """Split axes, reduce, reorder, repeat and merge, as the pattern says; the reduction is '' for rearrange, '+' for repeat."""
    if isinstance(tensor, (list, tuple)):
        tensor = ops.stack(tensor)
    names, lengths = tuple(axes_lengths.keys()), tuple(axes_lengths.values())
    reduction = {'repeat': '+', 'rearrange': ''}.get(reduction, reduction) if isinstance(reduction, str) else reduction
    kind = reduction if reduction in ('', '+') else '-'
    split, dropped, order, added, tiled, merged = _einops_plan(pattern, kind, tensor.shape, names, lengths)
    if split != tensor.shape:
        tensor = tensor.reshape(split)
    if dropped:
        tensor = _einops_reduced(tensor, dropped, reduction)
    if order:
        tensor = ops.transpose(tensor, order)
    if added != tiled:
        tensor = ops.tile(tensor.reshape(added), tuple([new // old for new, old in zip(tiled, added)]))
    return tensor if tensor.shape == merged else tensor.reshape(merged)


def _einops_reduced(tensor, axes, reduction):
    if reduction == 'mean':
        return tensor.mean(axes)
    if reduction == 'sum':
        return tensor.sum(axes)
    if reduction == 'max':
        return ops.amax(tensor, axes)
    if reduction == 'min':
        return ops.amin(tensor, axes)
    if reduction == 'any':
        return tensor.any(axes)
    if reduction == 'all':
        return tensor.all(axes)
    if reduction == 'prod':
        for axis in axes[::-1]:
            tensor = ops.prod(tensor, axis)
        return tensor
    return reduction(tensor, axes)


@ops.constexpr
def _einops_plan(pattern, kind, shape, names, lengths):
    """Shape with all axes split, axes to reduce, order, shape with new axes of length 1, with their lengths, and merged."""
    left, right = [axis_groups(side) for side in pattern.split('->')]
    left, right = _einops_ellipsis(left, right, len(shape))
    if len(left) != len(shape):
        raise ValueError(f"einops: pattern '{pattern}' has {len(left)} axes on its left side, the tensor's shape is {shape}")
    sizes = dict(zip(names, lengths))
    for group, length in zip(left, shape):
        _einops_solve(group, length, sizes, pattern)
    source = [axis for group in left for axis in group]
    wanted = [axis for group in right for axis in group]
    sizes.update({axis: int(axis.partition('@')[0]) for axis in source + wanted if axis[0].isdigit()})
    missing = [axis for axis in wanted if axis not in source]
    dropped = [axis for axis in source if axis not in wanted]
    unknown = [axis for axis in missing if axis not in sizes]
    if unknown or (missing and kind != '+') or (dropped and kind != '-'):
        raise ValueError(f"einops: axes {unknown or missing or dropped} stand on one side only of '{pattern}'")
    kept = [axis for axis in source if axis in wanted]
    order = tuple([kept.index(axis) for axis in wanted if axis in kept])
    merged = []
    for group in right:
        length = 1
        for axis in group:
            length *= sizes[axis]
        merged.append(length)
    return (
        tuple([sizes[axis] for axis in source]),
        tuple([i for i, axis in enumerate(source) if axis in dropped]),
        () if order == tuple(range(len(order))) else order,
        tuple([1 if axis in missing else sizes[axis] for axis in wanted]),
        tuple([sizes[axis] for axis in wanted]),
        tuple(merged),
    )


def _einops_ellipsis(left, right, rank):
    """Both sides with the axes of '...' written out; numbers, which name no axis, are kept apart by their place."""
    extra = rank - len([group for group in left if group != '...'])
    between = [f'.{i}' for i in range(extra)]
    sides = []
    for mark, side in (('@', left), ('@@', right)):
        groups = []
        for group in side:
            if group == '...':
                groups += [[axis] for axis in between]
            else:
                groups.append([axis for name in group for axis in (between if name == '...' else [name])])
        numbered = [[f'{a}{mark}{i}.{j}' if a.isdigit() else a for j, a in enumerate(g)] for i, g in enumerate(groups)]
        sides.append(numbered)
    return sides


def _einops_solve(group, length, sizes, pattern):
    """Notes the lengths of the axes of one group, at most one of which is not known before."""
    known, unknown = 1, []
    for axis in group:
        if axis[0].isdigit():
            known *= int(axis.partition('@')[0])
        elif axis in sizes:
            known *= sizes[axis]
        else:
            unknown.append(axis)
    if len(unknown) > 1 or length % max(known, 1) or (not unknown and known != length):
        raise ValueError(f"einops: length {length} does not fit ({' '.join(group)}) of '{pattern}'")
    for axis in unknown:
        sizes[axis] = length // known


@ops.constexpr
def _short_equation(pattern):
    """'batch i d, batch j d -> batch i j' as 'aij,akj->aik': one letter for each axis."""
    letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
    names, text = [], ''
    for word in pattern.replace('->', ' -> ').replace(',', ' , ').split():
        if word in ('->', ',', '...'):
            text += word
            continue
        if word not in names:
            names.append(word)
        text += letters[names.index(word)]
    return text


@ops.constexpr
def _star_place(pattern):
    """How many axes stand before and after '*'."""
    words = pattern.split()
    return words.index('*'), len(words) - words.index('*') - 1


@ops.constexpr
def _unpacked_sizes(packed_shapes, length):
    """How much of the packed axis each part has."""
    sizes = []
    for shape in packed_shapes:
        size = 1
        for side in shape:
            size *= side
        sizes.append(size)
    total = sum([size for size in sizes if size >= 0])
    return tuple([(length - total if size < 0 else size) for size in sizes])
