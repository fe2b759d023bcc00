"""requests.get of a file that lies in the working folder under the last part of its address."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO


class Response:
    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: Any) -> None:
        self.raw.close()


def get(url: str, **_: Any) -> Response:
    return Response(Path(url.rpartition("/")[2]).open("rb"))
