"""Texts in UTF-8."""

from __future__ import annotations

from mfx.ingest.sources import file_kinds

COLUMN = "text"
EXPECTED = "text in UTF-8"
_MARK = b"\xef\xbb\xbf"
"""What some editors begin a file in UTF-8 with. It is no part of the text."""


def prepare() -> None:
    """Nothing; see `base.Content`."""


def value(data: bytes) -> bytes:
    """The text, which may be empty; see `base.Content`."""
    data = data.removeprefix(_MARK)
    try:
        data.decode()
    except UnicodeDecodeError:
        kind = file_kinds.detect(data[:4096])
        raise ValueError(f"not UTF-8 but {kind}" if kind else "not UTF-8") from None
    return data
