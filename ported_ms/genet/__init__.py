"""GENet (Gather-Excite, arXiv 1810.12348) in PyTorch: model, data, training, evaluation and export."""
