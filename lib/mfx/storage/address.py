"""Addresses as people write them: a path on disk, `s3://bucket/…`, and what only looks like one.

What looks like a URL is no folder: `s3:/bucket` would otherwise become a folder of that name, and a
model be pushed there without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from mfx import plugins
from mfx.errors import MfxError


@dataclass(frozen=True)
class Kind:
    """What an address may be: a path on disk, `s3://…`, or a URL of a scheme in `plugins`.

    Args:
        path: A path, in words.
        s3: A URL on S3, in words.
        group: The group of `plugins` whose names are the schemes.
    """

    path: str
    s3: str
    group: str

    def expected(self) -> str:
        """All that it may be, in words."""
        others = [f"{scheme}://…" for scheme in self.schemes() if scheme != "s3"]
        found = [self.path, self.s3, *others]
        return f"{', '.join(found[:-1])} or {found[-1]}"

    def schemes(self) -> list[str]:
        """Schemes of its URLs."""
        return [name for name in plugins.names(self.group) if name != plugins.DISK]


FOLDER = Kind("a folder", "s3://bucket/prefix", plugins.DESTINATIONS)
FILES = Kind("a path on disk", "s3://bucket/key", plugins.STORAGES)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|.*://")
_SCHEMES = ["s3", "s3a", "s3n", "gs", "gcs", "http", "https", "file", "hdfs", "abfs", "az", "ftp"]
"""What can only be the beginning of a URL, whatever follows the colon."""
_MEANT = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az"}
"""Schemes that people write, and the one here."""
_STORES = re.compile(
    r"https?://(?:(?P<first>[^/]+)\.)?s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com(?:/(?P<rest>.*))?$"
)
"""Amazon's own web addresses of buckets, with the bucket in front of or behind the host."""
_OTHERS = (
    (re.compile(r"https?://storage\.(?:googleapis|cloud\.google)\.com/(.+)"), "gs"),
    (re.compile(r"https?://[a-z0-9]+\.blob\.core\.windows\.net/(.+)"), "az"),
)
"""Google's and Microsoft's web addresses of them, and the scheme of what follows."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|arn:[^/]+")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True)
class Address:
    """What lies in a storage: a bucket, and in it an object's key or a folder.

    Args:
        scheme: Such as `s3`; empty for a disk.
        bucket: A bucket's name; on Azure a container's, on the web a host's; on a disk a folder.
        key: Below that; on the web with what the URL asks for.
    """

    scheme: str
    bucket: str
    key: str = ""

    @property
    def prefix(self) -> str:
        """How the keys begin that are below it, taken as a folder; '' for the whole bucket."""
        folder = self.key.strip("/")
        return f"{folder}/" if folder else ""

    @property
    def name(self) -> str:
        """The last part of the key: what a file there is called."""
        if self.scheme in ("http", "https"):
            return unquote(re.split(r"[?#]", self.key)[0].rpartition("/")[2])
        return self.key.rpartition("/")[2]

    def at(self, key: str) -> Address:
        """Another key of the same bucket."""
        return Address(self.scheme, self.bucket, key)

    def __str__(self) -> str:
        bucket = f"{self.scheme}://{self.bucket}" if self.scheme else self.bucket
        return f"{bucket}/{self.key}" if self.key else bucket


def on_disk(folder: Path) -> Address:
    """A folder on disk, as a bucket."""
    return Address("", str(folder))


def parse(text: str) -> Address | None:
    """The address in a storage; None for a path on disk, and for what only looks like a URL."""
    before, slashes, rest = text.partition("://")
    if not slashes or not re.fullmatch(r"[a-z][a-z0-9+.-]*", before):
        return None
    bucket, _, key = rest.partition("/")
    return Address(before, bucket, key)


def is_url(text: str) -> bool:
    """Whether it is, or was meant as, a URL rather than a path on disk."""
    head = text.strip().lower()
    scheme, colon, _ = head.partition(":")
    host = head.partition("/")[0]
    return bool(
        _URL.match(head)
        or (colon and scheme in _SCHEMES)
        or re.match(r"(s3|gs|az)//", head)
        or head.startswith("arn:aws")
        or host.endswith(".amazonaws.com")
    )


def fault(text: str, kind: Kind = FOLDER) -> str:
    """What is wrong with the form of an address, with what was meant if it can be told; or ''.

    Args:
        text: A path on disk, or `s3://bucket`, `s3://bucket/prefix`.
        kind: What it may be.
    """
    if not text.strip() or "\0" in text:
        return f"expected {kind.expected()}, found {text!r}"
    if not is_url(text):
        return ""
    there = parse(text)
    if there and there.scheme in kind.schemes():
        return _bucket_fault(there, text, kind)
    meant = _meant(text.strip())
    return f"{text}: expected {kind.expected()}" + (f"; did you mean {meant}?" if meant else "")


def scheme(text: str) -> str:
    """The scheme of a URL, such as `s3`; empty for what is none."""
    before, slashes, rest = text.partition("://")
    return before if slashes and rest and is_url(text) else ""


def check(text: str, kind: Kind = FOLDER) -> str:
    """The address as it is.

    Raises:
        MfxError: It looks like a URL, and is none that is known here.
    """
    if wrong := fault(text, kind):
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


def _bucket_fault(there: Address, text: str, kind: Kind) -> str:
    bucket, web = there.bucket, there.scheme in ("http", "https")
    if "@" in bucket and web:
        return (
            f"{there.scheme}://…@{bucket.rpartition('@')[2]}: a URL that is kept shows its "
            "password to all: take it out, and write it to ~/.netrc"
        )
    if there.scheme not in plugins.OWN[plugins.STORAGES]:
        return ""  # another package's, which knows its own names
    if (_HOST if web else _BUCKET).fullmatch(bucket):
        return ""
    what = "host" if web else "bucket"
    return (
        f"{text}: expected {kind.expected()}, found {f'{bucket!r} as its' if bucket else 'no'} "
        f"{what}"
    )


def _meant(text: str) -> str:
    """The address that was probably meant; or ''."""
    web = _STORES.match(text if "://" in text else f"https://{text}")
    if web:
        parts = [part for part in (web["first"], web["rest"]) if part]
        return "s3://" + "/".join(parts).rstrip("/") if parts else ""
    for pattern, short in _OTHERS:
        if found := pattern.match(text):
            return f"{short}://{found[1]}".rstrip("/")
    if text.startswith("arn:aws"):
        return f"s3://{text.rpartition(':::')[2]}" if ":::" in text else ""
    found = re.fullmatch(r"([A-Za-z0-9+.-]+?)(?::/*|//+)(.+)", text, re.DOTALL)
    scheme, rest = found.groups() if found else ("", "")
    if scheme.lower() == "file":
        return f"/{rest}"
    meant = _MEANT.get(scheme.lower())
    return f"{meant}://{rest}" if meant else ""
