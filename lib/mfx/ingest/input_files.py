"""Input files as files on disk, also those of a storage.

Their identity for a run's lineage is the hash of their bytes, which are read anyway: the same file
has the same lineage wherever it lies, and one that changed during the run is noticed.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from mfx.artifacts import Shard, SourceFile
from mfx.errors import MfxError
from mfx.storage import open_storage
from mfx.storage.address import Address, parse
from mfx.storage.answers import NotThereError
from mfx.storage.base import Storage
from mfx.storage.retries import WORKERS

SMALL = 16 * 2**20
"""Bytes up to which an object is fetched ahead."""
AHEAD = 2 * WORKERS
"""Objects that are fetched ahead; bounds the disk's space together with SMALL."""


def each_on_disk(
    addresses: Sequence[str], files: Sequence[SourceFile] = ()
) -> Iterator[tuple[str, AbstractContextManager[Path]]]:
    """Each address and its file as `on_disk` gives it, in order.

    Small objects of a storage are fetched ahead, several at a time: to wait for each would take an
    hour for ten thousand of them.

    Args:
        addresses: The files'.
        files: What `start` saw of each; of one with a part, only what its reading takes is fetched.
    """
    seen: list[SourceFile | None] = [*files] or [None] * len(addresses)
    remote = [there for address in addresses if (there := parse(address))]
    if len(remote) < max(2, len(addresses)):
        for address, file in zip(addresses, seen, strict=True):
            yield address, on_disk(address, file)
        return
    storages = {there.at(""): open_storage(there) for there in remote}
    with (
        tempfile.TemporaryDirectory(prefix="mfx-") as directory,
        ThreadPoolExecutor(WORKERS) as pool,
    ):

        def fetch(number: int) -> Future[Path | None]:
            there, folder = remote[number], Path(directory, str(number))
            return pool.submit(_fetch_if_small, storages[there.at("")], there, folder, seen[number])

        numbers = iter(range(len(addresses)))
        fetched = deque(fetch(number) for number in itertools.islice(numbers, AHEAD))
        try:
            for address, file in zip(addresses, seen, strict=True):
                yield address, on_disk(address, file, fetched.popleft())
                fetched.extend(fetch(number) for number in itertools.islice(numbers, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch_if_small(
    storage: Storage, there: Address, folder: Path, file: SourceFile | None
) -> Path | None:
    """A copy of an object, made below `folder`; none of a large one."""
    path = folder / there.name
    folder.mkdir()
    if file and file.part:
        return _fetch(storage, there, path, file) if Shard((file,)).size <= SMALL else None
    return path if storage.fetch(there.key, path, most=SMALL) else None


def _fetch(storage: Storage, there: Address, path: Path, file: SourceFile | None) -> Path:
    """A copy of an object; of a part, a file of the object's size with no more than it needs."""
    if file and file.part:
        storage.fetch_ranges(there.key, path, file.size, file.part.ranges(file.size))
    else:
        storage.fetch(there.key, path)
    return path


@contextmanager
def on_disk(
    address: str,
    file: SourceFile | None = None,
    fetched: Future[Path | None] | None = None,
) -> Iterator[Path]:
    """The file as one on disk: itself, or a temporary copy of an object of a storage.

    An `MfxError` raised in the body names the address, not the copy.

    Args:
        address: The file's.
        file: What `start` saw of it, if only a part is to be read.
        fetched: Gives a copy that is to be used, and removed, if there is one.

    Raises:
        MfxError: The object is missing or cannot be read.
    """
    there = parse(address)
    if not there:
        yield Path(address)
        return
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        path = Path(directory, there.name)
        try:
            if fetched and (ahead := fetched.result()):
                ahead.replace(path)
            else:
                _fetch(open_storage(there), there, path, file)
        except NotThereError:
            raise MfxError(
                f"{address}: no such object", "Give one that exists: --data, or path under [data]."
            ) from None
        try:
            yield path
        except MfxError as error:
            what = error.what.replace(str(path), address)
            raise MfxError(what, error.remedy.replace(str(path), address)) from None
