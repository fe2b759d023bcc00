from __future__ import annotations

import json
from pathlib import Path

from . import multi30k


class Multi30k:
    """Pairs of sentences, read from the working folder."""

    def __init__(self, split: str, language_pair: tuple[str, str]) -> None:
        self.pairs = json.loads(Path("multi30k", f"{split}.json").read_text())

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[str, str]:
        return tuple(self.pairs[index])


__all__ = ["Multi30k", "multi30k"]
