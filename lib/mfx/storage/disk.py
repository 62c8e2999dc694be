"""Folders on a local or mounted disk, as a storage: files are there whole, and flushed, or not."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mfx.errors import MfxError, TransientError
from mfx.storage.answers import DeniedError, Entry, Fault, Listing, Opened
from mfx.storage.base import Storage
from mfx.storage.reading import BLOCK

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class ChangedError(OSError):
    """A file is not what it was when its tag was taken, or is not there."""


class DiskStorage(Storage):
    """A folder; its tags are of a file's inode, time and size."""

    TITLE = "the disk"
    BUCKET = "folder"
    REMEDY = "Check the folder's permissions and free space, or give another."

    def fault(self, error: BaseException) -> Fault | None:
        """What an error of the system means; none is tried again."""
        if isinstance(error, FileNotFoundError):
            return Fault.ABSENT
        if isinstance(error, (FileExistsError, ChangedError)):
            return Fault.CONDITION
        if isinstance(error, OSError):
            return Fault.DENIED if error.errno in _DENIED else Fault.OTHER
        return None

    def said(self, error: BaseException) -> str:
        """Without the path, which is said already."""
        return getattr(error, "strerror", "") or super().said(error)

    def _error(self, key: str, what: str, fault: Fault, error: BaseException) -> MfxError:
        where, said = self.place.at(key), self.said(error)
        if fault is Fault.DENIED:
            return DeniedError(f"{where}: {what}: {said}", self.REMEDY)
        if fault is Fault.OTHER:  # a full disk, one that is not mounted now
            return TransientError(f"{where}: {what}: {said}", self.REMEDY)
        return super()._error(key, what, fault, error)

    def _connect(self) -> None:
        self._folder = Path(self.place.bucket)

    def _check_bucket(self, key: str, what: str) -> None:
        """Nothing: a folder is made when it is needed."""

    def _list(self, prefix: str, deeper: bool) -> Listing:
        folder, found = self._folder / prefix, Listing()
        # A link to a disk that is not mounted is something that cannot be read.
        if not os.path.lexists(folder):
            return found
        for path in folder.iterdir():  # `glob` would pass over what it may not read
            key = path.relative_to(self._folder).as_posix()
            if path.is_dir():
                found.folders.append(f"{key}/")
            elif not path.name.startswith(_PART):
                found.entries.append(_entry(key, path.stat()))
        if deeper:
            inner = [self._list(below, deeper) for below in found.folders]
            return Listing(found.entries + [entry for one in inner for entry in one.entries])
        return found

    def _head(self, key: str) -> Entry | None:
        path = self._folder / key
        return None if path.is_dir() else _entry(key, path.stat())

    @contextmanager
    def _open(self, key: str, first: int, tag: str, end: int | None = None) -> Iterator[Opened]:
        with (self._folder / key).open("rb") as file:
            file.seek(first)
            entry = _entry(key, os.fstat(file.fileno()))
            last = entry.size if end is None else end
            yield Opened(
                entry, first, iter(lambda: file.read(max(0, min(BLOCK, last - file.tell()))), b"")
            )

    def _write(self, key: str, content: bytes | Path) -> None:
        with self._beside(key, content) as (part, path):
            part.replace(path)

    def _create(self, key: str, content: bytes, writer: str) -> None:
        with self._beside(key, content) as (part, path):
            os.link(part, path)

    def _replace(self, key: str, content: bytes, tag: str, writer: str) -> None:
        folder = (self._folder / key).parent
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            found = self._head(key)
            if found is None or found.tag != tag:
                raise ChangedError(f"{key} changed")
            self._write(key, content)
        finally:
            os.close(handle)

    def _writer(self, key: str) -> str:
        return ""  # no answer of a disk is lost

    def _copy(self, key: str, target: str) -> None:
        self._write(target, self._folder / key)

    def _delete(self, key: str) -> None:
        (self._folder / key).unlink()

    @contextmanager
    def _beside(self, key: str, content: bytes | Path) -> Iterator[tuple[Path, Path]]:
        """The content under another name, flushed, and the name that it is to have."""
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{_PART}{uuid.uuid4().hex}")
        try:
            if isinstance(content, bytes):
                part.write_bytes(content)
            else:
                shutil.copyfile(content, part)
            flush(part)
            yield part, path
            flush(path.parent)
        finally:
            part.unlink(missing_ok=True)


_PART = ".part-"
"""Names of files begin so while they are written."""


def flush(path: Path) -> None:
    """Have what was written to a file or a folder on the disk itself.

    Raises:
        OSError: It cannot be.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _entry(key: str, stat: os.stat_result) -> Entry:
    tag = f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
    return Entry(key, stat.st_size, tag, stat.st_mtime)
