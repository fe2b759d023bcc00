"""Methods of torch.nn.Module that a Cell does not have, or has with another meaning."""

from mindspore import Parameter
from mindspore import dtype as mstype


def register_buffer(self, name, tensor, persistent=True):
    """torch.nn.Module.register_buffer: a parameter that is not trained, so that checkpoints keep it.

    One that is not kept is a plain attribute: a buffer of nn.Cell cannot be assigned a tensor later.
    """
    self.__dict__.pop(name, None)
    if tensor is None or not persistent:
        setattr(self, name, tensor)
        self.plain_buffer_names = (*getattr(self, "plain_buffer_names", ()), name)
        return
    self.insert_param_to_cell(name, Parameter(tensor, name=name, requires_grad=False))
    self.buffer_names = (*getattr(self, "buffer_names", ()), name)


def is_module_buffer(cell, name):
    """Whether a parameter of a cell is what torch calls a buffer: registered as one, or a running statistic."""
    return name in getattr(cell, "buffer_names", ()) or name in ("moving_mean", "moving_variance")


def module_named_tensors(self, prefix, recurse, remove_duplicate, buffers):
    """Parameters, or buffers, of a cell and its children in torch's order, each with its dotted name."""
    found, seen = [], set()
    for path, cell in self.cells_and_names(name_prefix=prefix) if recurse else [(prefix, self)]:
        members = [(n, p) for n, p in cell._params.items() if is_module_buffer(cell, n) == buffers]
        if buffers:
            members += [*cell._buffers.items(), *((n, getattr(cell, n)) for n in getattr(cell, "plain_buffer_names", ()))]
        for name, tensor in members:
            if tensor is not None and not (remove_duplicate and id(tensor) in seen):
                seen.add(id(tensor))
                found.append((f"{path}.{name}" if path else name, tensor))
    return found


def module_named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
    """torch.nn.Module.named_parameters: frozen ones too, buffers not."""
    return iter(module_named_tensors(self, prefix, recurse, remove_duplicate, False))


def module_parameters(self, recurse=True):
    """torch.nn.Module.parameters: frozen ones too, buffers not."""
    return iter([p for _, p in module_named_tensors(self, "", recurse, True, False)])


def module_named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
    """torch.nn.Module.named_buffers: registered buffers and the statistics of normalization layers."""
    return iter(module_named_tensors(self, prefix, recurse, remove_duplicate, True))


def module_buffers(self, recurse=True):
    """torch.nn.Module.buffers: registered buffers and the statistics of normalization layers."""
    return iter([b for _, b in module_named_tensors(self, "", recurse, True, True)])


def module_buffer_dict(self):
    """torch.nn.Module._buffers, as a copy."""
    return dict(module_named_tensors(self, "", False, True, True))


def layer_parameter(layer, name):
    """The parameter that torch calls weight or bias, of a layer of any kind."""
    names = {"weight": ("weight", "gamma", "embedding_table", "w"), "bias": ("bias", "beta")}[name]
    return getattr(layer, next((n for n in names if hasattr(layer, n)), name))


def module_requires_grad_(self, requires_grad=True):
    """torch.nn.Module.requires_grad_: freezes or frees every parameter, and returns the cell."""
    for parameter in module_parameters(self):
        parameter.requires_grad = requires_grad
    return self


def module_get_parameter(self, target):
    """torch.nn.Module.get_parameter: the parameter at a dotted path."""
    path, _, name = target.rpartition(".")
    return self.get_sub_cell(path)._params[name]


def module_to(self, device=None, dtype=None, non_blocking=False, memory_format=None):
    """torch.nn.Module.to: floating-point parameters and buffers in another dtype; devices mean nothing here."""
    if dtype is None and isinstance(device, mstype.Type):
        dtype = device
    return self if dtype is None else self.to(dtype)


def layer_parameter(layer, name):
    """A parameter of any layer by torch's name: MindSpore calls the weight of a normalization gamma, of an embedding embedding_table."""
    own = {
        "weight": ("weight", "gamma", "embedding_table", "w"), "bias": ("bias", "beta"),
        "running_mean": ("running_mean", "moving_mean"), "running_var": ("running_var", "moving_variance"),
    }[name]  # fmt: skip
    layer = getattr(layer, "bn2d", layer)  # BatchNorm3d holds a BatchNorm2d
    for candidate in own:
        if hasattr(layer, candidate):
            return getattr(layer, candidate)
    raise AttributeError(f"{type(layer).__name__} has no {name}")
