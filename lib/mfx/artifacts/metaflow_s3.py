"""Give Metaflow's own S3 requests the same time limit and the same single error as MFX's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mfx.artifacts import _private
from mfx.environment import code_package
from mfx.storage import s3
from mfx.storage.retries import patience

_HEADLINE = "The pipeline stopped"


class _Gone:
    """Remembers that S3 does not answer, so that further requests of the process fail at once."""

    error: Exception | None = None
    until = 0.0


def limit_time() -> None:
    """Make Metaflow give up on S3 after `patience` seconds, with one clear message.

    Metaflow itself counts tries. With the waits between them this takes hours, and its message
    names neither the endpoint nor a remedy. Exceptions keep Metaflow's classes.
    """
    from metaflow.plugins.datatools.s3 import s3util

    # Creating a client adds an object to this dict, which is also a setting. Deploying writes all
    # settings as JSON, which would then fail. So the client gets a copy.
    s3util.DATATOOLS_CLIENT_PARAMS = dict(s3util.DATATOOLS_CLIENT_PARAMS)
    _private.around_s3(_one_operation, _many_operations, _sleep)


def _one_operation(one: Callable[..., Any]) -> Callable[..., Any]:
    from metaflow.plugins.datatools.s3.s3 import (
        MetaflowS3AccessDenied,
        MetaflowS3Exception,
        MetaflowS3NotFound,
        MetaflowS3URLException,
    )

    def one_operation(
        self: Any, op: Callable[[Any, str], Any], url: str, create_tmp_file: bool = True
    ) -> Any:
        _begin(self, url)

        def watched(client: Any, path: str) -> Any:
            try:
                return op(client, path)
            except Exception as error:
                self.mfx.said = str(error)
                if s3.is_misconfigured(error):
                    text = f"{url}: cannot send a request: {error}"
                    raise _worded(MetaflowS3Exception(), text, _SETTINGS) from None
                raise

        try:
            return one(self, watched, url, create_tmp_file)
        except MetaflowS3AccessDenied as error:
            raise _worded(error, f"{url}: access denied", _SETTINGS) from None
        except (MetaflowS3NotFound, MetaflowS3URLException) as error:
            if "NoSuchBucket" not in self.mfx.said:
                raise
            raise _worded(error, f"{url}: no such bucket", _SETTINGS) from None
        except MetaflowS3Exception as error:
            raise (error if is_own_error(error) else _gone(self, error)) from None

    return one_operation


def _many_operations(many: Callable[..., Any]) -> Callable[..., Any]:
    from metaflow.plugins.datatools.s3.s3 import MetaflowS3AccessDenied, MetaflowS3Exception

    def many_operations(self: Any, mode: str, **options: Any) -> tuple[Any, str, int | None]:
        _begin(self, _private.s3_root(self) or "S3")
        lines, said, code = many(self, mode, **options)
        if not said:
            return lines, said, code
        from metaflow.plugins.datatools.s3 import s3op  # It imports boto3.

        if code == s3op.ERROR_URL_ACCESS_DENIED:
            raise _worded(MetaflowS3AccessDenied(), f"{self.mfx.url}: access denied", _SETTINGS)
        # A transient error that stayed, or one that s3op does not know (1 is Python's exit code).
        if code in (None, 1, s3op.ERROR_TRANSIENT, s3op.ERROR_WORKER_EXCEPTION):
            self.mfx.said = _reason(said)
            raise _gone(self, MetaflowS3Exception())
        return lines, said, code

    return many_operations


def _sleep(wait: Callable[..., None]) -> Callable[..., None]:
    from metaflow.plugins.datatools.s3.s3 import MetaflowS3Exception

    def sleep(
        self: Any, trynum: int, base: float = 2, cap: float = 360, jitter: float = 0.1
    ) -> None:
        now = time.monotonic()
        self.mfx.first = self.mfx.first or now
        left = self.mfx.first + patience() - now
        if left <= 0:
            raise _gone(self, MetaflowS3Exception())
        wait(self, trynum, base, min(cap, left), jitter)

    return sleep


@dataclass
class _Asked:
    """The state of a request. It is stored as attribute `mfx` of Metaflow's `S3` object.

    Args:
        url: The requested URL.
        begun: When the request began, by the monotonic clock, in seconds.
        first: When it was first tried again; 0 if it was not.
        said: The last error message of S3.
    """

    url: str
    begun: float
    first: float = 0.0
    said: str = "requests fail again and again"


def is_own_error(error: Exception) -> bool:
    """Whether an error already has this module's message."""
    return getattr(error, "headline", "") == _HEADLINE


_SETTINGS = (
    "Check METAFLOW_DATASTORE_SYSROOT_S3, METAFLOW_S3_ENDPOINT_URL, the credentials and their "
    "rights."
)


def _begin(operation: Any, url: str) -> None:
    """Note when a request begins; raise the last error if S3 did not answer shortly before."""
    if _Gone.error and time.monotonic() < _Gone.until:
        raise _Gone.error
    operation.mfx = _Asked(url, time.monotonic())


def _gone(operation: Any, error: Any) -> Exception:
    now, asked = time.monotonic(), operation.mfx
    what = (
        f"{asked.url}: S3 at {_private.s3_endpoint(operation)} does not answer, tried for "
        f"{now - asked.begun:.0f} s: {asked.said}"
    )
    _Gone.error, _Gone.until = _worded(error, what, _remedy()), now + patience()
    return _Gone.error


def _reason(text: str) -> str:
    """The line with the reason, from the output of Metaflow's S3 process."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return next((line for line in reversed(lines) if line.startswith("botocore.")), lines[-1])


def _remedy() -> str:
    """What the user can do. It is empty inside a step, as the run's own message says it."""
    from metaflow import current

    if code_package():
        return "When it is back: retry the workflow, or start one with --from-run."
    if "step" in sys.argv:
        return ""
    if current.run_id:
        return f"When it is back: resume --origin-run-id {current.run_id}"
    return f"Nothing was started. {_SETTINGS}"


def _worded(error: Any, what: str, remedy: str) -> Exception:
    error.headline, error.message = _HEADLINE, "\n".join(filter(None, (what, remedy)))
    return error
