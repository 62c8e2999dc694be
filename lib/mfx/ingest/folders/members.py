"""The files of a folder: found, and told by their contents, on disk and in storages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mfx.artifacts.lineage import hash_file, hash_json
from mfx.config import Settings
from mfx.errors import MfxError
from mfx.ingest.finding import ALONE
from mfx.ingest.trees import Disk, Rule, walk
from mfx.storage import address, open_storage
from mfx.storage.address import Address, is_absolute, parse
from mfx.storage.retries import in_parallel

JUNK = ("thumbs.db", "desktop.ini", "__macosx")
"""Files and folders that systems leave, in lower case."""
_TOGETHER = 64
"""Files that a thread hashes at a time."""


class Member(NamedTuple):
    """A file of the folder.

    Attributes:
        below: Its path below the folder.
        path: Where it lies, as the run keeps it.
        size: Its bytes; on disk, known with its hash.
        tag: The storage's, which changes when the object does; "" on disk.
        sha256: Of its bytes; in a storage, of its size and its tag. "" if not known yet.
    """

    below: str
    path: str
    size: int = 0
    tag: str = ""
    sha256: str = ""


def find(settings: Settings, key: str, folder: str) -> list[Member]:
    """The files in a folder and in those below, sorted; without hidden ones.

    Args:
        settings: The config.
        key: The key that names the folder, for messages.
        folder: As it was given.

    Raises:
        MfxError: There is no such folder, it cannot be read, or it has no files.
    """
    where = address.check(settings.resolve(folder), address.FILES)
    there = parse(where)
    found = _in_storage(there, key) if there else _on_disk(settings, key, folder, where)
    if not found:
        raise MfxError(
            f"data.{key}: {where}: no file in it, nor in the folders below",
            "Give the folder that holds the files: path of it, or --data. Files whose names begin "
            "with a dot do not count.",
        )
    return found


def _in_storage(there: Address, key: str) -> list[Member]:
    if there.scheme in ALONE:
        raise MfxError(
            f"data.{key}: {there}: a web server does not list a folder",
            "Name a folder on disk, or at s3://, gs:// or az://.",
        )
    begin = len(there.prefix)
    return [
        Member(entry.key[begin:], str(there.at(entry.key)), entry.size, entry.tag)
        for entry in open_storage(there).list(there.prefix).entries
        if not any(map(_is_passed_over, entry.key[begin:].split("/")))
    ]


def _on_disk(settings: Settings, key: str, folder: str, where: str) -> list[Member]:
    if not Path(where).is_dir():
        raise MfxError(
            f"data.{key}: {where}: no such folder",
            "Give a folder that exists: path of it, or --data.",
        )
    rule = Rule(
        True,
        takes=lambda _, name: not _is_passed_over(name),
        enters=lambda _, name: None if _is_passed_over(name) else True,
    )
    kept = where if is_absolute(folder) else settings.from_home(where)
    return [
        Member(below, f"{kept.rstrip('/')}/{below}")
        for below in walk(Disk(), f"{where.rstrip('/')}/", rule).found
    ]


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def identified(members: Sequence[Member], resolve: Callable[[str], str]) -> list[Member]:
    """The same with their hashes.

    An object is told by what the listing says of it, so that nothing is fetched for that. Files on
    disk are read.

    Args:
        members: The files.
        resolve: Makes a path on disk absolute.

    Raises:
        MfxError: A file cannot be read.
    """
    rest = iter(members)
    groups: Iterator[list[Member]] = iter(lambda: list(itertools.islice(rest, _TOGETHER)), [])
    found = in_parallel(partial(_hashed, resolve), groups)
    return [member for group in found for member in group]


def _hashed(resolve: Callable[[str], str], members: Sequence[Member]) -> list[Member]:
    return [
        member._replace(sha256=hash_json([member.size, member.tag]))
        if member.tag
        else _read_through(member, Path(resolve(member.path)))
        for member in members
    ]


def _read_through(member: Member, path: Path) -> Member:
    try:
        member.below.encode()
        return member._replace(size=path.stat().st_size, sha256=hash_file(path))
    except UnicodeEncodeError:
        raise MfxError(
            f"{str(path)!r}: a name that is not UTF-8", "Rename the file, or its folder."
        ) from None
    except OSError as error:
        raise MfxError(
            f"{path}: cannot read it: {error.strerror}",
            "Remove it from the folder, or give this user the right to read it.",
        ) from None
