"""What torchrun tells a process through its environment, by the names under which MindSpore's msrun tells it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rewrite.references import References

# mindspore/parallel/cluster/process_entity/_api.py; RANK_ID is there before init() where one machine runs all workers
NAMES = {"RANK": "RANK_ID", "LOCAL_RANK": "DEVICE_ID", "WORLD_SIZE": "MS_WORKER_NUM"}
ABSENT = frozenset({"LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"})
ENVIRONMENT = frozenset({"os.environ", "os.environb"})
READERS = frozenset({"os.getenv", "os.environ.get", "os.environ.pop", "os.environ.setdefault"})


def variable(rewriter: References, node: ast.Constant) -> str | None:
    """The name of the variable in a process of msrun, where a string names one of torchrun's; None where it does not.

    Left alone it would be missing, and scripts that ask for it with a default would train every process on its own.
    """
    if not isinstance(node.value, str) or (node.value not in NAMES and node.value not in ABSENT):
        return None
    if not _is_read_from_environment(rewriter, node) or not _is_distributed(rewriter):
        return None
    if node.value in ABSENT:
        rewriter.report(
            node, "MSP201", f"msrun sets no environment variable that corresponds to {node.value}",
            "use mindspore.communication.get_group_size() or get_local_rank_size() after init()",
        )  # fmt: skip
        return None
    return NAMES[node.value]


def _is_read_from_environment(rewriter: References, node: ast.Constant) -> bool:
    parent = rewriter.parents.get(id(node))
    dotted = rewriter.program.dotted
    if isinstance(parent, ast.Subscript):
        return parent.slice is node and dotted(rewriter.module, parent.value) in ENVIRONMENT
    if isinstance(parent, ast.Compare) and parent.left is node and len(parent.ops) == 1:
        return isinstance(parent.ops[0], ast.In | ast.NotIn) and dotted(rewriter.module, parent.comparators[0]) in ENVIRONMENT
    return isinstance(parent, ast.Call) and bool(parent.args) and parent.args[0] is node and dotted(rewriter.module, parent.func) in READERS


def _is_distributed(rewriter: References) -> bool:
    """Whether the files that are ported together use torch.distributed at all."""
    return any(map(rewriter.program.has, (b"torch.distributed", b"from torch import distributed")))
