"""Pushed models and the log of promotions on disk; what `base.Destination` says of each."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mfx.artifacts.lineage import hash_file
from mfx.destinations.base import (
    LOG,
    RECORD,
    STAGED,
    VersionTakenError,
    as_record,
    counts_in_fingerprint,
    files_digest,
    folder_digest,
    next_number,
    not_versions,
    version_names,
)
from mfx.errors import TransientError
from mfx.storage.address import on_disk
from mfx.storage.disk import DiskStorage, flush


class LocalDestination:
    """Versions as folders on a local or mounted disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = DiskStorage(on_disk(folder / LOG))
        self._seen: dict[int, tuple[Any, str]] = {}

    @classmethod
    def at(cls, address: str, model: str) -> LocalDestination:
        """The folder of the model below the folder."""
        return cls(Path(address, model))

    def try_out(self) -> None:
        """Write, flush, link and remove: in the folder, or where it is going to be made.

        Raises:
            MfxError: One of these cannot be done, or a file is where the folder goes.
        """
        with self._one_error("cannot write"):
            folder = self._folder
            while not folder.exists():
                folder = folder.parent
            if not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file, not a folder")
            # Named as staged files are: what a killed process leaves is cleared away with those.
            probe = folder / f"{STAGED}{uuid.uuid4().hex}"
            probe.mkdir()
            try:
                (probe / "written").write_text("tried out", encoding="utf-8")
                flush(probe / "written")
                os.link(probe / "written", probe / "linked")
            finally:
                shutil.rmtree(probe)

    def versions(self) -> list[int]:
        """Complete versions, oldest first.

        Raises:
            MfxError: The folder cannot be read.
        """
        return sorted(version_names(self._folders()))

    def passed_over(self) -> list[str]:
        """Names of folders that are no versions, sorted.

        Raises:
            MfxError: The folder cannot be read.
        """
        return not_versions(self._folders())

    def next_version(self) -> int:
        """A number above all versions."""
        return next_number(self.versions())

    def fingerprint(self, version: int) -> str:
        """Of the files that a server reads; they are read again only when one was written."""
        folder = self._version(version)
        with self._one_error("cannot read"):
            files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
            stats = {name: path.stat() for name, path in files.items()}
            written = {name: (s.st_ino, s.st_mtime_ns, s.st_size) for name, s in stats.items()}
            seen, digest = self._seen.get(version, (None, ""))
            if seen != written:
                hashes = [
                    (name, hash_file(path))
                    for name, path in files.items()
                    if counts_in_fingerprint(name)
                ]
                digest = files_digest(hashes)
                self._seen[version] = (written, digest)
        return digest

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""
        path = self._version(version) / RECORD
        with self._one_error("cannot read"):
            return as_record(path.read_bytes(), str(path)) if path.is_file() else {}

    def path(self, version: int) -> str:
        """The version's folder."""
        return str(self._version(version))

    def folder(self, version: int) -> Path | None:
        """The version's folder."""
        return self._version(version)

    def fetch(self, version: int, directory: Path) -> None:
        """Copy the version's files into `directory`."""
        with self._one_error("cannot read"):
            shutil.copytree(self._version(version), directory, dirs_exist_ok=True)

    def digest(self, version: int) -> str:
        """`files_digest` of the version; empty if it is not there."""
        with self._one_error("cannot read"):
            return folder_digest(self._version(version))

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
                    flush(path)
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
            flush(self._folder)

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
            self._version(version).rename(self._folder / name)
        self.discard(name)

    def entries(self) -> list[str]:
        """Names in the log, sorted."""
        found = [Path(entry.key) for entry in self._log.list(deeper=False).entries]
        return sorted(p.stem for p in found if p.name[0].isdigit() and p.suffix == ".json")

    def read_entries(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of the log, by name."""
        files = [f"{name}.json" for name in names]
        return [as_record(self._log.read(f), str(self._folder / LOG / f)) for f in files]

    def write_entry(self, name: str, entry: dict[str, Any]) -> bool:
        """Write and flush under another name, then link: whole or not there, never replaced."""
        return self._log.write_if_absent(f"{name}.json", json.dumps(entry, indent=2).encode())

    def _folders(self) -> list[str]:
        with self._one_error("cannot read"):
            if not os.path.lexists(self._folder):
                return []
            return [path.name for path in self._folder.iterdir() if path.is_dir()]

    def _version(self, version: int) -> Path:
        """The version's folder under the name that it was found by."""
        usual = self._folder / str(version)
        if usual.is_dir():
            return usual
        return self._folder / version_names(self._folders()).get(version, usual.name)

    @contextmanager
    def _one_error(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TransientError(
                f"{self._folder}: {what}: {error.strerror or error}",
                "Check the folder's permissions and free space, or give another --destination.",
            ) from None
