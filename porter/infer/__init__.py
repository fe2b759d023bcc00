"""Inference: which kind of value each expression of a program has."""

from porter.infer.inference import Inference
from porter.infer.state import span_of

__all__ = ["Inference", "span_of"]
