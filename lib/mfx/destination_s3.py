"""Pushed models and the log of promotions on S3; what `destination.Destination` says of each."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfx.destination import LOG, RECORD, STAGED, VersionTakenError, above, files_digest
from mfx.errors import MfxError

_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 says to a conditional write that came second."""


_READERS = 8
"""Entries of the log read at a time: no more than boto3 keeps connections."""


class S3Destination:
    """Versions as key prefixes; credentials and endpoint as boto3 finds them.

    The storage must know conditional writes (`If-None-Match: *`), as S3 does since August 2024.
    """

    _LAST = "saved_model.pb"
    """Copied last: servers take a version for complete once it holds this file."""

    def __init__(self, url: str, model: str) -> None:
        import boto3

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._bucket = bucket
        self._prefix = "/".join(part for part in (prefix.strip("/"), model) if part) + "/"
        self._s3 = boto3.client("s3")
        self._read: dict[str, dict[str, Any]] = {}

    def versions(self) -> list[int]:
        """Complete versions, oldest first.

        Raises:
            MfxError: The bucket is missing or access is denied.
        """
        return sorted(int(parts[0]) for parts in self._numbered() if parts[1:] == [self._LAST])

    def next_version(self) -> int:
        """A number above all versions, complete or not."""
        return above({int(parts[0]) for parts in self._numbered()})

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""
        return self._json(f"{version}/{RECORD}") or {}

    def path(self, version: int) -> str:
        """The version's URL."""
        return f"s3://{self._bucket}/{self._prefix}{version}"

    def folder(self, version: int) -> None:
        """None: it must be fetched."""

    def fetch(self, version: int, directory: Path) -> None:
        """Download the version's files into `directory`."""
        for path in self._below(f"{version}/"):
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._one_error("cannot read"):
                key = f"{self._prefix}{version}/{path}"
                self._s3.download_file(self._bucket, key, str(target))

    def digest(self, version: int) -> str:
        """`files_digest` of the version, read back whole; empty if it is not there."""
        return self._digest(f"{version}/")

    def stage(self, directory: Path, name: str) -> None:
        """Upload under a prefix that no server reads.

        Raises:
            MfxError: The bucket is missing or access is denied.
        """
        try:
            with self._one_error("cannot push"):
                for path in sorted(path for path in directory.rglob("*") if path.is_file()):
                    key = f"{self._prefix}{name}/{path.relative_to(directory).as_posix()}"
                    self._s3.upload_file(str(path), self._bucket, key)
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
            there = self.record(version).get("push")
            if there == name and self._exists(f"{version}/{self._LAST}"):
                return
            if there != name and record is not None:
                raise VersionTakenError(self.path(version))
        paths = [path for path in self._below(f"{name}/") if path != RECORD]
        with self._one_error("cannot push"):
            if not paths:
                raise OSError(f"{name} is gone")
            for path in sorted(paths, key=lambda path: (path == self._LAST, path)):
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
        with self._one_error("cannot remove"):
            self._s3.delete_object(Bucket=self._bucket, Key=f"{self._prefix}{version}/{self._LAST}")
        self._delete(f"{version}/")

    def entries(self) -> list[str]:
        """Names in the log, sorted."""
        names = self._below(f"{LOG}/")
        return sorted(name.removesuffix(".json") for name in names if name[0].isdecimal())

    def read_entries(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Entries of the log, by name; each is asked for once, several at a time."""
        missing = [name for name in names if name not in self._read]
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(lambda name: self._json(f"{LOG}/{name}.json") or {}, missing)
            self._read |= dict(zip(missing, found, strict=True))
        return [self._read[name] for name in names]

    def write_entry(self, name: str, entry: dict[str, Any]) -> bool:
        """A conditional write."""
        return self._put(f"{LOG}/{name}.json", entry)

    def _put(self, key: str, value: dict[str, Any]) -> bool:
        """Write JSON where there is nothing yet."""
        from botocore.exceptions import ClientError

        body = json.dumps(value, indent=2).encode()
        with self._one_error("cannot write"):
            try:
                self._s3.put_object(
                    Bucket=self._bucket, Key=self._prefix + key, Body=body, IfNoneMatch="*"
                )
            except ClientError as error:
                if error.response["Error"]["Code"] in _TAKEN:
                    return False
                raise
        return True

    def _json(self, key: str) -> dict[str, Any] | None:
        """An object's JSON; None if there is no such object."""
        with self._one_error("cannot read"):
            try:
                found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
            except self._s3.exceptions.NoSuchKey:
                return None
            return json.loads(found["Body"].read())

    def _exists(self, key: str) -> bool:
        return any(e["Key"] == self._prefix + key for e in self._list(key))

    def _digest(self, below: str) -> str:
        hashes = []
        with self._one_error("cannot read"):
            for path in self._below(below):
                key = f"{self._prefix}{below}{path}"
                try:
                    body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
                except self._s3.exceptions.NoSuchKey:  # removed while we looked
                    continue
                digest = hashlib.sha256()
                for block in body.iter_chunks(2**20):
                    digest.update(block)
                hashes.append((path, digest.hexdigest()))
        return files_digest(hashes)

    def _delete(self, below: str) -> None:
        with self._one_error("cannot remove"):
            for entry in self._list(below):
                self._s3.delete_object(Bucket=self._bucket, Key=entry["Key"])

    def _numbered(self) -> list[list[str]]:
        """Keys below a number, in parts."""
        keys = [entry["Key"][len(self._prefix) :].split("/") for entry in self._list("")]
        return [parts for parts in keys if parts[0].isdecimal() and len(parts) > 1]

    def _below(self, prefix: str) -> list[str]:
        """Keys below a prefix of the model's own, without it."""
        skipped = len(self._prefix + prefix)
        return [entry["Key"][skipped:] for entry in self._list(prefix)]

    def _list(self, prefix: str) -> list[dict[str, Any]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        with self._one_error("cannot list"):
            return [entry for page in pages for entry in page.get("Contents", [])]

    @contextmanager
    def _one_error(self, what: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
            raise MfxError(
                f"s3://{self._bucket}/{self._prefix}: {what}: {error}",
                "Check the bucket's name, the credentials and AWS_ENDPOINT_URL.",
            ) from None
