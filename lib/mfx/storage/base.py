"""What every storage can do: each request tried again while that may help, then one clear error."""

from __future__ import annotations

import hashlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mfx.errors import MfxError
from mfx.storage.address import Address
from mfx.storage.answers import DeniedError, Entry, Fault, Listing, NotThereError, Opened
from mfx.storage.retries import REMEDY, StorageGoneError, patience, with_retries

BLOCK = 2**20
"""Bytes of an object that are held at a time when it is read through."""

_T = TypeVar("_T")


@dataclass
class _Read:
    """How far an object has been read through."""

    tag: str = ""
    size: int = -1
    done: int = 0


class Storage(ABC):
    """A bucket (a container, a folder, a web server), and in it objects by key.

    A storage implements the methods with an underscore, each one try that raises whatever its
    client does, and says in `fault` what that means.

    Args:
        place: The bucket.

    Raises:
        MfxError: What it needs is not installed, or settings or credentials are missing.
    """

    TITLE = ""
    BUCKET = "bucket"
    REMEDY = ""
    """What to check when it does not do what it should."""
    KEEPS_CONDITIONS = True
    """Whether every storage that is asked so is known to keep conditions of writes."""

    def __init__(self, place: Address) -> None:
        self.place = place.at("")
        self._bucket_seen = False
        self._keeps_conditions = self.KEEPS_CONDITIONS
        self._ask("", "cannot open", self._connect)
        self._bucket_seen = False

    def list(self, prefix: str = "", deeper: bool = True) -> Listing:
        """What lies below a folder: nothing, if there is no such folder.

        Args:
            prefix: The folder's, with its last slash; empty for the whole bucket.
            deeper: Whether to go into the folders in it.

        Raises:
            MfxError: It cannot be listed; there is no such bucket.
        """
        found = self._ask(prefix, "cannot list", lambda: self._list(prefix, deeper))
        # A key with a slash at its end stands for a folder in some tools.
        entries = [entry for entry in found.entries if not entry.key.endswith("/")]
        return Listing(sorted(entries, key=lambda entry: entry.key), sorted(found.folders))

    def head(self, key: str) -> Entry | None:
        """What the storage tells of an object; None if there is none.

        Raises:
            MfxError: It cannot be asked; there is no such bucket.
        """
        try:
            return self._ask(key, "cannot read", lambda: self._head(key))
        except NotThereError:
            return None

    def read(self, key: str) -> bytes:
        """An object's bytes.

        Raises:
            NotThereError: There is no such object.
            MfxError: It cannot be read.
        """
        blocks: list[bytes] = []
        self._read_through(key, blocks.append, blocks.clear)
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
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:

                def again() -> None:
                    file.seek(0)
                    file.truncate()

                if not self._read_through(key, file.write, again, most):
                    return False
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return True

    def write(self, key: str, content: bytes | Path) -> None:
        """Write an object whole, over what is there.

        Args:
            key: The object's.
            content: Its bytes, or a file that has them.

        Raises:
            MfxError: It cannot be written.
        """
        self._ask(key, "cannot write", lambda: self._write(key, content))

    def write_if_absent(self, key: str, content: bytes) -> bool:
        """Write an object where there is none: of several writers, one does.

        Returns:
            Whether it is ours that is there.

        Raises:
            MfxError: It cannot be written, or the storage writes over what is there.
        """
        return self._on_condition(
            key,
            lambda by: self._create(key, content, by),
            condition="If-None-Match",
            undo=lambda: self.delete(key),
        )

    def write_if_unchanged(self, key: str, content: bytes, tag: str) -> bool:
        """Write over an object that is still what `head` told of it: of several writers, one does.

        Returns:
            Whether it is ours that is there.

        Raises:
            MfxError: It cannot be written, or the storage writes over what has changed.
        """
        try:
            return self._on_condition(
                key,
                lambda by: self._replace(key, content, tag, by),
                condition="If-Match",
                undo=lambda: None,
            )
        except NotThereError:
            return False

    def copy(self, key: str, target: str) -> None:
        """Copy an object inside the storage, over what is at the target.

        Raises:
            NotThereError: There is no such object.
            MfxError: It cannot be copied.
        """
        self._ask(key, "cannot copy", lambda: self._copy(key, target))

    def delete(self, key: str) -> None:
        """Remove an object, if it is there.

        Raises:
            MfxError: It cannot be removed.
        """
        with suppress(NotThereError):
            self._ask(key, "cannot remove", lambda: self._delete(key))

    @abstractmethod
    def fault(self, error: BaseException) -> Fault | None:
        """What an error that a method raised means; None if it is not of the storage."""

    def said(self, error: BaseException) -> str:
        """What the storage said, in one line."""
        return " ".join(str(error).split()) or type(error).__name__

    @abstractmethod
    def _connect(self) -> Any:
        """Make the client."""

    @abstractmethod
    def _list(self, prefix: str, deeper: bool) -> Listing: ...

    @abstractmethod
    def _head(self, key: str) -> Entry | None:
        """None, or an error of Fault.ABSENT, if there is no such object."""

    @abstractmethod
    def _open(self, key: str, first: int, tag: str) -> AbstractContextManager[Opened]:
        """Begin to read, from a byte on, what still has the tag unless that is empty."""

    @abstractmethod
    def _write(self, key: str, content: bytes | Path) -> None: ...

    @abstractmethod
    def _create(self, key: str, content: bytes, writer: str) -> None:
        """Fails with Fault.CONDITION if there is such an object."""

    @abstractmethod
    def _replace(self, key: str, content: bytes, tag: str, writer: str) -> None:
        """Fails with Fault.CONDITION if the object has another tag, or is not there."""

    @abstractmethod
    def _writer(self, key: str) -> str:
        """What `_create` or `_replace` was told; empty if the object was written otherwise."""

    @abstractmethod
    def _copy(self, key: str, target: str) -> None: ...

    @abstractmethod
    def _delete(self, key: str) -> None: ...

    def _check_bucket(self, key: str, what: str) -> None:
        """Tell a bucket that is not there from an object that is not: many answers do not.

        Raises:
            MfxError: There is no such bucket, or it cannot be asked.
        """
        if self._bucket_seen:
            return
        folder = key[: key.rfind("/") + 1]
        try:
            with_retries(lambda: self._list(folder, deeper=False), self._passes)
        except Exception as error:
            fault = self.fault(error)
            if fault is None:
                raise
            fault = Fault.NO_BUCKET if fault is Fault.ABSENT else fault
            raise self._error(key, what, fault, error) from None
        self._bucket_seen = True

    def _passes(self, error: BaseException) -> bool:
        return self.fault(error) is Fault.PASSING

    def _ask(
        self, key: str, what: str, call: Callable[[], _T], progress: Callable[[], int] = lambda: 0
    ) -> _T:
        """What a call returns, tried again while that may help; or one error."""
        try:
            found = with_retries(call, self._passes, progress)
        except MfxError:
            raise
        except Exception as error:
            fault = self.fault(error)
            if fault is None:
                raise
            raise self._error(key, what, fault, error) from None
        self._bucket_seen = True
        return found

    def _error(self, key: str, what: str, fault: Fault, error: BaseException) -> MfxError:
        where, said = str(self.place.at(key)), self.said(error)
        if fault is Fault.ABSENT:
            self._check_bucket(key, what)
            return NotThereError(f"{where}: {what}: no such object")
        if fault is Fault.PASSING:
            tried = f"{self.TITLE} does not answer, tried for {patience():.0f} s"
            return StorageGoneError(f"{where}: {what}: {tried}: {said}", REMEDY)
        if fault is Fault.CONDITION:
            return self._changed(key)
        if fault is Fault.DENIED:
            return DeniedError(f"{where}: {what}: access denied: {said}", self.REMEDY)
        missing = f"no such {self.BUCKET}: " if fault is Fault.NO_BUCKET else ""
        return MfxError(f"{where}: {what}: {missing}{said}", self.REMEDY)

    def _changed(self, key: str) -> MfxError:
        return MfxError(
            f"{self.place.at(key)}: changed while it was read",
            "Try again; write new data to a new name, so that no run reads half of each.",
        )

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

    def _on_condition(
        self,
        key: str,
        put: Callable[[str], None],
        condition: str,
        undo: Callable[[], None],
    ) -> bool:
        """A write that other writers may be ahead of; whether it is ours that is there."""
        writer = uuid.uuid4().hex

        def refused() -> bool:
            try:
                put(writer)
            except Exception as error:
                if self.fault(error) is not Fault.CONDITION:
                    raise
                return True
            return False

        def write() -> bool:
            # If refused: by an earlier try of ours, whose answer was lost, or by another writer.
            return not refused() or self._is_by(key, writer)

        ours = self._ask(key, "cannot write", write)
        # The second write of the same must be refused, or any other writer's would not be.
        if ours and not self._keeps_conditions:
            if not self._ask(key, "cannot write", refused):
                undo()
                raise MfxError(
                    f"{self.place.at(key)}: this {self.TITLE} writes over what is there even when "
                    f"told not to ({condition}), so two pushes could undo each other",
                    "Push to a storage that knows conditional writes, as Amazon S3 does.",
                )
            self._keeps_conditions = True
        return ours

    def _is_by(self, key: str, writer: str) -> bool:
        try:
            return self._writer(key) == writer
        except Exception as error:
            if self.fault(error) is not Fault.ABSENT:
                raise
            return False  # it was there, and is removed again
