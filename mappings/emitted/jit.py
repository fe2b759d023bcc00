"""What stands for checks and switches of PyTorch's compilers."""


def torch_assert(condition, message):
    """torch._assert."""
    if not condition:
        raise AssertionError(message)
