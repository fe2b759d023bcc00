"""Runs PyTorch and MindSpore side by side on the same inputs: rows of the table, whole models, and their training."""
