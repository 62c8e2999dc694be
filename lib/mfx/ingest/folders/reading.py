"""Read the files of a folder: several at a time, in order, in bounded memory, each once."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from mfx.artifacts import SourceFile
from mfx.columns.types import TYPES
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.folders import rows
from mfx.ingest.folders.base import Content
from mfx.ingest.rejected import Aside
from mfx.ingest.sources.base import TOLERATE, LeftOut, Tally
from mfx.ingest.sources.typed import BATCH_BYTES
from mfx.storage import Storage, open_storage
from mfx.storage.address import Address, parse
from mfx.storage.answers import Entry, NotThereError
from mfx.storage.retries import WORKERS

MOST = 2**30
"""The most bytes of a file; a larger one does not fit."""
_AHEAD = 64 * 2**20
"""Bytes that are read ahead."""
_TOGETHER, _TOGETHER_BYTES = 32, 4 * 2**20
"""Files, and bytes of them, that a thread reads one after another."""
_MOST_ROWS = 8192


class _Read(NamedTuple):
    """A file that was read: its bytes, or the first of them; and why it does not fit, or ""."""

    data: bytes
    fault: str = ""


def batches(
    files: Sequence[SourceFile],
    types: Mapping[str, str],
    content: Content,
    how: Reading,
    tally: Tally,
    aside: Aside,
    resolve: Callable[[str], str],
) -> Iterator[pa.RecordBatch]:
    """The rows of a folder's files, in batches of about BATCH_BYTES.

    Args:
        files: See `rows`.
        types: Each column's type, a name in `columns.types.TYPES`.
        content: What the files are.
        how: How much is tolerated.
        tally: Gets the counts.
        aside: Gets the files that do not fit.
        resolve: Makes a path on disk absolute.

    Raises:
        MfxError: A file cannot be read or has changed; or it does not fit, and nothing, or less, is
            tolerated.
    """
    content.prepare()
    schema = pa.schema([(name, TYPES[kind]) for name, kind in types.items()])
    held: list[dict[str, object]] = []
    size = 0
    for file, read in _each(files, content, resolve):
        if read is None:
            rows.add_note(file, tally)
            aside.take(file.path, tally)
            continue
        tally.records += 1
        if read.fault:
            if not how.tolerate:
                raise MfxError(
                    f"{file.path}: {read.fault}",
                    f"Expected {content.EXPECTED}. Mend the file, or remove it. {TOLERATE}",
                )
            tally.leave_out(LeftOut.of(1, "file", read.fault, read.data))
            aside.take(file.path, tally)
            continue
        held.append({content.COLUMN: read.data, **dict(rows.values(file))})
        size += len(read.data)
        if size >= BATCH_BYTES or len(held) == _MOST_ROWS:
            yield pa.RecordBatch.from_pylist(held, schema)
            held, size = [], 0
    if held:
        yield pa.RecordBatch.from_pylist(held, schema)


def _each(
    files: Sequence[SourceFile], content: Content, resolve: Callable[[str], str]
) -> Iterator[tuple[SourceFile, _Read | None]]:
    """The files, in order, with what was read; None for what is no file."""
    storages: dict[Address, Storage] = {}
    for file in files:
        there = parse(file.path)
        if there and there.at("") not in storages:
            storages[there.at("")] = open_storage(there)

    def read_all(group: list[SourceFile]) -> list[_Read | None]:
        return [None if rows.is_note(f) else _read(f, content, storages, resolve) for f in group]

    waiting: deque[tuple[list[SourceFile], int, Future[list[_Read | None]]]] = deque()
    threads = WORKERS if storages else min(WORKERS, os.cpu_count() or 1)
    ahead = 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for group in _groups(files):
                size = sum(min(file.size, MOST) for file in group)
                while waiting and ahead + size > _AHEAD:
                    done, bytes_of, future = waiting.popleft()
                    yield from zip(done, future.result(), strict=True)
                    ahead -= bytes_of
                ahead += size
                waiting.append((group, size, pool.submit(read_all, group)))
            while waiting:
                done, _, future = waiting.popleft()
                yield from zip(done, future.result(), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _groups(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    group: list[SourceFile] = []
    size = 0
    for file in files:
        if group and (len(group) == _TOGETHER or size + file.size > _TOGETHER_BYTES):
            yield group
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield group


def _read(
    file: SourceFile,
    content: Content,
    storages: Mapping[Address, Storage],
    resolve: Callable[[str], str],
) -> _Read:
    if file.size > MOST:
        return _Read(b"", f"of more than {MOST:,} bytes")
    data = _bytes(file, storages, resolve)
    try:
        return _Read(content.value(data))
    except ValueError as error:
        return _Read(data, str(error))


def _bytes(
    file: SourceFile, storages: Mapping[Address, Storage], resolve: Callable[[str], str]
) -> bytes:
    """A file's bytes, if they are those that `start` saw.

    Raises:
        MfxError: They are not, or cannot be read.
    """
    assert file.told is not None
    if there := parse(file.path):
        seen = Entry(there.key, file.size, file.told[1], 0)
        try:
            return storages[there.at("")].read_as_seen(seen)
        except NotThereError:
            raise _changed(file) from None
    try:
        data = Path(resolve(file.path)).read_bytes()
    except FileNotFoundError:
        raise _changed(file) from None
    except OSError as error:
        raise MfxError(
            f"{file.path}: cannot read it: {error.strerror}",
            "Give this user the right to read it.",
        ) from None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise _changed(file)
    return data


def _changed(file: SourceFile) -> MfxError:
    return MfxError(
        f"{file.path}: changed since this run began, or is gone",
        "Run again. Write new data to a folder of its own, so that no run reads a mix of both.",
    )
