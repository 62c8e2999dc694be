"""Where pushed models lie: `<destination>/<model>/<version>/`, on disk or on S3.

Model servers poll this folder: a version is there whole or not at all, and versions only grow.
Beside the versions, in `promotions/`, stands the log of who put them there (`mfx.registry.log`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from mfx.artifacts.lineage import hash_file
from mfx.errors import MfxError, PassingError
from mfx.storage import address

EXTRA = "assets.extra/"
"""In each version: what belongs to it and is not the model."""
RECORD = f"{EXTRA}mfx.json"
"""In each version: what it was pushed from. Model servers ignore it."""
MEASURED = "infra_validation"
"""Key of the record: how the model was served before the push, the fields of `artifacts.Replay`."""
LOG = "promotions"
MAX_VERSION = 2**63 - 1
STAGED = ".staged-"
"""Names of staged files begin so; no server reads them."""


class VersionTakenError(Exception):
    """Another push put something else under the version's number."""


class Destination(Protocol):
    """A place for one model's versions and the log of their promotions."""

    def try_out(self) -> None:
        """Do all that a promotion does, on a file of no meaning; leave nothing behind."""

    def versions(self) -> list[int]:
        """Complete versions, oldest first."""

    def passed_over(self) -> list[str]:
        """Names that lie where versions do and are none, sorted."""

    def next_version(self) -> int:
        """A number above all versions, complete or not."""

    def fingerprint(self, version: int) -> str:
        """Changes when what a server reads of the version does; empty if it is not there."""

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
        MfxError: Another kind of URL, or what only looks like one.
    """
    if address.check(destination).startswith("s3://"):
        from mfx.destinations.s3 import S3Destination

        return S3Destination(destination, model)
    return LocalDestination(Path(destination, model))


def open_folder(folder: str) -> tuple[Destination, str]:
    """A model's folder `<destination>/<model>`, and the model's name.

    Args:
        folder: On disk, or `s3://bucket/…/model`.

    Raises:
        MfxError: Another kind of URL, or no model's name in it.
    """
    if not address.is_url(address.check(folder)):
        path = Path(folder).resolve()
        return LocalDestination(path), path.name
    above, _, name = folder.rstrip("/").rpartition("/")
    if above in ("s3:/", "s3:"):
        raise MfxError(f"{folder}: expected s3://bucket/model, or s3://bucket/prefix/model")
    return open_destination(above, name), name


def is_denied(error: MfxError) -> bool:
    """Whether what a destination said is that this user may not do it, though others may."""
    why = error.__context__
    if isinstance(why, OSError):
        return why.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    answer = getattr(why, "response", {}).get("ResponseMetadata", {})  # of S3
    return answer.get("HTTPStatusCode") == HTTPStatus.FORBIDDEN


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


def as_record(content: bytes, where: str) -> dict[str, Any]:
    """A record of a push, or an entry of the log.

    Raises:
        MfxError: It is not one.
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        found, why = None, f": {error}"
    else:
        why = ""
    if isinstance(found, dict):
        return found
    raise MfxError(
        f"{where}: expected a JSON object{why}",
        "Was it edited, or cut off? Records of pushes are written once and never changed.",
    )


def above(versions: Iterable[int]) -> int:
    """Seconds since 1970, as TFX's Pusher, but always above what is there."""
    return max([int(time.time()), *(version + 1 for version in versions)])


def version_number(name: str) -> int | None:
    """The version that a folder's name stands for, as TF Serving reads it: `0001` is 1.

    None for what is no whole number, and for numbers that int64 does not hold: no client could ask
    for them. (TF Serving takes negative ones too, which its REST API cannot name.)
    """
    if not (name.isascii() and name.isdecimal()):
        return None
    digits = name.lstrip("0")
    return int(name) if len(digits) <= 19 and int(name) <= MAX_VERSION else None


def version_names(names: Collection[str]) -> dict[int, str]:
    """Each version's folder. Of several for one version, as 1 and 0001, the last by its text: 1."""
    found = ((version_number(name), name) for name in sorted(names))
    return {version: name for version, name in found if version is not None}


def not_versions(names: Collection[str]) -> list[str]:
    """Names that somebody may have meant for versions: those that `version_names` leaves."""
    others = set(names) - set(version_names(names).values()) - {LOG}
    return sorted(name for name in others if not name.startswith("."))


def changes(path: str) -> bool:
    """Whether a file of a model counts in its fingerprint.

    Not the weights, which are large: `variables.index` has a checksum of each.
    """
    return not path.startswith(EXTRA) and ".data-" not in path


class LocalDestination:
    """Versions as folders on a local or mounted disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[int, tuple[Any, str]] = {}

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
                _flush(probe / "written")
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
        return above(self.versions())

    def fingerprint(self, version: int) -> str:
        """Of the files that a server reads; they are read again only when one was written."""
        folder = self._version(version)
        with self._one_error("cannot read"):
            files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
            stats = {name: path.stat() for name, path in files.items()}
            written = {name: (s.st_ino, s.st_mtime_ns, s.st_size) for name, s in stats.items()}
            seen, digest = self._seen.get(version, (None, ""))
            if seen != written:
                hashes = [(name, hash_file(path)) for name, path in files.items() if changes(name)]
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
            self._version(version).rename(self._folder / name)
        self.discard(name)

    def entries(self) -> list[str]:
        """Names in the log, sorted."""
        with self._one_error("cannot read"):
            if not (self._folder / LOG).exists():
                return []
            # `glob` would pass over what it may not read.
            files = list((self._folder / LOG).iterdir())
        return sorted(p.stem for p in files if p.name[0].isdigit() and p.suffix == ".json")

    def read_entries(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of the log, by name."""
        with self._one_error("cannot read"):
            paths = [self._folder / LOG / f"{name}.json" for name in names]
            return [as_record(path.read_bytes(), str(path)) for path in paths]

    def write_entry(self, name: str, entry: dict[str, Any]) -> bool:
        """Write and flush under another name, then link: whole or not there, never replaced."""
        folder = self._folder / LOG
        written = folder / f".{uuid.uuid4().hex}"
        try:
            with self._one_error("cannot write the log of promotions"):
                folder.mkdir(parents=True, exist_ok=True)
                written.write_text(json.dumps(entry, indent=2), encoding="utf-8")
                _flush(written)
                try:
                    os.link(written, folder / f"{name}.json")
                except FileExistsError:
                    return False
                _flush(folder)
                return True
        finally:
            written.unlink(missing_ok=True)

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
