"""Where pushed models lie: `<destination>/<model>/<version>/`, on disk or on S3.

Model servers poll this folder: a version is there whole or not at all, and versions only grow.
Beside the versions, in `promotions/`, stands the log of who put them there (`mfx.registry.log`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from mfx.errors import MfxError, PassingError
from mfx.lineage import hash_file

RECORD = "assets.extra/mfx.json"
"""In each version: what it was pushed from. Model servers ignore `assets.extra`."""
MEASURED = "infra_validation"
"""Key of the record: how the model was served before the push, the fields of `artifacts.Replay`."""
LOG = "promotions"
STAGED = ".staged-"
"""Names of staged files begin so; no server reads them."""


class VersionTakenError(Exception):
    """Another push put something else under the version's number."""


class Destination(Protocol):
    """A place for one model's versions and the log of their promotions."""

    def versions(self) -> list[int]:
        """Complete versions, oldest first."""

    def next_version(self) -> int:
        """A number above all versions, complete or not."""

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""

    def path(self, version: int) -> str:
        """Where a server finds the version."""

    def folder(self, version: int) -> Path | None:
        """The version's folder on this machine's disks; None if it must be fetched."""

    def fetch(self, version: int, directory: Path) -> None:
        """Copy the version's files into `directory`."""

    def digest(self, version: int) -> str:
        """`files_digest` of the version; empty if it is not there."""

    def stage(self, directory: Path, name: str) -> None:
        """Copy the files below `directory` to where no server looks, under a name after STAGED."""

    def staged_digest(self, name: str) -> str:
        """`files_digest` of staged files; empty if they are not there."""

    def publish(self, name: str, version: int) -> None:
        """Make staged files the version, all or nothing; again and by several, as if once."""

    def discard(self, name: str) -> None:
        """Remove staged files, if they are still there."""

    def staged(self) -> dict[str, float]:
        """Names of staged files, and their age in seconds."""

    def withdraw(self, version: int) -> None:
        """Remove a version, if it is still there."""

    def entries(self) -> list[str]:
        """Names in the log, sorted."""

    def read_entries(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of the log, by name; they never change."""

    def write_entry(self, name: str, entry: dict[str, Any]) -> bool:
        """Write an entry for good; False if there is one of this name."""


def open_destination(destination: str, model: str) -> Destination:
    """The destination's folder of one model.

    Args:
        destination: A folder or `s3://bucket/prefix`.
        model: The model's name.

    Raises:
        MfxError: Another kind of URL.
    """
    if destination.startswith("s3://"):
        from mfx.destination_s3 import S3Destination

        return S3Destination(destination, model)
    if "://" in destination:
        raise MfxError(f"{destination}: expected a folder or s3://bucket/prefix")
    return LocalDestination(Path(destination, model))


def open_folder(folder: str) -> tuple[Destination, str]:
    """A model's folder `<destination>/<model>`, and the model's name.

    Args:
        folder: On disk, or `s3://bucket/…/model`.

    Raises:
        MfxError: Another kind of URL, or no model's name in it.
    """
    if "://" not in folder:
        path = Path(folder).resolve()
        return LocalDestination(path), path.name
    above, _, name = folder.rstrip("/").rpartition("/")
    if above in ("s3:/", "s3:"):
        raise MfxError(f"{folder}: expected s3://bucket/model, or s3://bucket/prefix/model")
    return open_destination(above, name), name


def files_digest(hashes: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over a model's files, by which pushed bytes are known again.

    Args:
        hashes: Each file's path inside the model, with `/`, and SHA-256. RECORD does not count: it
            tells of the push, not of the model.
    """
    lines = "".join(f"{path}\0{sha}\n" for path, sha in sorted(hashes) if path != RECORD)
    return hashlib.sha256(lines.encode()).hexdigest() if lines else ""


def folder_digest(folder: Path) -> str:
    """`files_digest` of the files below a folder; empty if there is none."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return files_digest((path.relative_to(folder).as_posix(), hash_file(path)) for path in files)


def above(versions: Iterable[int]) -> int:
    """Seconds since 1970, as TFX's Pusher, but always above what is there."""
    return max([int(time.time()), *(version + 1 for version in versions)])


class LocalDestination:
    """Versions as folders on a local or mounted disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def versions(self) -> list[int]:
        """Complete versions, oldest first.

        Raises:
            MfxError: The folder cannot be read.
        """
        with self._one_error("cannot read"):
            if not self._folder.is_dir():
                return []
            folders = [p for p in self._folder.iterdir() if p.name.isdecimal() and p.is_dir()]
        return sorted(int(p.name) for p in folders)

    def next_version(self) -> int:
        """A number above all versions."""
        return above(self.versions())

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""
        path = self._folder / str(version) / RECORD
        with self._one_error("cannot read"):
            return json.loads(path.read_text()) if path.is_file() else {}

    def path(self, version: int) -> str:
        """The version's folder."""
        return str(self._folder / str(version))

    def folder(self, version: int) -> Path | None:
        """The version's folder."""
        return self._folder / str(version)

    def fetch(self, version: int, directory: Path) -> None:
        """Copy the version's files into `directory`."""
        with self._one_error("cannot read"):
            shutil.copytree(self._folder / str(version), directory, dirs_exist_ok=True)

    def digest(self, version: int) -> str:
        """`files_digest` of the version; empty if it is not there."""
        with self._one_error("cannot read"):
            return folder_digest(self._folder / str(version))

    def stage(self, directory: Path, name: str) -> None:
        """Copy under a name that no server reads, flushed to disk.

        Raises:
            MfxError: The folder cannot be written.
        """
        try:
            with self._one_error("cannot push"):
                self._folder.mkdir(parents=True, exist_ok=True)
                shutil.copytree(directory, self._folder / name)
                for path in [*(self._folder / name).rglob("*"), self._folder / name]:
                    _flush(path)
        except BaseException:
            self.discard(name)
            raise

    def staged_digest(self, name: str) -> str:
        """`files_digest` of staged files; empty if they are not there."""
        try:
            return folder_digest(self._folder / name)
        except FileNotFoundError:  # published while we looked
            return ""

    def publish(self, name: str, version: int) -> None:
        """One rename.

        Raises:
            VersionTakenError: Something else has this version.
            MfxError: The folder cannot be written, or there is nothing staged.
        """
        with self._one_error("cannot push"):
            try:
                (self._folder / name).rename(self._folder / str(version))
            except OSError:
                # A rename onto a full folder fails: we were here before, or somebody else was.
                if not (self._folder / str(version)).is_dir():
                    raise
                if self.record(version).get("push") != name:
                    raise VersionTakenError(self.path(version)) from None
            _flush(self._folder)

    def discard(self, name: str) -> None:
        """Remove staged files, if they are still there."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def staged(self) -> dict[str, float]:
        """Names of staged files, and their age in seconds."""
        now, found = time.time(), {}
        for path in self._folder.glob(STAGED + "*"):
            with suppress(FileNotFoundError):  # published or discarded while we looked
                found[path.name] = now - path.stat().st_ctime
        return found

    def withdraw(self, version: int) -> None:
        """Rename to where no server looks, then remove."""
        name = STAGED + uuid.uuid4().hex
        with self._one_error("cannot remove"), suppress(FileNotFoundError):
            (self._folder / str(version)).rename(self._folder / name)
        self.discard(name)

    def entries(self) -> list[str]:
        """Names in the log, sorted."""
        with self._one_error("cannot read"):
            return sorted(p.stem for p in (self._folder / LOG).glob("[0-9]*.json"))

    def read_entries(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of the log, by name."""
        with self._one_error("cannot read"):
            return [json.loads((self._folder / LOG / f"{n}.json").read_text()) for n in names]

    def write_entry(self, name: str, entry: dict[str, Any]) -> bool:
        """Write and flush under another name, then link: whole or not there, never replaced."""
        folder = self._folder / LOG
        written = folder / f".{uuid.uuid4().hex}"
        try:
            with self._one_error("cannot write the log of promotions"):
                folder.mkdir(parents=True, exist_ok=True)
                written.write_text(json.dumps(entry, indent=2))
                _flush(written)
                try:
                    os.link(written, folder / f"{name}.json")
                except FileExistsError:
                    return False
                _flush(folder)
                return True
        finally:
            written.unlink(missing_ok=True)

    @contextmanager
    def _one_error(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PassingError(
                f"{self._folder}: {what}: {error.strerror or error}",
                "Check the folder's permissions and free space, or give another --destination.",
            ) from None


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
