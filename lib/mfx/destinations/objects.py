"""Pushed models and the log of promotions in a bucket, on S3, Google Cloud Storage or Azure; what
`base.Destination` says of each."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mfx.destinations.base import (
    EXTRA,
    LOG,
    RECORD,
    STAGED,
    VersionTakenError,
    as_record,
    files_digest,
    next_number,
    not_versions,
    version_names,
)
from mfx.errors import MfxError, TransientError
from mfx.storage import open_storage
from mfx.storage.address import Address, parse
from mfx.storage.answers import Entry, NotThereError
from mfx.storage.retries import StorageGoneError, in_parallel


class ObjectDestination:
    """Versions as key prefixes; credentials and endpoint as the storage's client finds them.

    The storage must know conditional writes; one that may not is found out, and refused, at the
    first write that needs them.
    """

    _LAST = "saved_model.pb"
    """Copied last: servers take a version for complete once it holds this file."""

    def __init__(self, folder: Address) -> None:
        self._folder, self._prefix = folder, folder.prefix
        self._storage = open_storage(folder)
        self._read: dict[str, dict[str, Any]] = {}
        self._listed: list[Entry] = []
        self._names: dict[int, str] = {}

    @classmethod
    def at(cls, address: str, model: str) -> ObjectDestination:
        """The keys of the model below the prefix.

        Raises:
            MfxError: The address is none in a bucket, or the storage cannot be asked.
        """
        if (there := parse(address)) is None:
            raise MfxError(f"{address}: expected s3://bucket/prefix, or another URL of a bucket")
        return cls(there.at(f"{there.prefix}{model}/"))

    def try_out(self) -> None:
        """List, write with a condition, read back and remove.

        Raises:
            MfxError: No such bucket, one of these is denied, or writes with a condition are not
                known here.
        """
        self.versions()
        name = f"{STAGED}{uuid.uuid4().hex}"
        try:
            self._put(f"{name}/written", {})
            self._json(f"{name}/written")
        except StorageGoneError:  # nothing can be removed now either
            raise
        except BaseException:
            with suppress(MfxError):
                self.discard(name)
            raise
        self.discard(name)

    def versions(self) -> list[int]:
        """Complete versions, oldest first.

        Raises:
            MfxError: The bucket is missing or access is denied.
        """
        self._listed = self._list("")
        keys = self._split(self._listed)
        self._names = version_names([parts[0] for parts in keys if parts[1:] == [self._LAST]])
        return sorted(self._names)

    def passed_over(self) -> list[str]:
        """Names that are no versions, sorted.

        Raises:
            MfxError: The bucket is missing or access is denied.
        """
        return not_versions({parts[0] for parts in self._split(self._list(""))})

    def next_version(self) -> int:
        """A number above all versions, complete or not."""
        return next_number(version_names({parts[0] for parts in self._split(self._list(""))}))

    def fingerprint(self, version: int) -> str:
        """Of what the storage told of its files when `versions` was called last."""
        below = f"{self._prefix}{self._name(version)}/"
        found = [(e.key[len(below) :], e) for e in self._listed if e.key.startswith(below)]
        # A file's tag is another after any other write.
        return files_digest([(path, e.tag) for path, e in found if not path.startswith(EXTRA)])

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""
        return self._json(f"{self._name(version)}/{RECORD}") or {}

    def path(self, version: int) -> str:
        """The version's URL."""
        return str(self._folder.at(self._prefix + self._name(version)))

    def folder(self, version: int) -> None:
        """None: it must be fetched."""

    def fetch(self, version: int, directory: Path) -> None:
        """Download the version's files into `directory`; each appears there whole."""
        name = self._name(version)

        def download(path: str) -> None:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._storage.fetch(f"{self._prefix}{name}/{path}", target)

        in_parallel(download, self._sizes(f"{name}/"))

    def digest(self, version: int) -> str:
        """`files_digest` of the version, read back whole; empty if it is not there."""
        return self._digest(f"{self._name(version)}/")

    def stage(self, directory: Path, name: str) -> None:
        """Upload under a prefix that no server reads.

        Raises:
            MfxError: The bucket is missing or access is denied.
        """

        def upload(path: Path) -> None:
            key = f"{self._prefix}{name}/{path.relative_to(directory).as_posix()}"
            self._storage.write(key, path)

        try:
            in_parallel(upload, sorted(p for p in directory.rglob("*") if p.is_file()))
        except StorageGoneError:  # nothing can be removed now either
            raise
        except BaseException:
            self.discard(name)
            raise

    def staged_digest(self, name: str) -> str:
        """`files_digest` of staged files; empty if they are not there."""
        return self._digest(f"{name}/")

    def publish(self, name: str, version: int) -> None:
        """Claim the number with the record, copy inside the storage, what completes it last.

        Raises:
            VersionTakenError: Something else has this version.
            MfxError: The bucket is missing, access is denied, or there is nothing staged.
        """
        record = self._json(f"{name}/{RECORD}")
        if record is None or not self._put(f"{version}/{RECORD}", record):
            push = self.record(version).get("push")
            if push == name and self._storage.head(f"{self._prefix}{version}/{self._LAST}"):
                return
            if push != name and record is not None:
                raise VersionTakenError(self.path(version))
        sizes = self._sizes(f"{name}/")
        if set(sizes) <= {RECORD}:
            raise self._unpublished(f"{name} is gone")
        copied = [path for path in sizes if path not in (RECORD, self._LAST)]
        in_parallel(lambda path: self._copy(name, version, path), copied)
        there = self._sizes(f"{version}/")
        if wrong := [path for path in copied if there.get(path) != sizes[path]]:
            raise self._unpublished(f"{', '.join(wrong)}: not all bytes came to {version}")
        self._copy(name, version, self._LAST)

    def discard(self, name: str) -> None:
        """Remove staged files, if they are still there."""
        self._delete(f"{name}/")

    def staged(self) -> dict[str, float]:
        """Names of staged files, and their age in seconds."""
        now, found = time.time(), {}
        for entry in self._list(""):
            name = entry.key[len(self._prefix) :].split("/")[0]
            if name.startswith(STAGED):
                found[name] = now - entry.modified
        return found

    def withdraw(self, version: int) -> None:
        """Remove the file that completes the version first."""
        name = self._name(version)
        self._storage.delete(f"{self._prefix}{name}/{self._LAST}")
        self._delete(f"{name}/")

    def entries(self) -> list[str]:
        """Names in the log, sorted."""
        names = self._sizes(f"{LOG}/")
        return sorted(name.removesuffix(".json") for name in names if name[0].isdecimal())

    def read_entries(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of the log, by name; each is asked for once, several at a time."""
        missing = [name for name in names if name not in self._read]
        found = in_parallel(lambda name: self._json(f"{LOG}/{name}.json") or {}, missing)
        self._read |= dict(zip(missing, found, strict=True))
        return [self._read[name] for name in names]

    def write_entry(self, name: str, entry: dict[str, Any]) -> bool:
        """A conditional write."""
        return self._put(f"{LOG}/{name}.json", entry)

    def _put(self, key: str, value: dict[str, Any]) -> bool:
        """Write JSON where there is nothing yet; whether it is ours that is there.

        Raises:
            MfxError: It cannot be written, or the storage writes over what is there.
        """
        body = json.dumps(value, indent=2).encode()
        return self._storage.write_if_absent(self._prefix + key, body)

    def _json(self, key: str) -> dict[str, Any] | None:
        """An object's JSON; None if there is no such object."""
        try:
            found = self._storage.read(self._prefix + key)
        except NotThereError:
            return None
        return as_record(found, str(self._folder.at(self._prefix + key)))

    def _copy(self, name: str, version: int, path: str) -> None:
        below = f"{self._prefix}{name}/{path}"
        self._storage.copy(below, f"{self._prefix}{version}/{path}")

    def _unpublished(self, why: str) -> MfxError:
        return TransientError(f"{self._folder}: cannot push: {why}", "Push again.")

    def _digest(self, below: str) -> str:
        def digest(path: str) -> tuple[str, str] | None:
            try:
                return path, self._storage.sha256(f"{self._prefix}{below}{path}")
            except NotThereError:  # removed while we looked
                return None

        return files_digest(filter(None, in_parallel(digest, self._sizes(below))))

    def _delete(self, below: str) -> None:
        in_parallel(self._storage.delete, [entry.key for entry in self._list(below)])

    def _split(self, listed: list[Entry]) -> list[list[str]]:
        """Keys below a folder of the model's own, in parts."""
        keys = [entry.key[len(self._prefix) :].split("/") for entry in listed]
        return [parts for parts in keys if len(parts) > 1]

    def _name(self, version: int) -> str:
        """The version's prefix, under the name that `versions` found it by."""
        return self._names.get(version, str(version))

    def _sizes(self, folder: str) -> dict[str, int]:
        """Sizes of what is below a folder of the model's own, by key without it."""
        skipped = len(self._prefix + folder)
        return {entry.key[skipped:]: entry.size for entry in self._list(folder)}

    def _list(self, folder: str) -> list[Entry]:
        return self._storage.list(self._prefix + folder).entries
