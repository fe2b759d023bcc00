"""Methods of torch.nn.Module that a Cell does not have, or has with another meaning."""

import mindspore
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mappings.emitted.torch_pointwise import tanh


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
                name = torch_member(cell, name)
                found.append((f"{path}.{name}" if path else name, tensor))
    return found


def torch_member(cell, name):
    """What torch calls a parameter of a layer: scripts choose parameters by names such as bias and weight."""
    if isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)):
        names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
        return names.get(name, name)
    if (isinstance(cell, nn.Embedding) and name == "embedding_table") or (isinstance(cell, nn.PReLU) and name == "w"):
        return "weight"
    return name


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


def module_requires_grad_(self, requires_grad=True):
    """torch.nn.Module.requires_grad_: freezes or frees every parameter, and returns the cell."""
    for parameter in module_parameters(self):
        parameter.requires_grad = requires_grad
    return self


def parameter_requires_grad_(self, requires_grad=True):
    """torch.nn.Parameter.requires_grad_: whether gradients are taken of a parameter, and optimizers move it."""
    self.requires_grad = requires_grad
    return self


def module_get_parameter(self, target):
    """torch.nn.Module.get_parameter: the parameter at a dotted path."""
    path, _, name = target.rpartition(".")
    return self.get_sub_cell(path)._params[name]


def module_to(self, device=None, dtype=None, non_blocking=False, memory_format=None):
    """torch.nn.Module.to: floating-point parameters and buffers in another dtype; devices mean nothing here."""
    if dtype is None and isinstance(device, mstype.Type):
        dtype = device
    if dtype is None and isinstance(device, Tensor):
        dtype = device.dtype
    return self if dtype is None else cast_module(self, dtype)


def cast_module(self, dtype):
    """torch.nn.Module.to with a dtype; layers whose MindSpore kernel is right in float32 only take plain operations.

    Raises TypeError for a layer of a float64 network that would silently compute in float32.
    """
    for name, cell in self.cells_and_names():
        if dtype == mindspore.float64 and loses_float64(cell):
            raise TypeError(f"{name or 'the network'} ({type(cell).__name__}) has no float64 kernel in MindSpore: keep the network in float32")
        if isinstance(cell, nn.LSTM) and dtype != mindspore.float32:
            cell.rnn = LSTMSteps()
        if isinstance(cell, nn.LayerNorm) and dtype == mindspore.float64:
            cell.layer_norm = LayerNormSteps(cell.begin_norm_axis, cell.epsilon)
    return self.to(dtype)


def loses_float64(cell):
    """Whether the CPU kernel of a layer takes float64 and computes in float32 (others say that they do not take it)."""
    layers = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
    return mindspore.get_context("device_target") == "CPU" and isinstance(cell, layers)


class LSTMSteps(nn.Cell):
    """One layer and direction of nn.LSTM, step by step: the CPU kernel's gradients are wrong in other dtypes than float32."""

    def construct(self, x, h_0, seq_length, w_ih, w_hh, b_ih, b_hh):
        hidden, state = h_0
        outputs = []
        for t in range(x.shape[0]):
            gates = ops.matmul(x[t], w_ih.T) + ops.matmul(hidden, w_hh.T)
            if b_ih is not None:
                gates = gates + b_ih + b_hh
            enter, forget, candidate, leave = ops.split(gates, gates.shape[1] // 4, 1)
            new_state = ops.sigmoid(forget) * state + ops.sigmoid(enter) * tanh(candidate)
            new_hidden = ops.sigmoid(leave) * tanh(new_state)
            if seq_length is not None:
                runs = (seq_length > t).expand_dims(1)
                outputs.append(ops.where(runs, new_hidden, ops.zeros_like(new_hidden)))
                hidden, state = ops.where(runs, new_hidden, hidden), ops.where(runs, new_state, state)
            else:
                outputs.append(new_hidden)
                hidden, state = new_hidden, new_state
        return ops.stack(outputs), (hidden, state)


class LayerNormSteps(nn.Cell):
    """ops.LayerNorm in float64, whose CPU kernel computes in float32."""

    def __init__(self, begin_norm_axis, epsilon):
        super().__init__()
        self.begin_norm_axis = begin_norm_axis
        self.epsilon = epsilon

    def construct(self, x, gamma, beta):
        first = self.begin_norm_axis if self.begin_norm_axis >= 0 else x.ndim + self.begin_norm_axis
        return layer_norm_by_steps(x, gamma, beta, first, self.epsilon), None, None


def layer_norm_by_steps(x, gamma, beta, begin, epsilon):
    """ops.LayerNorm by plain operations, which keep float64."""
    axes = tuple(range(begin, x.ndim))
    epsilon = Tensor(epsilon, x.dtype)  # a Python number would be rounded to float32
    centred = x - x.mean(axes, True)
    return centred / ops.sqrt(ops.square(centred).mean(axes, True) + epsilon) * gamma + beta


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
