"""Idioms of published models: what becomes of them, and what is said where they have no MindSpore form."""

from __future__ import annotations

import pytest

from porter.convert import convert_source, convert_tree

NET = "import numpy as np\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\nclass Net(nn.Module):\n"


def body(lines: str, *, arguments: str = "x: torch.Tensor", method: str = "forward") -> tuple[str, tuple[str, ...]]:
    """The ported lines of one method, and the codes of what was said."""
    indented = "".join(f"        {line}\n" for line in lines.splitlines())
    ported = convert_source(f"{NET}    def {method}(self{', ' if arguments else ''}{arguments}):\n{indented}")
    text = ported.text.partition(f"def {'construct' if method == 'forward' else method}(")[2].partition(":\n")[2]
    return "\n".join(line[8:] for line in text.splitlines()), tuple(d.code for d in ported.diagnostics)


CASES = {
    "a number as a flag": ("self.a = nn.Linear(2, 3, 1)", "", "__init__", "self.a = nn.Dense(2, 3, has_bias=True)"),
    "a number as a keyword flag": ("self.a = nn.Linear(2, 3, bias=0)", "", "__init__", "self.a = nn.Dense(2, 3, has_bias=False)"),
    "a list of cells that grows": (
        "self.a = nn.ModuleList([])\nself.a.append(nn.ReLU())", "", "__init__",
        "self.a = ms_extras.ModuleList([])\nself.a.append(nn.ReLU())",
    ),
    "a list with an empty place": (
        "self.a = nn.ModuleList([nn.ReLU() if n else None])", "n: int", "__init__",
        "self.a = ms_extras.ModuleList([nn.ReLU() if n else None])",
    ),
    "cells that a caller spreads": ("self.a = nn.ModuleList(cells)", "*cells", "__init__", "self.a = ms_extras.ModuleList(cells)"),
    "a list of cells that stays": ("self.a = nn.ModuleList([nn.ReLU()])", "", "__init__", "self.a = nn.CellList([nn.ReLU()])"),
    "a parameter's data scaled": (
        "self.a = nn.Linear(2, 3)\nself.a.weight.data /= 2 + 1", "", "__init__",
        "self.a = nn.Dense(2, 3)\nself.a.weight.set_data(self.a.weight / (2 + 1))",
    ),
    "a parameter's data filled": (
        "self.a = nn.Parameter(torch.zeros(3, requires_grad=True))\nself.a.data[:] = 0.5", "", "__init__",
        "self.a = Parameter(ops.zeros((3,)))\nself.a[:] = 0.5",
    ),
    "forward of what a list holds": (
        "return x + a[0].forward(x)", "x: torch.Tensor, a", "start", "return x + a[0].construct(x)",
    ),
    "a name of torch that older versions lack": (
        "self.a = getattr(getattr(torch, 'special', None), 'expit', None) or torch.sigmoid", "", "__init__",
        "self.a = ms_extras.special_expit or ms_extras.sigmoid",
    ),
    "the weight of any layer, initialised": (
        "nn.init.zeros_(a.b.weight)", "a", "start", "ms_extras.zeros_(ms_extras.layer_parameter(a.b, 'weight'))",
    ),
    "the weight of one layer, initialised": (
        "self.a = nn.BatchNorm2d(2)\nnn.init.zeros_(self.a.weight)", "", "__init__",
        "self.a = nn.BatchNorm2d(2)\nms_extras.zeros_(self.a.gamma)",
    ),
    "repeats as a list": ("return x.repeat([x.shape[0], 1])", "x: torch.Tensor", "forward", "return x.tile((x.shape[0], 1))"),
    "repeats as a sum of lists": (
        "return x.repeat([2] + [1] * n)", "x: torch.Tensor, n: int", "forward", "return x.tile(tuple([2] + [1] * n))",
    ),
    "a mask and whole axes": ("return x[mask, :], x[mask, ...]", "x: torch.Tensor, mask: torch.Tensor", "forward", "return x[mask], x[mask]"),
    "a number and whole axes": ("return x[0, :], x[i, :]", "x: torch.Tensor, i: int", "forward", "return x[0, :], x[i, :]"),
    "a store through a mask": ("x = x + 1\nx[x > 0, :] = 0.", "x: torch.Tensor", "forward", "x = x + 1\nx[x > 0] = 0."),
    "an array as an index": ("a = np.arange(2)\nreturn x[a, 0]", "x: torch.Tensor", "forward", "a = np.arange(2)\nreturn x[Tensor(a), 0]"),
    "a list popped inside an expression": (
        "h = [x, x]\nreturn torch.cat((x, h.pop()), dim=1)", "x: torch.Tensor", "forward",
        "h = [x, x]\nreturn ops.cat((x, h[-1]), axis=1)",
    ),
    "a list popped on its own": ("h = [x, x]\ny = h.pop()\nreturn y, h", "x: torch.Tensor", "forward", "h = [x, x]\ny = h[-1]\nh = h[:-1]\nreturn y, h"),
    "a list extended by what reads it": (
        "y = [x]\ny.extend(m(y[-1]) for m in self.ms)\nreturn y", "x: torch.Tensor", "forward",
        "y = [x]\nfor m in self.ms:\n    y.append(m(y[-1]))\nreturn y",
    ),
    "a list extended by other things": (
        "y = [x]\ny.extend(m(x) for m in self.ms)\nreturn y", "x: torch.Tensor", "forward", "y = [x]\ny.extend(m(x) for m in self.ms)\nreturn y",
    ),
    "a loop variable that is read elsewhere": (
        "m, y = 1, [x]\ny.extend(m(y[-1]) for m in self.ms)\nreturn y, m", "x: torch.Tensor", "forward",
        "m, y = 1, [x]\ny.extend(m(y[-1]) for m in self.ms)\nreturn y, m",
    ),
    "the type of a device": (
        "d = x.device\nreturn x.device.type == 'cuda', d.type == 'mps'", "x: torch.Tensor", "forward",
        "d = x.device\nreturn x.device.lower() == 'cuda', str(d).partition(':')[0].lower() == 'mps'",
    ),
    "a formatted tensor": (
        "loss = x.sum()\nreturn f'{loss:.2f} {x.size(0)} {loss + 1:.1f} {n:d} {loss}'", "x: torch.Tensor, n: int", "helper",
        "loss = x.sum()\nreturn f'{loss.item():.2f} {x.shape[0]} {(loss + 1).item():.1f} {n:d} {loss}'",
    ),
    "parameters of what can only be a network": (
        "return sum(p.numel() for p in net.parameters())", "net", "helper", "return sum(p.size for p in ms_extras.module_parameters(net))",
    ),
    "a profiler": (
        "with torch.autograd.profiler.record_function('a'):\n    y = x * 2\nreturn y", "x: torch.Tensor", "forward", "y = x * 2\nreturn y",
    ),
    "a choice of kernels": (
        "from torch.nn.attention import sdpa_kernel, SDPBackend\nwith sdpa_kernel([SDPBackend.MATH]):\n    y = x * 2\nreturn y",
        "x: torch.Tensor", "forward", "y = x * 2\nreturn y",
    ),
    "no gradient": ("with torch.no_grad():\n    y = x * 2\nreturn y", "x: torch.Tensor", "forward", "y = x * 2\ny = ops.stop_gradient(y)\nreturn y"),
    "padding that reflects with a value": ("return F.pad(x, (1, 2), 'reflect', 0)", "x: torch.Tensor", "forward", "return ops.pad(x, (1, 2), 'reflect')"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_idiom_is_ported(case: str) -> None:
    lines, arguments, method, expected = CASES[case]
    assert body(lines, arguments=arguments, method=method) == (expected, ())


def test_a_call_that_only_tensors_have_proves_its_receiver() -> None:
    text, codes = body("if z.dim() > 2:\n    z = z.transpose(1, 2)\nreturn z.size(0)", arguments="z", method="helper")
    assert text == "if z.ndim > 2:\n    z = z.swapaxes(1, 2)\nreturn z.shape[0]"
    assert codes == ()


def test_calls_that_others_have_too_prove_nothing() -> None:
    text, codes = body("meter.type('x')\nreturn arr.max(1), cfg.view(2)", arguments="meter, arr, cfg", method="helper")
    assert text == "meter.type('x')\nreturn arr.max(1), cfg.view(2)"
    assert "MSP301" in codes


def test_a_method_of_the_program_proves_nothing() -> None:
    text = f"{NET}    def dim(self):\n        return 3\n\n    def helper(self, z):\n        return z.dim()\n"
    assert "return z.dim()" in convert_source(text).text


def test_a_class_that_is_several_here_is_no_base() -> None:
    ported = convert_source("from torch.nn.modules.batchnorm import _BatchNorm\n\n\nclass Norm(_BatchNorm):\n    pass\n")
    assert [d.code for d in ported.diagnostics] == ["MSP202"]
    assert "class Norm(_BatchNorm):" in ported.text


def test_a_folder_without_init_that_is_imported_as_a_package_is_one() -> None:
    sources = {
        "net/model.py": "from torch import nn\nfrom net import parts\n\nm = nn.Dropout(parts.p)\n",
        "net/parts.py": "p = 0.5\n",
    }
    tree = convert_tree(sources)
    assert "from . import ms_extras" in tree.files["net/model.py"]
    assert set(tree.extras) == {"net/ms_extras.py"}


MEMBERS = """
from torch import nn


class Net(nn.Module):
    shard = 4

    def __init__(self, phase='train'):
        super().__init__()
        self.phase = phase
        self.cells = nn.Sequential(nn.Linear(3, 5))
        self.register_buffer('param_prefix', None)

    def get_scope(self):
        return self.phase + getattr(self, 'phase')

    def forward(self, x):
        return self.cells(x), self.param_prefix, self.shard


def other(thing, cfg: dict):
    return thing.phase, Net().get_scope(), cfg['phase']
"""


def test_attributes_that_cell_has_itself_get_names_of_their_own() -> None:
    ported = convert_source(MEMBERS)
    for line in (
        "    shard_ = 4", "        self.phase_ = phase", "        self.cells_ = nn.SequentialCell(nn.Dense(3, 5))",
        "'param_prefix_', None)", "    def get_scope_(self):", "        return self.phase_ + getattr(self, 'phase_')",
        "        return self.cells_(x), self.param_prefix_, self.shard_", "    return thing.phase, Net().get_scope_(), cfg['phase']",
    ):  # fmt: skip
        assert line in ported.text
    assert [d.code for d in ported.diagnostics] == ["MSP210"]  # thing may be a network


def test_other_classes_keep_their_names() -> None:
    text = "from torch import nn\n\n\nclass Config:\n    def __init__(self):\n        self.phase = 1\n        self.cells = nn.ReLU()\n"
    assert "self.phase = 1" in convert_source(text).text
    assert convert_source(text).diagnostics == ()


def test_the_checkpoint_has_torchs_names() -> None:
    mindspore = pytest.importorskip("mindspore")
    from porter.table import load_table
    from porter.weights.cells import plan_of

    class Net(mindspore.nn.Cell):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cells_ = mindspore.nn.SequentialCell(mindspore.nn.Dense(3, 5))
            self.phase_ = mindspore.Parameter(mindspore.ops.ones((2,)))

    slots = plan_of(Net(), load_table().cell_weights()).slots
    assert {slot.name: slot.torch for slot in slots} == {
        "phase_": ("phase",), "cells_.0.weight": ("cells.0.weight",), "cells_.0.bias": ("cells.0.bias",),
    }  # fmt: skip


def test_buffers_that_are_not_kept_can_be_assigned() -> None:
    mindspore = pytest.importorskip("mindspore")
    from mappings.emitted.module import layer_parameter, module_named_buffers, register_buffer

    class Net(mindspore.nn.Cell):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            register_buffer(self, "kept", mindspore.ops.ones((2,)))
            register_buffer(self, "plain", mindspore.ops.ones((3,)), persistent=False)
            register_buffer(self, "later", None)
            self.plain = self.plain * 2
            self.later = mindspore.ops.ones((4,))

    net = Net()
    assert {name: buffer.shape for name, buffer in module_named_buffers(net)} == {"kept": (2,), "plain": (3,), "later": (4,)}
    assert float(net.plain.sum()) == 6
    assert [p.name for p in net.get_parameters()] == ["kept"]
    norm, dense = mindspore.nn.BatchNorm2d(2), mindspore.nn.Dense(2, 3)
    assert layer_parameter(norm, "weight") is norm.gamma and layer_parameter(dense, "bias") is dense.bias


def test_layers_that_a_network_derives_from_have_torchs_members() -> None:
    mindspore = pytest.importorskip("mindspore")
    from mappings.emitted.nn_convolution import Conv2d
    from mappings.emitted.nn_pooling import MaxPool2d

    conv = Conv2d(4, 6, 3, groups=2)
    conv.weight.set_data(mindspore.ops.zeros_like(conv.weight))
    conv.bias.set_data(mindspore.ops.ones_like(conv.bias))
    conv.reset_parameters()
    bound = (2 * 3 * 3) ** -0.5
    assert 0.5 * bound < float(conv.weight.abs().max()) <= bound
    assert float(conv.bias.abs().max()) <= bound
    assert (MaxPool2d(3, dilation=2, ceil_mode=True).dilation, MaxPool2d(3).ceil_mode) == (2, False)


def test_a_change_in_place_of_something_unknown_is_not_guessed() -> None:
    """What `getattr` gives may be a parameter, whose values must be set, and whose name differs in MindSpore."""
    text, codes = body("getattr(block, f'norm{i}').weight.copy_(v)\nreturn v", arguments="block, i, v", method="helper")
    assert text == "getattr(block, f'norm{i}').weight.copy_(v)\nreturn v"
    assert codes == ("MSP301",)


def test_a_parameter_that_is_changed_in_place_is_a_tensor() -> None:
    text, codes = body("z.uniform_(0, 1)\nreturn z.view(2, -1).size(0)", arguments="z", method="helper")
    assert "z.view(2, -1).shape[0]" in text
    assert codes == ("MSP602",)


def test_some_module_that_is_one_of_several_layers_is_any_of_them() -> None:
    """Callers pass an Embedding and some module, which isinstance may show to be a Linear."""
    source = (
        "from torch import nn\n\n\ndef init(m):\n    if isinstance(m, (nn.Linear, nn.Embedding)):\n        m.weight.data.normal_()\n\n\n"
        "def walk(m: nn.Module):\n    init(m)\n    init(nn.Embedding(2, 3))\n"
    )
    ported = convert_source(source)
    assert ported.diagnostics == ()
    assert "embedding_table" not in ported.text.partition("def walk")[0]
    assert "ms_extras.layer_parameter(m, 'weight')" in ported.text.replace('"', "'")


def test_a_parameter_behind_a_function_takes_its_values() -> None:
    """`m.weight` of a layer known only as a module is found by a function in the port, which cannot be assigned to."""
    text, codes = body("torch.relu_(m.weight)\nreturn m", arguments="m: nn.Module", method="helper")
    assert text.replace('"', "'") == (
        "ms_extras.layer_parameter(m, 'weight').set_data(ops.relu(ms_extras.layer_parameter(m, 'weight')))\nreturn m"
    )
    assert codes == ()


def test_sizes_are_numbers() -> None:
    """What size() gives needs no adapter in what it is handed to: neither a tensor nor something unknown."""
    text, codes = body("n, s = x.size(0), x.size()\nreturn x.new_zeros(s), torch.zeros(n, 2, device=x.device)")
    assert text == "n, s = x.shape[0], x.shape\nreturn x.new_zeros(s), ops.zeros((n, 2))"
    assert codes == ()
