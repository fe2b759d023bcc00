"""Functions of torch.nn.modules.utils."""


def single(x):
    """torch.nn.modules.utils._single."""
    return repeated(x, 1)


def pair(x):
    """torch.nn.modules.utils._pair."""
    return repeated(x, 2)


def triple(x):
    """torch.nn.modules.utils._triple."""
    return repeated(x, 3)


def quadruple(x):
    """torch.nn.modules.utils._quadruple."""
    return repeated(x, 4)


def repeated(x, count):
    """A sequence as a tuple; anything else `count` times."""
    return tuple(x) if isinstance(x, (tuple, list)) else (x,) * count
