"""Folders and the files in them, on disk and in storages, gone through level by level.

A storage answers slowly, so several folders are asked at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from mfx.errors import MfxError
from mfx.storage.address import Address
from mfx.storage.base import Storage
from mfx.storage.retries import in_parallel

State = TypeVar("State")


class Tree(Protocol):
    """What lies in folders. A folder's name ends with a slash; "" is a whole bucket."""

    def address(self, name: str) -> str:
        """A file or a folder, as messages and runs name it."""

    def look(self, folder: str) -> tuple[list[str], list[str]]:
        """The names of files in a folder, and those of folders.

        Raises:
            MfxError: It cannot be read.
        """

    def place(self, folder: str) -> str:
        """Where a folder is in truth, if a link leads to it."""


@dataclass
class Disk:
    """A disk. Names are absolute paths.

    Args:
        lost: Gets links that lead to no file.
    """

    lost: set[str] = field(default_factory=set)

    def address(self, name: str) -> str:
        """See `Tree`."""
        return name

    def look(self, folder: str) -> tuple[list[str], list[str]]:
        """See `Tree`."""
        files, folders = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink() and not Path(entry).exists():
                        files.append(entry.name)
                        self.lost.add(folder + entry.name)
                    elif entry.is_dir():
                        folders.append(entry.name)
                    elif entry.is_file():
                        files.append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            raise MfxError(
                f"{folder}: no such folder", "Give one that exists: --data, or path under [data]."
            ) from None
        except OSError as error:
            raise MfxError(
                f"{folder}: cannot read the folder: {error.strerror}",
                "Give this user the right to read it, or a pattern that does not go through it.",
            ) from None
        return files, folders

    def place(self, folder: str) -> str:
        """See `Tree`."""
        return os.path.realpath(folder)


@dataclass
class Bucket:
    """A bucket in a storage. Names are keys.

    Args:
        at: Its address.
        storage: The bucket.
    """

    at: Address
    storage: Storage

    def address(self, name: str) -> str:
        """See `Tree`."""
        return str(self.at.at(name))

    def look(self, folder: str) -> tuple[list[str], list[str]]:
        """See `Tree`."""
        found = self.storage.list(folder, deeper=False)
        begin = len(folder)
        files = [entry.key[begin:] for entry in found.entries]
        return files, [below[begin:].rstrip("/") for below in found.folders]

    def place(self, folder: str) -> str:
        """See `Tree`: a storage has no links."""
        return folder


@dataclass
class Walked:
    """What was found below a folder.

    Args:
        found: Files, sorted, by their names below the folder.
        others: Other files in the folders that were gone through.
        passed: Folders that were not gone into.
    """

    found: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)


@dataclass
class Rule(Generic[State]):
    """What is wanted of a tree. A state is what a folder's place in the tree means to the rule.

    Args:
        begin: The first folder's state.
        takes: Whether a file in a folder of that state is wanted, by its name.
        enters: The state of a folder in a folder of that state, by its name; None: do not enter.
    """

    begin: State
    takes: Callable[[State, str], bool]
    enters: Callable[[State, str], State | None]


def walk(tree: Tree, folder: str, rule: Rule[State]) -> Walked:
    """Go through a folder and those in it.

    Args:
        tree: Where it lies.
        folder: Its name in the tree.
        rule: What is wanted.

    Raises:
        MfxError: A folder cannot be read, or is a link that leads back to one around it.
    """
    walked = Walked()
    level: dict[str, tuple[State, tuple[str, ...]]] = {"": (rule.begin, (tree.place(folder),))}
    while level:
        below: dict[str, tuple[State, tuple[str, ...]]] = {}
        names = [folder + inner for inner in level]
        for (inner, (state, around)), (files, folders) in zip(
            level.items(), in_parallel(tree.look, names), strict=True
        ):
            for name in files:
                wanted = rule.takes(state, name)
                (walked.found if wanted else walked.others).append(inner + name)
            for name in folders:
                entered = rule.enters(state, name)
                if entered is None:
                    walked.passed.append(inner + name)
                else:
                    place = _not_around(tree, folder + inner + name + "/", around)
                    below[f"{inner}{name}/"] = (entered, (*around, place))
        level = below
    return Walked(*map(sorted, (walked.found, walked.others, walked.passed)))


def _not_around(tree: Tree, folder: str, around: tuple[str, ...]) -> str:
    place = tree.place(folder)
    if place in around:
        raise MfxError(
            f"{tree.address(folder)}: a link that leads back to {place}, a folder around it",
            "Remove the link, or give a pattern that does not go through it.",
        )
    return place
