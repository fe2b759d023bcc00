"""Records the signatures of the MindSpore names that rows use: `python -m porter.signatures`."""

from __future__ import annotations

import ast
import json
import os

from porter.expression import record_signatures
from porter.fuse import load_fusions
from porter.table import Table, load_table, mappings_directory


def used_names(table: Table) -> list[str]:
    """Every mindspore.* name, and every method of a Tensor or Cell, on a right side of the table or of a fusion."""
    found: set[str] = set()
    sides = [(row.name, a.to) for row in table for a in row.alternatives]
    for name, to in [*sides, *(("", fusion.to) for fusion in load_fusions())]:
        owner = "mindspore.nn.Cell." if name.startswith("torch.nn.Module.") else "mindspore.Tensor."
        for node in ast.walk(ast.parse(to, mode="eval")):
            if isinstance(node, ast.Attribute):
                text = ast.unparse(node)
                if text.startswith("mindspore."):
                    found.add(text)
                elif text.startswith("self.") and text.count(".") == 1:
                    found.add(owner + text[5:])
    return sorted(found)


def main() -> None:
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    import mindspore

    recorded = {"mindspore": mindspore.__version__, "signatures": record_signatures(used_names(load_table()))}
    text = json.dumps(recorded, indent=1, sort_keys=True) + "\n"
    path = mappings_directory() / "signatures.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
