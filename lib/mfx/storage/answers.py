"""What storages answer: entries, listings, bytes, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from mfx.errors import MfxError


class Fault(Enum):
    """What an error of a storage means."""

    ABSENT = auto()
    """There is no such object; or no such bucket, where the answer does not say which."""
    NO_BUCKET = auto()
    CONDITION = auto()
    """The condition of a conditional write or read does not hold."""
    DENIED = auto()
    PASSING = auto()
    """The same request may succeed later: no answer, a broken one, or a busy storage."""
    OTHER = auto()
    """Wrong settings, missing credentials, and all else that stays."""


class NotThereError(MfxError):
    """The storage says that there is no such object. That it cannot be read is another error."""


class DeniedError(MfxError):
    """The storage says that this user may not do it, though others may."""


@dataclass(frozen=True)
class Entry:
    """What a storage tells of an object.

    Args:
        key: Its key in the bucket.
        size: Bytes; -1 where a web server does not say.
        tag: Another after any other write (an ETag, or generation); empty where there is none.
        modified: When it was written, in seconds since 1970.
    """

    key: str
    size: int
    tag: str
    modified: float


@dataclass
class Listing:
    """What lies below a folder.

    Args:
        entries: Objects, sorted by key.
        folders: Prefixes of the folders in it, each with its last slash, unless it goes deeper.
    """

    entries: list[Entry] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Opened:
    """An object that is being read.

    Args:
        entry: What it is.
        first: The byte that the blocks begin with.
        blocks: Its bytes from there on.
    """

    entry: Entry
    first: int
    blocks: Iterator[bytes]
