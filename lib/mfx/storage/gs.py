"""Google Cloud Storage, by Google's own client: credentials as its other tools find them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mfx.errors import MfxError
from mfx.storage.answers import Entry, Fault, Listing, Opened
from mfx.storage.base import Storage
from mfx.storage.reading import BLOCK
from mfx.storage.retries import CONNECT_SECONDS, READ_SECONDS
from mfx.storage.web import meaning_of, web_fault

_CHUNK = 8 * BLOCK
"""Bytes of a large object that one request reads or writes."""
_ONCE: dict[str, Any] = {"retry": None, "timeout": (CONNECT_SECONDS, READ_SECONDS)}
"""One try; `Storage` makes more of them."""


class GoogleStorage(Storage):
    """A bucket on Google Cloud Storage; its tags are generations."""

    TITLE = "Google Cloud Storage"
    REMEDY = (
        "Check the bucket's name and the credentials: `gcloud auth application-default login`, or "
        "GOOGLE_APPLICATION_CREDENTIALS."
    )

    _client: Any
    _bucket: Any

    def fault(self, error: BaseException) -> Fault | None:
        """What an error of Google's libraries means."""
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.resumable_media import DataCorruption

        if isinstance(error, GoogleAPIError):
            return meaning_of(getattr(error, "code", None) or 0)
        if isinstance(error, GoogleAuthError):
            return Fault.PASSING if error.retryable else Fault.OTHER
        return Fault.PASSING if isinstance(error, DataCorruption) else web_fault(error)

    def said(self, error: BaseException) -> str:
        """Without the request, whose long URL says less than the key."""
        message = getattr(error, "message", "") or str(error)
        if code := getattr(error, "code", None):
            return f"{int(code)} {HTTPStatus(code).phrase}"
        return super().said(Exception(message))

    def _connect(self) -> None:
        try:
            with warnings.catch_warnings():
                # Of Pythons that it will not support in some years.
                warnings.simplefilter("ignore", FutureWarning)
                from google.cloud.storage import Client
        except ImportError:
            raise MfxError(
                f"{self.place}: the package google-cloud-storage is not installed",
                "Install the extra mfx[cloud]: pip install 'mfx[cloud]', or uv sync --extra cloud",
            ) from None

        # A project is needed to make a bucket, and none is made here.
        self._client = Client(project="none")
        self._bucket = self._client.bucket(self.place.bucket)

    def _list(self, prefix: str, deeper: bool) -> Listing:
        more = {} if deeper else {"delimiter": "/"}
        found = self._client.list_blobs(self.place.bucket, prefix=prefix, **more, **_ONCE)
        entries = [_entry(blob) for blob in found]
        return Listing(entries, list(found.prefixes))

    def _head(self, key: str) -> Entry:
        blob = self._bucket.blob(key)
        blob.reload(**_ONCE)
        return _entry(blob)

    @contextmanager
    def _open(self, key: str, first: int, tag: str, end: int | None = None) -> Iterator[Opened]:
        blob = self._bucket.blob(key)
        blob.reload(**_ONCE, **({"if_generation_match": int(tag)} if tag else {}))
        entry = _entry(blob)

        def blocks() -> Iterator[bytes]:
            last = entry.size if end is None else min(end, entry.size)
            for start in range(first, last, _CHUNK):
                # As stored: what was uploaded packed is not unpacked on the way.
                yield blob.download_as_bytes(
                    start=start,
                    end=min(start + _CHUNK, last) - 1,
                    raw_download=True,
                    if_generation_match=int(entry.tag),
                    **_ONCE,
                )

        yield Opened(entry, first, blocks())

    def _write(self, key: str, content: bytes | Path) -> None:
        blob = self._bucket.blob(key, chunk_size=_CHUNK)
        if isinstance(content, bytes):
            blob.upload_from_string(content, _TYPE, checksum="crc32c", **_ONCE)
        else:
            blob.upload_from_filename(str(content), _TYPE, checksum="crc32c", **_ONCE)

    def _create(self, key: str, content: bytes, writer: str) -> None:
        self._put(key, content, 0, writer)

    def _replace(self, key: str, content: bytes, tag: str, writer: str) -> None:
        self._put(key, content, int(tag), writer)

    def _put(self, key: str, content: bytes, generation: int, writer: str) -> None:
        blob = self._bucket.blob(key)
        blob.metadata = {"writer": writer}
        blob.upload_from_string(content, _TYPE, if_generation_match=generation, **_ONCE)

    def _writer(self, key: str) -> str:
        blob = self._bucket.blob(key)
        blob.reload(**_ONCE)
        return (blob.metadata or {}).get("writer", "")

    def _copy(self, key: str, target: str) -> None:
        source, copy, token = self._bucket.blob(key), self._bucket.blob(target), None
        while True:  # a large one is copied by several requests
            token, _, _ = copy.rewrite(source, token=token, **_ONCE)
            if token is None:
                return

    def _delete(self, key: str) -> None:
        self._bucket.blob(key).delete(**_ONCE)


_TYPE = "application/octet-stream"


def _entry(blob: Any) -> Entry:
    return Entry(blob.name, blob.size, str(blob.generation), blob.updated.timestamp())
