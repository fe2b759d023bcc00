"""Moves PyTorch models to MindSpore and proves that they still compute the same thing."""

__version__ = "0.1.0"
