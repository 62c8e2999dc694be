"""Where input files lie, on disk or on S3: find them, and read each from disk."""

from __future__ import annotations

import fnmatch
import itertools
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from mfx.errors import MfxError
from mfx.ingest import sources
from mfx.ingest.sources.compression import PACKED
from mfx.storage import address, s3
from mfx.storage.address import S3Address, on_s3

_PATTERN = "*?["

SMALL = 16 * 2**20
"""Bytes up to which an object on S3 is fetched ahead."""
AHEAD = 2 * s3.WORKERS
"""Objects that are fetched ahead; bounds the disk's space together with SMALL."""


def find(path: str) -> list[str]:
    """The input files at `path`, sorted.

    Args:
        path: A file, a folder of files whose names end in one of `sources.suffixes`, or a pattern
            for the last part of the name; absolute on disk, or `s3://bucket/key`. Credentials and
            endpoint are found as boto3 finds them.

    Raises:
        MfxError: There is none, or one with and without compression; S3 cannot be asked; or another
            kind of URL.
    """
    if there := on_s3(path):
        found, others = _find_on_s3(there)
    else:
        found, others = _find_on_disk(Path(address.check(path, address.FILES)))
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


def _find_on_s3(there: S3Address) -> tuple[list[str], list[str]]:
    folder, _, name = there.key.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    if any(character in name for character in _PATTERN):
        keys = _keys(there, prefix)
        found = [str(there.at(k)) for k in keys if fnmatch.fnmatchcase(k, there.key)]
        return found, []
    if name and there.key in _keys(there, there.key):
        return [str(there)], []
    inside = f"{there.key.rstrip('/')}/" if there.key.strip("/") else ""
    return _in_folder([str(there.at(key)) for key in _keys(there, inside)])


def _keys(asked: S3Address, prefix: str) -> list[str]:
    """Keys of the same bucket that begin with `prefix`, without those in folders below, sorted."""
    with _one_error(str(asked)):
        found, _ = s3.listed(s3.client(), asked.at(prefix), deeper=False)
        return sorted(entry["Key"] for entry in found)


def each_on_disk(
    addresses: Sequence[str],
) -> Iterator[tuple[str, AbstractContextManager[Path]]]:
    """Each address and its file as `on_disk` gives it, in order.

    Small objects on S3 are fetched ahead, several at a time: to wait for each would take an hour
    for ten thousand of them.
    """
    remote = [there for address in addresses if (there := on_s3(address))]
    if len(remote) < max(2, len(addresses)):
        yield from ((address, on_disk(address)) for address in addresses)
        return
    client = s3.client()
    with (
        tempfile.TemporaryDirectory(prefix="mfx-") as directory,
        ThreadPoolExecutor(s3.WORKERS) as pool,
    ):

        def fetch(number: int) -> Future[Path | None]:
            folder = Path(directory, str(number))
            return pool.submit(_fetch_if_small, client, remote[number], folder)

        numbers = iter(range(len(addresses)))
        fetched = deque(fetch(number) for number in itertools.islice(numbers, AHEAD))
        try:
            for address in addresses:
                yield address, on_disk(address, fetched.popleft())
                fetched.extend(fetch(number) for number in itertools.islice(numbers, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch_if_small(client: Any, there: S3Address, folder: Path) -> Path | None:
    """A copy of an object, made below `folder`; none of a large one."""
    path = folder / Path(there.key).name

    def fetch() -> Path | None:
        answer = client.get_object(Bucket=there.bucket, Key=there.key)
        with answer["Body"] as body:
            if answer["ContentLength"] > SMALL:
                return None
            folder.mkdir(exist_ok=True)
            path.write_bytes(body.read())
        return path

    return s3.with_retries(fetch)


@contextmanager
def on_disk(address: str, fetched: Future[Path | None] | None = None) -> Iterator[Path]:
    """The file as one on disk: itself, or a temporary copy of an object on S3.

    An `MfxError` raised in the body names the address, not the copy.

    Args:
        address: The file's.
        fetched: Gives a copy that is to be used, and removed, if there is one.

    Raises:
        MfxError: The object is missing or cannot be read.
    """
    there = on_s3(address)
    if not there:
        yield Path(address)
        return
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        path = Path(directory, Path(there.key).name)
        with _one_error(address):
            if fetched and (ahead := fetched.result()):
                ahead.replace(path)
            else:
                client = s3.client()
                # In parts, several at a time; boto compares their checksums, where S3 has them.
                s3.with_retries(lambda: client.download_file(there.bucket, there.key, str(path)))
        try:
            yield path
        except MfxError as error:
            what = error.what.replace(str(path), address)
            raise MfxError(what, error.remedy.replace(str(path), address)) from None


@contextmanager
def _one_error(url: str) -> Iterator[None]:
    with s3.one_error(url, "cannot read"):
        try:
            yield
        except Exception as error:
            if not s3.is_absent(error):
                raise
            raise MfxError(
                f"{url}: no such object", "Give one that exists: --data, or path under [data]."
            ) from None
