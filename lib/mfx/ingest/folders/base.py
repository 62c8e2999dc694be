"""The interface of what a folder's files may be (`Content`): each file is a row."""

from __future__ import annotations

from typing import Protocol


class Content(Protocol):
    """What the files of a folder are. A module is one if it has these.

    Attributes:
        COLUMN: The column of the files' contents.
        EXPECTED: What a file must be, to follow "Expected".
    """

    COLUMN: str
    EXPECTED: str

    def value(self, data: bytes) -> bytes:
        """What the column has of a file's bytes. It is called in several threads at a time.

        Raises:
            ValueError: The file does not fit; the text says why, in words that many files share.
        """

    def prepare(self) -> None:
        """Load what `value` needs, before there are threads.

        Raises:
            MfxError: It is not installed.
        """
