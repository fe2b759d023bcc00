"""Packages built on torch that the table has no rows for: what is imported from them takes and gives torch tensors."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

PACKAGES = frozenset({
    "accelerate", "apex", "botorch", "clip", "deepspeed", "detectron2", "dgl", "diffusers", "efficientnet_pytorch", "fairscale", "fairseq",
    "fastai", "flash_attn", "gpytorch", "ignite", "kornia", "lightning", "mmcv", "mmengine", "monai", "open_clip", "peft", "pyro",
    "pytorch_lightning", "segmentation_models_pytorch", "sentence_transformers", "stable_baselines3", "tianshou", "timm", "torch_cluster",
    "torch_geometric", "torch_scatter", "torch_sparse", "torchdata", "torchdiffeq", "torchmetrics", "torchrl", "torchtext", "transformers",
    "xformers",
})  # fmt: skip
# of these packages, what works on Python's own values
NEUTRAL = ("Tokenizer", "Config", "get_tokenizer", "logging")


def name_package(rewriter: Walk, node: ast.Import | ast.ImportFrom, source: str) -> None:
    """Names an import from a package built on torch, which the port cannot use; one with a way around it is left alone."""
    root = source.partition(".")[0]
    if root not in PACKAGES or any(name == root or name.startswith(f"{root}.") for name in rewriter.program.modules):
        return
    names = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else [source]
    names = [n for n in names if not any(word in n for word in NEUTRAL)]
    if not names or isinstance(rewriter.parents.get(id(node)), ast.Try):
        return
    rewriter.report(
        node, "MSP102", f"{root} works on torch tensors, and stays: {', '.join(names)}",
        f"port {root} with the program (give its folder too), or use what MindSpore has in its place", symbol=root,
    )  # fmt: skip
