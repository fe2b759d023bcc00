"""Imports of torch and einops by a name in a string, and what must stay an ordinary call."""

from __future__ import annotations

from porter.convert import convert_tree

OPTIONAL = """\
from importlib import import_module


def optional(module, version="", name=""):
    try:
        found = import_module(module)
        if name:
            found = getattr(found, name)
    except ImportError:
        return None, False
    return found, True


def describe(module, name=""):
    return module + name, True
"""
NET = """\
import importlib
from torch import nn
from .optional import describe, optional

rearrange, has_einops = optional("einops", name="rearrange")
Rearrange, _ = optional("einops.layers.torch", name="Rearrange")
F = importlib.import_module("torch.nn.functional")
label, _ = describe("einops", name="rearrange")
skimage, has_skimage = optional("skimage", name="io")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_rows = Rearrange("b h w -> (b h) w")

    def forward(self, x):
        return F.relu(self.to_rows(rearrange(x, "b w h -> b h w")))
"""


def test_a_module_named_in_a_string_is_imported() -> None:
    tree = convert_tree({"pkg/__init__.py": "", "pkg/optional.py": OPTIONAL, "pkg/net.py": NET})
    text = tree.files["pkg/net.py"]
    assert tree.diagnostics == ()
    assert "has_einops = True\n" in text and "optional(\"einops" not in text and "import_module" not in text
    assert "ops.relu(self.to_rows(x.swapaxes(1, 2)))" in text
    assert "self.to_rows = ms_extras.Rearrange(" in text


def test_other_modules_and_other_functions_stay() -> None:
    text = convert_tree({"pkg/__init__.py": "", "pkg/optional.py": OPTIONAL, "pkg/net.py": NET}).files["pkg/net.py"]
    assert 'label, _ = describe("einops", name="rearrange")\n' in text
    assert 'skimage, has_skimage = optional("skimage", name="io")\n' in text


def test_a_name_imported_so_is_passed_on() -> None:
    user = "from .net import rearrange\n\n\ndef turned(x):\n    return rearrange(x.contiguous(), 'a b -> b a')\n"
    files = convert_tree({"pkg/__init__.py": "", "pkg/optional.py": OPTIONAL, "pkg/net.py": NET, "pkg/user.py": user}).files
    assert "import rearrange" not in files["pkg/user.py"]
    assert "swapaxes(0, 1)" in files["pkg/user.py"]
