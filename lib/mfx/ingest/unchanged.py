"""Notice that an input file changes while a run reads it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mfx.artifacts import SourceFile
from mfx.artifacts.lineage import hash_file
from mfx.errors import MfxError


@contextmanager
def unchanged(path: Path, file: SourceFile, address: str) -> Iterator[None]:
    """A context to read a file in. It ends with an error if the file is not what `start` saw.

    The file, or the part to read, is hashed in a thread while it is read, and once more after that
    if the system says that it was touched meanwhile.

    Args:
        path: The file, or a copy of it, on disk.
        file: What `start` saw.
        address: What messages call the file.

    Raises:
        MfxError: The content is another one. An error of the body gives way to this one: what it
            is about may no longer be there.
    """
    failed: Exception | None = None
    with ThreadPoolExecutor(1) as pool:
        before = _touched(path)
        hashed = pool.submit(_is_as_seen, path, file)
        try:
            yield
        except Exception as error:
            failed = error
        same = _is_same(path, file, hashed, before)
    if not same:
        raise MfxError(
            f"{address}: changed since this run began",
            "Run again. Write new data to a file of its own, so that no run reads a mix of both.",
        )
    if failed:
        raise failed


def _is_same(path: Path, file: SourceFile, hashed: Future[bool], before: object) -> bool:
    try:
        return hashed.result() and (_touched(path) == before or _is_as_seen(path, file))
    except OSError:  # It is gone, or was gone for a while.
        return False


def _is_as_seen(path: Path, file: SourceFile) -> bool:
    if part := file.part:
        return hash_file(path, part.begin, part.end) == part.sha256
    return hash_file(path) == file.sha256


def _touched(path: Path) -> tuple[int, ...] | None:
    """What changes on each write. No program can set `ctime` back."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ctime_ns, seen.st_mtime_ns, seen.st_size, seen.st_ino
