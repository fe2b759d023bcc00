"""The rewriter of one file, in layers from walking the tree to whole definitions."""
