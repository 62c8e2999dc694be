"""The library's own requests to S3: tried again for a stated time, then one error."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from mfx.errors import MfxError, TransientError
from mfx.storage.address import S3Address

PATIENCE = "MFX_S3_PATIENCE"
"""Variable: seconds, after its first failure, for which a request to S3 is tried again."""
DEFAULT_PATIENCE = 45.0
CONNECT_SECONDS = 5
READ_SECONDS = 15
"""How long S3 may say nothing before the request counts as failed."""
RETRIES = 1
"""Inside boto, of each try; its waits are short."""
WORKERS = 8
"""Objects read or written at a time."""

_BUSY = ("SlowDown", "Throttling", "RequestTimeout", "ConditionalRequestConflict")
_REMEDY = "Check the bucket's name, the credentials and AWS_ENDPOINT_URL."
_GONE = (
    f"When it is back: `resume` for a run, else the same command again. {PATIENCE} sets the time."
)

In = TypeVar("In")
Out = TypeVar("Out")


class S3GoneError(TransientError):
    """S3 has not answered for the whole of `patience`."""


def patience() -> float:
    """Seconds for which a failing request is tried again.

    Raises:
        MfxError: The variable holds no such number.
    """
    given = os.environ.get(PATIENCE, str(DEFAULT_PATIENCE))
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise MfxError(f"{PATIENCE}={given}: expected a number of seconds, 0 or more")
    return seconds


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


def listed(client: Any, below: S3Address, deeper: bool = True) -> tuple[list[Any], list[str]]:
    """What lies on S3, asked for `with_retries`.

    Args:
        client: Of boto3.
        below: A bucket, and how the keys begin.
        deeper: Whether to go into folders below that.

    Returns:
        Each object as S3 tells of it (`Key`, `Size`, `ETag`, …), and, unless it goes deeper, how
        the keys of each folder begin.
    """
    paginator = client.get_paginator("list_objects_v2")
    given = {"Bucket": below.bucket, "Prefix": below.key, **({} if deeper else {"Delimiter": "/"})}
    pages = with_retries(lambda: list(paginator.paginate(**given)))
    folders = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return [entry for page in pages for entry in page.get("Contents", [])], folders


def is_absent(error: BaseException) -> bool:
    """Whether S3 says that there is no such object."""
    code = (getattr(error, "response", None) or {}).get("Error", {}).get("Code")
    return code in ("404", "NoSuchKey")


def with_retries(call: Callable[[], Out]) -> Out:
    """What `call` returns; called again, with back-off, while it fails as S3 does in passing."""
    first = None
    tries = 0
    while True:
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            first = first or time.monotonic()
            left = first + patience() - time.monotonic()
            if left <= 0:
                raise
        time.sleep(min(left, random.uniform(0.5, 1) * min(10, 0.25 * 2**tries)))
        tries += 1


def in_parallel(function: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """The function of each item with retries, WORKERS at a time; the first error stops the rest."""
    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(with_retries, lambda item=item: function(item)) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


def is_transient(error: BaseException) -> bool:
    """Whether a request that failed so may succeed later: no answer, a broken one, or a busy S3."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions
    from botocore.parsers import ResponseParserError
    from s3transfer.exceptions import RetriesExceededError

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or error.response["Error"]["Code"] in _BUSY
    if isinstance(error, Boto3Error):  # of an upload or download, around its cause
        cause = getattr(error, "last_exception", None) or error.__cause__ or error.__context__
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


@contextmanager
def one_error(address: str, what: str) -> Iterator[None]:
    """Say any failure of S3 in one message.

    Raises:
        S3GoneError: S3 gave no answer, or answered that it cannot.
        MfxError: Anything else: access denied, no such bucket, no credentials.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError, ResponseParserError, OSError) as error:
        if not is_transient(error):
            raise MfxError(f"{address}: {what}: {error}", _REMEDY) from None
        said = f"S3 does not answer, tried for {patience():.0f} s: {error}"
        raise S3GoneError(f"{address}: {what}: {said}", _GONE) from None
