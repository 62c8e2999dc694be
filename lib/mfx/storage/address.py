"""Addresses as people write them: a path on disk or `s3://bucket/…`, and what only looks like one.

What looks like a URL is no folder: `s3:/bucket` would otherwise become a folder of that name, and a
model be pushed there without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mfx.errors import MfxError

FOLDER = "a folder or s3://bucket/prefix"
FILES = "a path on disk or s3://bucket/key"
"""What an address may be, in words."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|.*://")
_SCHEMES = ["s3", "s3a", "s3n", "gs", "gcs", "http", "https", "file", "hdfs", "abfs", "az", "ftp"]
"""What can only be the beginning of a URL, whatever follows the colon."""
_STORES = re.compile(
    r"https?://(?:(?P<first>[^/]+)\.)?s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com(?:/(?P<rest>.*))?$"
)
"""Amazon's own web addresses of buckets, with the bucket in front of or behind the host."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|arn:[^/]+")


@dataclass(frozen=True)
class S3Address:
    """What lies on S3: a bucket, and in it an object's key or a folder."""

    bucket: str
    key: str = ""

    @property
    def prefix(self) -> str:
        """How the keys begin that are below it, taken as a folder; '' for the whole bucket."""
        folder = self.key.strip("/")
        return f"{folder}/" if folder else ""

    def at(self, key: str) -> S3Address:
        """Another key of the same bucket."""
        return S3Address(self.bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"


def on_s3(text: str) -> S3Address | None:
    """The address, if it is one on S3."""
    if not text.startswith("s3://"):
        return None
    bucket, _, key = text.removeprefix("s3://").partition("/")
    return S3Address(bucket, key)


def is_url(text: str) -> bool:
    """Whether it is, or was meant as, a URL rather than a path on disk."""
    head = text.strip().lower()
    scheme, colon, _ = head.partition(":")
    host = head.partition("/")[0]
    return bool(
        _URL.match(head)
        or (colon and scheme in _SCHEMES)
        or re.match(r"s3//", head)
        or head.startswith("arn:aws")
        or host.endswith(".amazonaws.com")
    )


def fault(text: str, expected: str = FOLDER) -> str:
    """What is wrong with the form of an address, with what was meant if it can be told; or ''.

    Args:
        text: A path on disk, or `s3://bucket`, `s3://bucket/prefix`.
        expected: What it should be, in words.
    """
    if not text.strip() or "\0" in text:
        return f"expected {expected}, found {text!r}"
    if not is_url(text):
        return ""
    if there := on_s3(text):
        bucket = there.bucket
        if _BUCKET.fullmatch(bucket):
            return ""
        return (
            f"{text}: expected {expected}, found {f'{bucket!r} as its' if bucket else 'no'} bucket"
        )
    meant = _meant(text.strip())
    return f"{text}: expected {expected}" + (f"; did you mean {meant}?" if meant else "")


def check(text: str, expected: str = FOLDER) -> str:
    """The address as it is.

    Raises:
        MfxError: It looks like a URL, and is none that is known here.
    """
    if wrong := fault(text, expected):
        raise MfxError(wrong)
    return text


def worker_folder_fault(text: str) -> str:
    """What is wrong with the form of a folder that Beam's workers see, on any storage; or ''."""
    if text.startswith("/") or re.match(r"[a-z][a-z0-9+.-]*://.", text):
        return ""
    return f"{text}: expected an absolute path or a URL such as s3://bucket/prefix"


def is_absolute(text: str) -> bool:
    """Whether it means the same from any folder: a URL, or an absolute path."""
    return is_url(text) or Path(text).is_absolute()


def absolute(text: str) -> str:
    """The address from any folder: a path from the current one, a URL as it is."""
    return text if is_url(text) else str(Path(text).absolute())


def _meant(text: str) -> str:
    """The `s3://` address that was probably meant; or ''."""
    web = _STORES.match(text if "://" in text else f"https://{text}")
    if web:
        parts = [part for part in (web["first"], web["rest"]) if part]
        return "s3://" + "/".join(parts).rstrip("/") if parts else ""
    if text.startswith("arn:aws"):
        return f"s3://{text.rpartition(':::')[2]}" if ":::" in text else ""
    found = re.fullmatch(r"([A-Za-z0-9+.-]+?)(?::/*|//+)(.+)", text, re.DOTALL)
    scheme, rest = found.groups() if found else ("", "")
    if scheme.lower() == "file":
        return f"/{rest}"
    return f"s3://{rest}" if scheme.lower() in ("s3", "s3a", "s3n") else ""
