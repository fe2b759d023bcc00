"""torch.einsum on transpose, reshape and matmul, since mindspore.ops.einsum has no CPU kernel."""

from mindspore import ops


def einsum(*args):
    """torch.einsum: an equation and tensors, '...' and repeated or missing indices included."""
    equation, operands = args[0].replace(' ', ''), args[1:]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    terms, output = _einsum_terms(equation, [operand.ndim for operand in operands])
    result, labels = _einsum_diagonal(operands[0], terms[0])
    for i in range(1, len(terms)):
        other, term = _einsum_diagonal(operands[i], terms[i])
        result, labels = _einsum_pair(result, labels, other, term, output + ''.join(terms[i + 1:]))
    axes = tuple([i for i, label in enumerate(labels) if label not in output])
    if axes:
        result = ops.sum(result, axes)
        labels = ''.join([label for label in labels if label in output])
    return result if labels == output else ops.transpose(result, tuple([labels.index(label) for label in output]))


def _einsum_terms(equation, ranks):
    """The labels of each operand and of the result, one letter for each axis; '...' becomes digits."""
    inputs, arrow, output = equation.partition('->')
    terms = inputs.split(',')
    widths = [rank - len(term.replace('...', '')) for term, rank in zip(terms, ranks)]
    width = max([w if '...' in term else 0 for term, w in zip(terms, widths)])
    if not arrow:
        letters = sorted(inputs.replace('...', '').replace(',', ''))
        output = ('...' if '...' in inputs else '') + ''.join([c for c in letters if letters.count(c) == 1])
    digits = '0123456789'[:width]
    expanded = [term.replace('...', digits[width - max(w, 0):]) for term, w in zip(terms, widths)]
    return expanded, output.replace('...', digits)


def _einsum_diagonal(operand, labels):
    """An operand whose repeated labels are replaced by the diagonal."""
    for label in labels:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            operand = ops.diagonal(operand, 0, first, second)
            labels = labels[:first] + labels[first + 1:second] + labels[second + 1:] + label
    return operand, labels


def _einsum_reduced(operand, labels, kept, other_shape, other_labels):
    """An operand without the axes that nothing else needs, nor those of length 1 that broadcast against the other."""
    axes = [axis for axis, label in enumerate(labels)
            if (label not in kept and label not in other_labels)
            or (label in other_labels and operand.shape[axis] == 1 and other_shape[other_labels.index(label)] != 1)]
    if not axes:
        return operand, labels
    return ops.sum(operand, tuple(axes)), ''.join([c for i, c in enumerate(labels) if i not in axes])


def _einsum_matrix(operand, labels, order, sizes):
    """The operand with its axes in the given order, as a batch of matrices."""
    permutation = tuple([labels.index(label) for label in order])
    if permutation != tuple(range(len(permutation))):
        operand = ops.transpose(operand, permutation)
    return operand.reshape(sizes)


def _einsum_pair(left, left_labels, right, right_labels, kept):
    """The product of two operands, summed over what neither the result nor a later operand needs."""
    left_shape, right_shape, right_before = left.shape, right.shape, right_labels
    right, right_labels = _einsum_reduced(right, right_labels, kept, left_shape, left_labels)
    left, left_labels = _einsum_reduced(left, left_labels, kept, right_shape, right_before)
    sizes = {}
    for labels, shape in ((left_labels, left.shape), (right_labels, right.shape)):
        for label, size in zip(labels, shape):
            sizes[label] = size
    shared = [c for c in left_labels if c in right_labels]
    batch = ''.join([c for c in shared if c in kept])
    inner = ''.join([c for c in shared if c not in kept])
    rows = ''.join([c for c in left_labels if c not in shared])
    columns = ''.join([c for c in right_labels if c not in shared])
    counts = []
    for labels in (batch, rows, inner, columns):
        count = 1
        for label in labels:
            count = count * sizes[label]
        counts.append(count)
    left = _einsum_matrix(left, left_labels, batch + rows + inner, (counts[0], counts[1], counts[2]))
    right = _einsum_matrix(right, right_labels, batch + inner + columns, (counts[0], counts[2], counts[3]))
    product = ops.matmul(left, right) if inner else left * right
    labels = batch + rows + columns
    return product.reshape(tuple([sizes[label] for label in labels])), labels
