from __future__ import annotations

from collections.abc import Callable


def get_tokenizer(name: str, language: str = "en") -> Callable[[str], list[str]]:
    return str.split
