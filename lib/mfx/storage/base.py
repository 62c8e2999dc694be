"""What every storage can do: each request tried again while that may help, then one clear error."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from mfx.errors import MfxError
from mfx.storage.address import Address
from mfx.storage.answers import DeniedError, Entry, Fault, Listing, NotThereError
from mfx.storage.reading import Reader
from mfx.storage.retries import REMEDY, StorageGoneError, patience, with_retries

_T = TypeVar("_T")


class Storage(Reader):
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
