"""Pushed models and the log of promotions on S3; what `base.Destination` says of each."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
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
from mfx.errors import MfxError
from mfx.storage import s3
from mfx.storage.address import S3Address, on_s3

_TAKEN = "PreconditionFailed"
"""What S3 says to a conditional write that came second."""


class S3Destination:
    """Versions as key prefixes; credentials and endpoint as boto3 finds them.

    The storage must know conditional writes (`If-None-Match: *`), as S3 does since August 2024; one
    that does not is found out, and refused, at the first write that needs them.
    """

    _LAST = "saved_model.pb"
    """Copied last: servers take a version for complete once it holds this file."""

    def __init__(self, folder: S3Address) -> None:
        self._folder, self._bucket, self._prefix = folder, folder.bucket, folder.prefix
        with self._one_error("cannot open"):
            self._s3 = s3.client()
        self._read: dict[str, dict[str, Any]] = {}
        self._listed: list[dict[str, Any]] = []
        self._names: dict[int, str] = {}
        self._excludes = False

    @classmethod
    def at(cls, address: str, model: str) -> S3Destination:
        """The keys of the model below the prefix.

        Raises:
            MfxError: The address is none on S3.
        """
        if (there := on_s3(address)) is None:
            raise MfxError(f"{address}: expected s3://bucket/prefix")
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
        except s3.S3GoneError:  # nothing can be removed now either
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
        self._listed = listed = self._list("")
        keys = self._split(listed)
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
        """Of what S3 told of its files when `versions` was called last."""
        below = f"{self._prefix}{self._name(version)}/"
        found = [(e["Key"][len(below) :], e) for e in self._listed if e["Key"].startswith(below)]
        # A file's ETag is another after any other write.
        tags = [(path, entry["ETag"]) for path, entry in found if not path.startswith(EXTRA)]
        return files_digest(tags)

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
            self._s3.download_file(self._bucket, f"{self._prefix}{name}/{path}", str(target))

        with self._one_error("cannot read"):
            s3.in_parallel(download, self._below(f"{name}/"))

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
            self._s3.upload_file(str(path), self._bucket, key)

        try:
            with self._one_error("cannot push"):
                s3.in_parallel(upload, sorted(p for p in directory.rglob("*") if p.is_file()))
        except s3.S3GoneError:  # nothing can be removed now either
            raise
        except BaseException:
            self.discard(name)
            raise

    def staged_digest(self, name: str) -> str:
        """`files_digest` of staged files; empty if they are not there."""
        return self._digest(f"{name}/")

    def publish(self, name: str, version: int) -> None:
        """Claim the number with the record, copy inside S3, the file that completes it last.

        Raises:
            VersionTakenError: Something else has this version.
            MfxError: The bucket is missing, access is denied, or there is nothing staged.
        """
        record = self._json(f"{name}/{RECORD}")
        if record is None or not self._put(f"{version}/{RECORD}", record):
            push = self.record(version).get("push")
            if push == name and self._exists(f"{version}/{self._LAST}"):
                return
            if push != name and record is not None:
                raise VersionTakenError(self.path(version))
        sizes = self._sizes(f"{name}/")
        with self._one_error("cannot push"):
            if set(sizes) <= {RECORD}:
                raise OSError(f"{name} is gone")
            copied = [path for path in sizes if path not in (RECORD, self._LAST)]
            s3.in_parallel(lambda path: self._copy(name, version, path), copied)
            there = self._sizes(f"{version}/")
            if wrong := [path for path in copied if there.get(path) != sizes[path]]:
                raise OSError(f"{', '.join(wrong)}: not all bytes came to {version}")
            s3.with_retries(lambda: self._copy(name, version, self._LAST))

    def _copy(self, name: str, version: int, path: str) -> None:
        source = {"Bucket": self._bucket, "Key": f"{self._prefix}{name}/{path}"}
        self._s3.copy(source, self._bucket, f"{self._prefix}{version}/{path}")

    def discard(self, name: str) -> None:
        """Remove staged files, if they are still there."""
        self._delete(f"{name}/")

    def staged(self) -> dict[str, float]:
        """Names of staged files, and their age in seconds."""
        now, found = time.time(), {}
        for entry in self._list(STAGED):
            name = entry["Key"][len(self._prefix) :].split("/")[0]
            found[name] = now - entry["LastModified"].timestamp()
        return found

    def withdraw(self, version: int) -> None:
        """Remove the file that completes the version first."""
        name = self._name(version)
        with self._one_error("cannot remove"):
            self._remove(f"{self._prefix}{name}/{self._LAST}")
        self._delete(f"{name}/")

    def entries(self) -> list[str]:
        """Names in the log, sorted."""
        names = self._below(f"{LOG}/")
        return sorted(name.removesuffix(".json") for name in names if name[0].isdecimal())

    def read_entries(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of the log, by name; each is asked for once, several at a time."""
        missing = [name for name in names if name not in self._read]
        found = s3.in_parallel(lambda name: self._json(f"{LOG}/{name}.json") or {}, missing)
        self._read |= dict(zip(missing, found, strict=True))
        return [self._read[name] for name in names]

    def write_entry(self, name: str, entry: dict[str, Any]) -> bool:
        """A conditional write."""
        return self._put(f"{LOG}/{name}.json", entry)

    def _put(self, key: str, value: dict[str, Any]) -> bool:
        """Write JSON where there is nothing yet; whether it is ours that is there.

        Raises:
            MfxError: The storage writes over what is there.
        """
        body, writer = json.dumps(value, indent=2).encode(), uuid.uuid4().hex

        def written() -> bool:
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=self._prefix + key,
                    Body=body,
                    Metadata={"writer": writer},
                    IfNoneMatch="*",
                )
            except self._s3.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != _TAKEN:
                    raise
                return False
            return True

        def write() -> bool:
            if written():
                return True
            # By an earlier try of ours, whose answer was lost, or by another writer.
            found = self._s3.head_object(Bucket=self._bucket, Key=self._prefix + key)
            return found["Metadata"].get("writer") == writer

        with self._one_error("cannot write"):
            ours = s3.with_retries(write)
            # The second write of the same must be refused, or any other writer's would not be.
            if ours and not self._excludes and s3.with_retries(written):
                self._remove(self._prefix + key)
                raise MfxError(
                    f"{self._folder}: this S3 writes over what is there even when "
                    "told not to (If-None-Match), so two pushes could undo each other",
                    "Push to a storage that knows conditional writes, as Amazon S3 does.",
                )
            self._excludes = True
        return ours

    def _json(self, key: str) -> dict[str, Any] | None:
        """An object's JSON; None if there is no such object."""

        def read() -> dict[str, Any] | None:
            try:
                found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
            except self._s3.exceptions.NoSuchKey:
                return None
            return as_record(found["Body"].read(), str(self._folder.at(self._prefix + key)))

        with self._one_error("cannot read"):
            return s3.with_retries(read)

    def _exists(self, key: str) -> bool:
        return any(e["Key"] == self._prefix + key for e in self._list(key))

    def _digest(self, below: str) -> str:
        def digest(path: str) -> tuple[str, str] | None:
            key = f"{self._prefix}{below}{path}"
            try:
                body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
            except self._s3.exceptions.NoSuchKey:  # removed while we looked
                return None
            found = hashlib.sha256()
            for block in body.iter_chunks(2**20):
                found.update(block)
            return path, found.hexdigest()

        with self._one_error("cannot read"):
            return files_digest(filter(None, s3.in_parallel(digest, self._below(below))))

    def _delete(self, below: str) -> None:
        with self._one_error("cannot remove"):
            s3.in_parallel(self._remove, [entry["Key"] for entry in self._list(below)])

    def _remove(self, key: str) -> None:
        s3.with_retries(lambda: self._s3.delete_object(Bucket=self._bucket, Key=key))

    def _split(self, listed: list[dict[str, Any]]) -> list[list[str]]:
        """Keys below a folder of the model's own, in parts."""
        keys = [entry["Key"][len(self._prefix) :].split("/") for entry in listed]
        return [parts for parts in keys if len(parts) > 1]

    def _name(self, version: int) -> str:
        """The version's prefix, under the name that `versions` found it by."""
        return self._names.get(version, str(version))

    def _below(self, prefix: str) -> list[str]:
        """Keys below a prefix of the model's own, without it."""
        return list(self._sizes(prefix))

    def _sizes(self, prefix: str) -> dict[str, int]:
        """Sizes of what is below a prefix of the model's own, by key without it."""
        skipped = len(self._prefix + prefix)
        return {entry["Key"][skipped:]: entry["Size"] for entry in self._list(prefix)}

    def _list(self, prefix: str) -> list[dict[str, Any]]:
        with self._one_error("cannot list"):
            return s3.listed(self._s3, self._folder.at(self._prefix + prefix))[0]

    def _one_error(self, what: str) -> AbstractContextManager[None]:
        return s3.one_error(str(self._folder), what)
