"""Inference: which kind of value each expression of a program has."""

from porter.infer.inference import Inference

__all__ = ["Inference"]
