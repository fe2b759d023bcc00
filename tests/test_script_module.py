"""Networks that derive from torch.jit.ScriptModule are networks; nothing in a port is an instance of it."""

from __future__ import annotations

from porter.convert import convert_source

SOURCE = """
import torch


class Scaled(torch.jit.ScriptModule):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(3, 3)

    @torch.jit.script_method
    def forward(self, x: torch.Tensor):
        return self.body(x).view(-1)


def is_compiled(model):
    return isinstance(model, torch.jit.ScriptModule)


def is_network(model):
    return isinstance(model, torch.nn.Module)
"""


def test_a_script_module_is_a_network() -> None:
    result = convert_source(SOURCE, path="net.py")
    assert list(result.diagnostics) == []
    assert "class Scaled(nn.Cell):" in result.text
    assert "    def construct(self, x: Tensor):\n        return self.body(x).view(-1)\n" in result.text


def test_no_ported_network_is_a_script_module() -> None:
    text = convert_source(SOURCE, path="net.py").text
    assert "return isinstance(model, ())\n" in text
    assert "return isinstance(model, nn.Cell)\n" in text
