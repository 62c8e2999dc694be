"""Where pushed models lie: `<destination>/<model>/<version>/`, on disk or in a bucket.

Model servers poll this folder: a version is there whole or not at all, and versions only grow.
Beside the versions, in `promotions/`, stands the log of who put them there (`mfx.registry.log`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mfx.artifacts.lineage import hash_file
from mfx.errors import MfxError
from mfx.storage.answers import DeniedError

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

    @classmethod
    def at(cls, address: str, model: str) -> Destination:
        """The place of a model below the address, a folder or URL of the scheme that this is for.

        Raises:
            MfxError: The address cannot be one.
        """

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


def is_denied(error: MfxError) -> bool:
    """Whether what a destination said is that this user may not do it, though others may."""
    why = error.__context__
    if isinstance(why, OSError):
        return why.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return isinstance(error, DeniedError)


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


def next_number(versions: Iterable[int]) -> int:
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


def counts_in_fingerprint(path: str) -> bool:
    """Whether a file of a model counts in its fingerprint.

    Not the weights, which are large: `variables.index` has a checksum of each.
    """
    return not path.startswith(EXTRA) and ".data-" not in path
