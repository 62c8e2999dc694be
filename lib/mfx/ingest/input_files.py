"""Where input files lie, on disk or in a storage: find them, and read each from disk.

Their identity for a run's lineage is the hash of their bytes, which are read anyway: the same file
has the same lineage wherever it lies, and one that changed during the run is noticed.
"""

from __future__ import annotations

import fnmatch
import itertools
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from mfx.errors import MfxError
from mfx.ingest import sources
from mfx.ingest.sources.compression import PACKED
from mfx.storage import address, open_storage
from mfx.storage.address import Address, parse
from mfx.storage.answers import NotThereError
from mfx.storage.base import Storage
from mfx.storage.retries import WORKERS

ALONE = ("http", "https")
"""Schemes of storages that list nothing: each address is one file."""
_PATTERN = "*?["

SMALL = 16 * 2**20
"""Bytes up to which an object is fetched ahead."""
AHEAD = 2 * WORKERS
"""Objects that are fetched ahead; bounds the disk's space together with SMALL."""


def find(path: str) -> list[str]:
    """The input files at `path`, sorted.

    Args:
        path: A file, a folder of files whose names end in one of `sources.suffixes`, or a pattern
            for the last part of the name; absolute on disk, or in a storage such as
            `s3://bucket/key`, `gs://…`, `az://container/key`. At `https://…` one file.

    Raises:
        MfxError: There is none, or one with and without compression; the storage cannot be asked;
            or another kind of URL.
    """
    if there := parse(address.check(path, address.FILES)):
        found, others = _find_remote(there)
    else:
        found, others = _find_on_disk(Path(path))
    if not found:
        beside = f" among its {len(others)} files, such as {Path(others[0]).name}" if others else ""
        raise MfxError(
            f"{path}: no input file found{beside}",
            f"Give a {sources.titles()} file, a folder of them "
            f"(*{', *'.join(_bare_suffixes())}) or a pattern: --data, or path under [data].",
        )
    _check_once(found)
    return found


def _check_once(addresses: list[str]) -> None:
    """Or the rows of a file that lies there unpacked as well would count twice."""
    seen: dict[str, str] = {}
    for one in addresses:
        bare = one
        for packed in PACKED[1:]:
            bare = bare.removesuffix(packed)
        if bare in seen:
            raise MfxError(
                f"{seen[bare]} and {Path(one).name}: the same name with and without compression",
                "Remove one of them, or give a pattern that one of them fits.",
            )
        seen[bare] = one


def _bare_suffixes() -> list[str]:
    """How names of input files end, without those of compressed ones."""
    return [end for end in sources.suffixes() if not end.endswith(PACKED[1:])]


def _in_folder(names: list[str]) -> tuple[list[str], list[str]]:
    """Those that are input files by their names, and the others."""
    ends = sources.suffixes()
    found = [name for name in names if name.lower().endswith(ends)]
    return found, [name for name in names if name not in set(found)]


def _check_links(folder: Path) -> None:
    """A link to nothing, or to itself, may have been meant as an input file."""
    for file in sorted(folder.iterdir()):
        lost = file.is_symlink() and not file.exists()
        if lost and file.name.lower().endswith(sources.suffixes()):
            raise MfxError(
                f"{file}: a link that leads to no file",
                "Remove the link, or make it lead to a file.",
            )


def _find_on_disk(path: Path) -> tuple[list[str], list[str]]:
    if path.is_dir():
        _check_links(path)
        return _in_folder(sorted(str(file) for file in path.iterdir() if file.is_file()))
    if any(character in path.name for character in _PATTERN) and not path.exists():
        return sorted(str(file) for file in path.parent.glob(path.name)), []
    if not path.exists():
        raise MfxError(
            f"{path}: no such file",
            f"Give a {sources.titles()} file that exists: --data, or path under [data].",
        )
    return [str(path)], []


def _find_remote(there: Address) -> tuple[list[str], list[str]]:
    storage = open_storage(there)
    if there.scheme in ALONE:
        return ([str(there)] if storage.head(there.key) else []), []
    folder, _, name = there.key.rpartition("/")
    if any(character in name for character in _PATTERN):
        keys = _keys(storage, f"{folder}/" if folder else "")
        return [str(there.at(key)) for key in keys if fnmatch.fnmatchcase(key, there.key)], []
    if name and storage.head(there.key):
        return [str(there)], []
    return _in_folder([str(there.at(key)) for key in _keys(storage, there.prefix)])


def _keys(storage: Storage, prefix: str) -> list[str]:
    """Keys that begin with `prefix`, without those in folders below, sorted."""
    return [entry.key for entry in storage.list(prefix, deeper=False).entries]


def each_on_disk(
    addresses: Sequence[str],
) -> Iterator[tuple[str, AbstractContextManager[Path]]]:
    """Each address and its file as `on_disk` gives it, in order.

    Small objects of a storage are fetched ahead, several at a time: to wait for each would take an
    hour for ten thousand of them.
    """
    remote = [there for address in addresses if (there := parse(address))]
    if len(remote) < max(2, len(addresses)):
        yield from ((address, on_disk(address)) for address in addresses)
        return
    storages = {there.at(""): open_storage(there) for there in remote}
    with (
        tempfile.TemporaryDirectory(prefix="mfx-") as directory,
        ThreadPoolExecutor(WORKERS) as pool,
    ):

        def fetch(number: int) -> Future[Path | None]:
            there, folder = remote[number], Path(directory, str(number))
            return pool.submit(_fetch_if_small, storages[there.at("")], there, folder)

        numbers = iter(range(len(addresses)))
        fetched = deque(fetch(number) for number in itertools.islice(numbers, AHEAD))
        try:
            for address in addresses:
                yield address, on_disk(address, fetched.popleft())
                fetched.extend(fetch(number) for number in itertools.islice(numbers, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch_if_small(storage: Storage, there: Address, folder: Path) -> Path | None:
    """A copy of an object, made below `folder`; none of a large one."""
    path = folder / there.name
    folder.mkdir()
    return path if storage.fetch(there.key, path, most=SMALL) else None


@contextmanager
def on_disk(address: str, fetched: Future[Path | None] | None = None) -> Iterator[Path]:
    """The file as one on disk: itself, or a temporary copy of an object of a storage.

    An `MfxError` raised in the body names the address, not the copy.

    Args:
        address: The file's.
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
                open_storage(there).fetch(there.key, path)
        except NotThereError:
            raise MfxError(
                f"{address}: no such object", "Give one that exists: --data, or path under [data]."
            ) from None
        try:
            yield path
        except MfxError as error:
            what = error.what.replace(str(path), address)
            raise MfxError(what, error.remedy.replace(str(path), address)) from None
