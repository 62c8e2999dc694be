"""Where pushed models lie: `<destination>/<model>/<version>/`, on disk or on S3.

Model servers poll this folder: a version is there whole or not at all, and versions only grow.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mfx.errors import MfxError

RECORD = "assets.extra/mfx.json"
"""In each version: what it was pushed from. Model servers ignore `assets.extra`."""


class Destination(Protocol):
    """A place for one model's versions."""

    def versions(self) -> list[int]:
        """Complete versions, oldest first."""

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""

    def path(self, version: int) -> str:
        """Where a server finds the version."""

    def fetch(self, version: int, directory: Path) -> None:
        """Copy the version's files into `directory`."""

    def push(self, directory: Path) -> int:
        """Put the files below `directory` up as the next version; all or nothing."""


def open_destination(destination: str, model: str) -> Destination:
    """The destination's folder of one model.

    Args:
        destination: A folder or `s3://bucket/prefix`.
        model: The model's name.

    Raises:
        MfxError: Another kind of URL.
    """
    if destination.startswith("s3://"):
        return S3Destination(destination, model)
    if "://" in destination:
        raise MfxError(f"{destination}: expected a folder or s3://bucket/prefix")
    return LocalDestination(Path(destination, model))


def _next_version(versions: list[int]) -> int:
    """Seconds since 1970, as TFX's Pusher, but always above what is there."""
    return max([int(time.time()), *(version + 1 for version in versions)])


class LocalDestination:
    """Versions as folders on a local or mounted disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def versions(self) -> list[int]:
        """Complete versions, oldest first."""
        if not self._folder.is_dir():
            return []
        folders = [p for p in self._folder.iterdir() if p.name.isdecimal() and p.is_dir()]
        return sorted(int(p.name) for p in folders)

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""
        path = self._folder / str(version) / RECORD
        return json.loads(path.read_text()) if path.is_file() else {}

    def path(self, version: int) -> str:
        """The version's folder."""
        return str(self._folder / str(version))

    def fetch(self, version: int, directory: Path) -> None:
        """Copy the version's files into `directory`."""
        shutil.copytree(self._folder / str(version), directory, dirs_exist_ok=True)

    def push(self, directory: Path) -> int:
        """Stage under a name that no server reads, flush to disk, rename once.

        Raises:
            MfxError: The folder cannot be written.
        """
        staged = self._folder / f".staged-{uuid.uuid4().hex}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(directory, staged)
            for path in staged.rglob("*"):
                _flush(path)
            while True:
                version = _next_version(self.versions())
                try:
                    staged.rename(self._folder / str(version))
                    break
                except OSError:
                    # Another push took this version first; renaming onto a full folder fails.
                    if not (self._folder / str(version)).exists():
                        raise
            _flush(self._folder)
            return version
        except OSError as error:
            raise MfxError(
                f"{self._folder}: cannot push: {error.strerror or error}",
                "Check the folder's permissions and free space, or give another --destination.",
            ) from None
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
"""What S3 says to a conditional write that came second."""


class S3Destination:
    """Versions as key prefixes on S3; credentials and endpoint as boto3 finds them."""

    _LAST = "saved_model.pb"
    """Uploaded last: servers take a version for complete once it holds this file."""

    def __init__(self, url: str, model: str) -> None:
        import boto3

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._bucket = bucket
        self._prefix = "/".join(part for part in (prefix.strip("/"), model) if part) + "/"
        self._s3 = boto3.client("s3")

    def versions(self) -> list[int]:
        """Complete versions, oldest first.

        Raises:
            MfxError: The bucket is missing or access is denied.
        """
        keys = self._keys(self._prefix)
        found = [key[len(self._prefix) :].split("/") for key in keys]
        return sorted(
            int(parts[0]) for parts in found if parts[0].isdecimal() and parts[1:] == [self._LAST]
        )

    def record(self, version: int) -> dict[str, Any]:
        """What the version was pushed from; empty if it was not pushed by this library."""
        key = f"{self._prefix}{version}/{RECORD}"
        if key not in self._keys(key):
            return {}
        with self._one_error("cannot read"):
            return json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def path(self, version: int) -> str:
        """The version's URL."""
        return f"s3://{self._bucket}/{self._prefix}{version}"

    def fetch(self, version: int, directory: Path) -> None:
        """Download the version's files into `directory`."""
        prefix = f"{self._prefix}{version}/"
        for key in self._keys(prefix):
            target = directory / key[len(prefix) :]
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._one_error("cannot read"):
                self._s3.download_file(self._bucket, key, str(target))

    def push(self, directory: Path) -> int:
        """Upload all files, the one that makes the version complete last.

        Raises:
            MfxError: The bucket is missing or access is denied.
        """
        files = [path for path in directory.rglob("*") if path.is_file()]
        with self._one_error("cannot push"):
            version = self._claim(directory)
            base = f"{self._prefix}{version}/"
            uploaded = [base + RECORD]
            try:
                for path in sorted(files, key=lambda p: (p.name == self._LAST, str(p))):
                    uploaded.append(base + path.relative_to(directory).as_posix())
                    self._s3.upload_file(str(path), self._bucket, uploaded[-1])
            except Exception:
                for key in reversed(uploaded):
                    self._s3.delete_object(Bucket=self._bucket, Key=key)
                raise
        return version

    def _claim(self, directory: Path) -> int:
        """Put the record where there is none yet, so that no other push takes the version."""
        from botocore.exceptions import ClientError

        record = directory / RECORD
        body = record.read_bytes() if record.is_file() else b"{}"
        while True:
            taken = {int(k[len(self._prefix) :].split("/")[0]) for k in self._numbered()}
            version = _next_version(sorted(taken))
            key = f"{self._prefix}{version}/{RECORD}"
            try:
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
                return version
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TAKEN:
                    raise

    def _numbered(self) -> list[str]:
        keys = self._keys(self._prefix)
        return [key for key in keys if key[len(self._prefix) :].split("/")[0].isdecimal()]

    def _keys(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with self._one_error("cannot list"):
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

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
