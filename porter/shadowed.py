"""Emitted classes whose name a class of the program has too.

GRAPH mode finds the class of `super(Conv1d, self)` by its name among the classes of the object: in a program's own
`class Conv1d(ms_extras.Conv1d)` it takes the first of that name, and calls itself without end (seen in MindSpore 2.10.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from porter.program import Program


def class_names(program: Program) -> frozenset[str]:
    """The names of the networks that a program defines."""
    return frozenset(name.rpartition(".")[2] for name in program.classes if program.is_module_class(name))


def with_own_name(name: str, text: str, taken: Iterable[str]) -> str:
    """A definition whose class has a name that no class of the program has, and is still reached by the one it had."""
    if name not in taken or not re.search(rf"\bsuper\({name},", text):
        return text
    own = next(n for n in (f"{prefix}{name}" for prefix in ("Torch", "TorchNN", "TorchNNModules")) if n not in taken)
    text = re.sub(rf"^class {name}\b", f"class {own}", text, flags=re.MULTILINE)
    text = re.sub(rf"\bsuper\({name},", f"super({own},", text)
    return text.rstrip("\n") + f"\n\n\n{name} = {own}\n"
