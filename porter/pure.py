"""Pure functions over Python numbers and tuples that a row's right side may call."""

from __future__ import annotations

