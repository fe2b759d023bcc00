"""Which classes of converted source say the same, so that one run speaks for all of them."""

from __future__ import annotations

import ast


def class_texts(text: str) -> dict[str, str]:
    """What each class of a module says, by its name: without the name, comments, layout and the order of keywords.

    The rest of the module stands under ''. Raises SyntaxError where the text does not parse.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            node.keywords.sort(key=lambda k: k.arg or "")
    found = {node.name: _body(node) for node in tree.body if isinstance(node, ast.ClassDef)}
    found[""] = "\n".join(ast.dump(node) for node in tree.body if not isinstance(node, ast.ClassDef))
    return found


def _body(node: ast.ClassDef) -> str:
    name, node.name = node.name, ""
    dumped = ast.dump(node)
    node.name = name
    return dumped
