from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class Vocab:
    """Numbers of tokens, the most frequent first."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.default = tokens, 0
        self.numbers = {token: number for number, token in enumerate(tokens)}

    def set_default_index(self, index: int) -> None:
        self.default = index

    def lookup_tokens(self, indices: list[int]) -> list[str]:
        return [self.tokens[index] for index in indices]

    def __len__(self) -> int:
        return len(self.tokens)

    def __call__(self, tokens: list[str]) -> list[int]:
        return [self.numbers.get(token, self.default) for token in tokens]


def build_vocab_from_iterator(iterator: Iterable[list[str]], min_freq: int = 1, specials: list[str] | None = None,
                              special_first: bool = True) -> Vocab:  # fmt: skip
    counts = Counter(token for tokens in iterator for token in tokens)
    found = sorted((t for t, n in counts.items() if n >= min_freq), key=lambda token: (-counts[token], token))
    return Vocab([*(specials or []), *found] if special_first else [*found, *(specials or [])])
