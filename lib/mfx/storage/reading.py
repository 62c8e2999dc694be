"""Read objects of a storage: whole, or only some bytes of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from mfx.errors import MfxError
from mfx.storage.address import Address
from mfx.storage.answers import Entry, Opened

BLOCK = 2**20
"""Bytes of an object that are held at a time when it is read through."""

_T = TypeVar("_T")


@dataclass
class _Read:
    """How far an object has been read through."""

    tag: str = ""
    size: int = -1
    done: int = 0


class Reader(ABC):
    """What reads objects; the rest of a storage is `base.Storage`."""

    place: Address

    def read(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            NotThereError: There is no such object.
            MfxError: It cannot be read.
        """
        blocks: list[bytes] = []
        self._read_through(key, blocks.append, blocks.clear)
        return b"".join(blocks)

    def read_as_seen(self, seen: Entry) -> bytes:
        """The bytes of an object that is still what the storage told of it.

        Args:
            seen: What it told.

        Raises:
            NotThereError: There is no such object.
            MfxError: It has changed, or cannot be read.
        """
        blocks: list[bytes] = []
        self._read_range(seen.key, 0, seen.size, (seen.tag, seen.size), blocks.append)
        return b"".join(blocks)

    def sha256(self, key: str) -> str:
        """The SHA-256 of an object's bytes, read a block at a time.

        Raises:
            NotThereError: There is no such object.
            MfxError: It cannot be read.
        """
        hashes = [hashlib.sha256()]

        def again() -> None:
            hashes[0] = hashlib.sha256()

        self._read_through(key, lambda block: hashes[0].update(block), again)
        return hashes[0].hexdigest()

    def fetch(self, key: str, path: Path, most: int | None = None) -> bool:
        """Copy an object to disk, where it appears whole or not at all.

        A connection that breaks costs what was under way: it goes on from there.

        Args:
            key: The object's.
            path: The file to be made; its folder is there.
            most: Bytes that it may have.

        Returns:
            Whether it was copied: not if it has more than `most` bytes, or does not say how many.

        Raises:
            NotThereError: There is no such object.
            MfxError: It cannot be read, or changed meanwhile.
        """

        def copy(file: BinaryIO) -> bool:
            def again() -> None:
                file.seek(0)
                file.truncate()

            return self._read_through(key, file.write, again, most)

        return _made(path, copy)

    def fetch_ranges(
        self, key: str, path: Path, size: int, ranges: Sequence[tuple[int, int]]
    ) -> None:
        """Copy some bytes of an object to disk, to their places in a file of the object's size.

        The rest of the file is a hole, which takes no space and reads as zeros.

        Args:
            key: The object's.
            path: The file to be made, whole or not at all; its folder is there.
            size: The bytes that the object has.
            ranges: The place of each range's first byte, and that after its last one.

        Raises:
            NotThereError: There is no such object.
            MfxError: It cannot be read, has another size, or changed meanwhile.
        """

        def copy(file: BinaryIO) -> bool:
            tag = ""
            file.truncate(size)
            for begin, end in ranges:
                file.seek(begin)
                tag = self._read_range(key, begin, end, (tag, size), file.write)
            return True

        _made(path, copy)

    def gives_ranges(self, key: str) -> bool:
        """Whether some bytes of an object may be had without those before them."""
        return True

    def _read_through(
        self,
        key: str,
        take: Callable[[bytes], object],
        again: Callable[[], object],
        most: int | None = None,
    ) -> bool:
        """Hand an object's blocks over in order; when the connection breaks, go on from there.

        Args:
            key: The object's.
            take: Takes a block.
            again: Told to forget what it took, where reading begins anew.
            most: Bytes that the object may have.

        Returns:
            Whether it was read: not if it has more than `most` bytes, or does not say how many.
        """
        read = _Read()

        def go_on() -> bool:
            if read.done and read.done == read.size:
                return True
            first = read.done if read.tag else 0
            with self._open(key, first, read.tag if first else "") as opened:
                entry = opened.entry
                if first and (entry.tag, entry.size) != (read.tag, read.size):
                    raise self._changed(key)
                if most is not None and not 0 <= entry.size <= most:
                    return False
                read.tag, read.size = entry.tag, entry.size
                if opened.first == 0:
                    read.done = 0
                    again()
                for block in opened.blocks:
                    take(block)
                    read.done += len(block)
            if entry.size >= 0 and read.done != entry.size:
                raise ConnectionError(f"{read.done} of {entry.size} bytes came")
            return True

        return self._ask(key, "cannot read", go_on, lambda: read.done)

    def _read_range(
        self,
        key: str,
        begin: int,
        end: int,
        expected: tuple[str, int],
        take: Callable[[bytes], object],
    ) -> str:
        """Hand some bytes over in order; when the connection breaks, go on from there.

        Args:
            key: The object's.
            begin: The place of the first byte.
            end: The place after the last one.
            expected: The object's tag, or "" if it is not known yet; and its size.
            take: Takes a block.

        Returns:
            The object's tag.
        """
        done, (tag, size) = begin, expected

        def go_on() -> str:
            nonlocal done, tag
            if done == end:
                return tag
            with self._open(key, done, tag, end) as opened:
                entry, place = opened.entry, opened.first
                if entry.size not in (size, -1) or entry.tag != (tag or entry.tag):
                    raise self._changed(key)
                tag = entry.tag
                for block in opened.blocks:
                    wanted = block[max(0, done - place) : max(0, end - place)]
                    take(wanted)
                    done, place = done + len(wanted), place + len(block)
                    if place >= end:
                        break
            if done < end:
                raise ConnectionError(f"{done - begin} of {end - begin} bytes came")
            return tag

        return self._ask(key, "cannot read", go_on, lambda: done)

    def _changed(self, key: str) -> MfxError:
        return MfxError(
            f"{self.place.at(key)}: changed while it was read",
            "Try again; write new data to a new name, so that no run reads half of each.",
        )

    @abstractmethod
    def _open(
        self, key: str, first: int, tag: str, end: int | None = None
    ) -> AbstractContextManager[Opened]:
        """Begin to read what still has the tag, unless that is empty.

        Args:
            key: The object's.
            first: The byte to begin with.
            tag: The object's.
            end: The byte after the last one that is wanted; None: all. More may come.
        """

    @abstractmethod
    def _ask(
        self, key: str, what: str, call: Callable[[], _T], progress: Callable[[], int] = lambda: 0
    ) -> _T:
        """What a call returns, tried again while that may help; or one error."""


def _made(path: Path, write: Callable[[BinaryIO], bool]) -> bool:
    """Write a file that has its name only once it is whole; whether it was written."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            if not write(file):
                return False
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return True
