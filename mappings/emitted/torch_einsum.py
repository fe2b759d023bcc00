"""torch.einsum on transpose, reshape and matmul, since mindspore.ops.einsum has no CPU kernel."""

from mindspore import ops


def einsum(*args):
    """torch.einsum: an equation and tensors, '...' and repeated or missing indices included."""
    equation, operands = args[0], args[1:]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    diagonals, steps, axes, order = _einsum_plan(equation, tuple([operand.shape for operand in operands]))
    result = _einsum_diagonal(operands[0], diagonals[0])
    for i, step in enumerate(steps):
        right = _einsum_diagonal(operands[i + 1], diagonals[i + 1])
        left_sum, right_sum, left_order, left_shape, right_order, right_shape, inner, shape = step
        left = _einsum_matrix(result, left_sum, left_order, left_shape)
        right = _einsum_matrix(right, right_sum, right_order, right_shape)
        result = (ops.matmul(left, right) if inner else left * right).reshape(shape)
    if axes:
        result = ops.sum(result, axes)
    return ops.transpose(result, order) if order else result


def _einsum_diagonal(operand, pairs):
    """The diagonal over each pair of axes that share a label; the diagonal's axis comes last."""
    for first, second in pairs:
        operand = ops.diagonal(operand, 0, first, second)
    return operand


def _einsum_matrix(operand, axes, order, shape):
    """The operand summed over axes that nothing else needs, as a batch of matrices."""
    if axes:
        operand = ops.sum(operand, axes)
    if order:
        operand = ops.transpose(operand, order)
    return operand.reshape(shape)


@ops.constexpr
def _einsum_plan(equation, shapes):
    """What to do with operands of these shapes: diagonals of each, one step for each further one, the last sum and order."""
    terms, output = _einsum_terms(equation, [len(shape) for shape in shapes])
    diagonals, operands = [], []
    for labels, shape in zip(terms, shapes):
        pairs, labels, shape = _einsum_pairs(labels, shape)
        diagonals.append(pairs)
        operands.append((labels, shape))
    steps = []
    labels, shape = operands[0]
    for i in range(1, len(operands)):
        kept = output + ''.join([term for term, _ in operands[i + 1:]])
        step, labels, shape = _einsum_step((labels, shape), operands[i], kept)
        steps.append(step)
    axes = tuple([i for i, label in enumerate(labels) if label not in output])
    labels = ''.join([label for label in labels if label in output])
    return tuple(diagonals), tuple(steps), axes, _einsum_order(labels, output)


def _einsum_terms(equation, ranks):
    """The labels of each operand and of the result, one for each axis; the axes of '...' are digits."""
    inputs, arrow, output = equation.replace(' ', '').partition('->')
    terms = inputs.split(',')
    widths = [rank - len(term.replace('...', '')) for term, rank in zip(terms, ranks)]
    width = max([w if '...' in term else 0 for term, w in zip(terms, widths)])
    if not arrow:
        letters = sorted(inputs.replace('...', '').replace(',', ''))
        output = ('...' if '...' in inputs else '') + ''.join([c for c in letters if letters.count(c) == 1])
    digits = '0123456789'[:width]
    expanded = [term.replace('...', digits[width - max(w, 0):]) for term, w in zip(terms, widths)]
    return expanded, output.replace('...', digits)


def _einsum_pairs(labels, shape):
    """Pairs of axes to take the diagonal of, and the labels and shape that remain."""
    pairs, shape = [], list(shape)
    for label in labels:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            pairs.append((first, second))
            shape = shape[:first] + shape[first + 1:second] + shape[second + 1:] + [shape[first]]
            labels = labels[:first] + labels[first + 1:second] + labels[second + 1:] + label
    return tuple(pairs), labels, tuple(shape)


def _einsum_order(labels, wanted):
    """The transposition from one order of labels to another, empty where there is nothing to do."""
    return () if labels == wanted else tuple([labels.index(label) for label in wanted])


def _einsum_summed(operand, other, kept):
    """Axes that nothing else needs, or of length 1 against a longer one of the other operand."""
    labels, shape = operand
    sizes = dict(zip(*other))
    return tuple([
        axis for axis, label in enumerate(labels)
        if (label not in kept and label not in sizes) or (shape[axis] == 1 and sizes.get(label, 1) != 1)
    ])


def _einsum_layout(operand, axes, wanted):
    """The axes to sum, and the order of the others; those of length 1 come first instead, as a sum of integers is int64."""
    labels, shape = operand
    single = ''.join([labels[axis] for axis in axes if shape[axis] == 1])
    axes = tuple([axis for axis in axes if shape[axis] != 1])
    remain = ''.join([label for axis, label in enumerate(labels) if axis not in axes])
    return axes, _einsum_order(remain, single + wanted)


def _einsum_step(left, right, kept):
    """How to multiply two operands, summed over what neither the result nor a later operand needs."""
    sums = (_einsum_summed(left, right, kept), _einsum_summed(right, left, kept))
    sizes, reduced = {}, []
    for (labels, shape), axes in zip((left, right), sums):
        remain = [i for i in range(len(labels)) if i not in axes]
        sizes.update({labels[i]: shape[i] for i in remain})
        reduced.append(''.join([labels[i] for i in remain]))
    batch = ''.join([c for c in reduced[0] if c in reduced[1] and c in kept])
    inner = ''.join([c for c in reduced[0] if c in reduced[1] and c not in kept])
    rows = ''.join([c for c in reduced[0] if c not in reduced[1]])
    columns = ''.join([c for c in reduced[1] if c not in reduced[0]])
    counts = []
    for labels in (batch, rows, inner, columns):
        count = 1
        for label in labels:
            count *= sizes[label]
        counts.append(count)
    left_axes, left_order = _einsum_layout(left, sums[0], batch + rows + inner)
    right_axes, right_order = _einsum_layout(right, sums[1], batch + inner + columns)
    step = (
        left_axes, right_axes,
        left_order, (counts[0], counts[1], counts[2]), right_order, (counts[0], counts[2], counts[3]),
        counts[2] != 1, tuple([sizes[label] for label in batch + rows + columns]),
    )
    return step, batch + rows + columns, step[-1]
