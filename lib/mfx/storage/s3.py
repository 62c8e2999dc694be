"""S3, by boto3: its settings, endpoint and credentials hold for Metaflow's own requests too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from mfx.storage.answers import Entry, Fault, Listing, Opened
from mfx.storage.base import Storage
from mfx.storage.reading import BLOCK
from mfx.storage.retries import CONNECT_SECONDS, READ_SECONDS, WORKERS
from mfx.storage.web import range_header, size_in

RETRIES = 1
"""Inside boto, of each try; its waits are short."""

_BUSY = ("SlowDown", "Throttling", "RequestTimeout", "ConditionalRequestConflict")


def client() -> Any:
    """boto3's client, which gives up on a silent connection; what the user has set stays."""
    import boto3
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    retries: dict[str, Any] = {}
    if session.get_config_variable("retry_mode") in (None, "legacy"):
        retries["mode"] = "standard"
    if session.get_config_variable("max_attempts") is None:
        retries["total_max_attempts"] = 1 + RETRIES
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        # Each of WORKERS may copy several parts of a large object at the same time.
        max_pool_connections=4 * WORKERS,
        retries=retries,
    )
    return boto3.Session(botocore_session=session).client("s3", config=config)


class S3Storage(Storage):
    """A bucket on Amazon S3, or on what speaks as it does."""

    TITLE = "S3"
    REMEDY = "Check the bucket's name, the credentials and AWS_ENDPOINT_URL."
    KEEPS_CONDITIONS = False
    """S3 knows conditional writes since August 2024; others that speak as it does may not."""

    _client: Any

    def fetch(self, key: str, path: Path, most: int | None = None) -> bool:
        """As said in `Storage`; a large one in parts, several at a time.

        boto compares their checksums, where S3 has them.
        """
        if most is not None:
            return super().fetch(key, path, most)
        bucket = self.place.bucket
        self._ask(key, "cannot read", lambda: self._client.download_file(bucket, key, str(path)))
        return True

    def fault(self, error: BaseException) -> Fault | None:
        """What an error of boto's means; of an upload or a download, its cause's."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        if is_transient(error):
            return Fault.PASSING
        if isinstance(error, ClientError):
            return _meaning(error)
        if isinstance(error, Boto3Error):
            cause = _cause(error)
            return (self.fault(cause) if cause else None) or Fault.OTHER
        known = (BotoCoreError, ResponseParserError, OSError)
        return Fault.OTHER if isinstance(error, known) else None

    def _connect(self) -> None:
        self._client = client()

    def _list(self, prefix: str, deeper: bool) -> Listing:
        paginator = self._client.get_paginator("list_objects_v2")
        more = {} if deeper else {"Delimiter": "/"}
        found = Listing()
        for page in paginator.paginate(Bucket=self.place.bucket, Prefix=prefix, **more):
            found.entries += map(_entry, page.get("Contents", []))
            found.folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        return found

    def _head(self, key: str) -> Entry | None:
        # An answer to HEAD has no body, and so does not tell a bucket that is missing.
        page = self._client.list_objects_v2(Bucket=self.place.bucket, Prefix=key, MaxKeys=1)
        found = [_entry(entry) for entry in page.get("Contents", []) if entry["Key"] == key]
        return found[0] if found else None

    @contextmanager
    def _open(self, key: str, first: int, tag: str, end: int | None = None) -> Iterator[Opened]:
        given = {**self._at(key), **({"IfMatch": tag} if tag else {})}
        if wanted := range_header(first, end):
            given["Range"] = wanted
        answer = self._client.get_object(**given)
        whole, begins = answer["ContentLength"], 0
        if part := answer.get("ContentRange"):
            whole, begins = size_in(part), first
        entry = Entry(key, whole, _bare(answer["ETag"]), answer["LastModified"].timestamp())
        with closing(answer["Body"]) as body:
            yield Opened(entry, begins, body.iter_chunks(BLOCK))

    def _write(self, key: str, content: bytes | Path) -> None:
        if isinstance(content, bytes):
            self._client.put_object(**self._at(key), Body=content)
        else:
            self._client.upload_file(str(content), self.place.bucket, key)

    def _create(self, key: str, content: bytes, writer: str) -> None:
        self._client.put_object(
            **self._at(key), Body=content, Metadata={"writer": writer}, IfNoneMatch="*"
        )

    def _replace(self, key: str, content: bytes, tag: str, writer: str) -> None:
        self._client.put_object(
            **self._at(key), Body=content, Metadata={"writer": writer}, IfMatch=tag
        )

    def _writer(self, key: str) -> str:
        return self._client.head_object(**self._at(key))["Metadata"].get("writer", "")

    def _copy(self, key: str, target: str) -> None:
        self._client.copy(self._at(key), self.place.bucket, target)

    def _delete(self, key: str) -> None:
        self._client.delete_object(**self._at(key))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.place.bucket, "Key": key}


def is_transient(error: BaseException) -> bool:
    """Whether a request that failed so may succeed later: no answer, a broken one, or a busy S3."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions
    from botocore.parsers import ResponseParserError
    from s3transfer.exceptions import RetriesExceededError

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or error.response["Error"]["Code"] in _BUSY
    if isinstance(error, Boto3Error):
        cause = _cause(error)
        return cause is not None and is_transient(cause)
    return isinstance(
        error,
        (
            exceptions.ConnectionError,
            exceptions.HTTPClientError,
            exceptions.IncompleteReadError,
            exceptions.ResponseStreamingError,
            exceptions.FlexibleChecksumError,
            ResponseParserError,
            RetriesExceededError,
            ConnectionError,
            TimeoutError,
        ),
    )


def is_misconfigured(error: BaseException) -> bool:
    """Whether boto could not even ask: no credentials, a bucket's name that cannot be."""
    from botocore.exceptions import BotoCoreError

    return isinstance(error, BotoCoreError) and not is_transient(error)


def _cause(error: BaseException) -> BaseException | None:
    """Why an upload or a download failed."""
    return getattr(error, "last_exception", None) or error.__cause__ or error.__context__


def _meaning(error: Any) -> Fault:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        return Fault.NO_BUCKET
    if code in ("404", "NoSuchKey"):
        return Fault.ABSENT
    if code == "PreconditionFailed" or status == HTTPStatus.PRECONDITION_FAILED:
        return Fault.CONDITION
    return Fault.DENIED if status == HTTPStatus.FORBIDDEN else Fault.OTHER


def _entry(listed: dict[str, Any]) -> Entry:
    modified = listed["LastModified"].timestamp()
    return Entry(listed["Key"], listed["Size"], _bare(listed["ETag"]), modified)


def _bare(tag: str) -> str:
    return tag.strip('"')
