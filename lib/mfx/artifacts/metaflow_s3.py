"""Metaflow's own requests to S3, held to the same time and the same one error as the library's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mfx.artifacts import _private
from mfx.environment import code_package
from mfx.storage import s3

_HEADLINE = "The pipeline stopped"


class _Gone:
    """That S3 was given up, which a process need not find out anew for each request."""

    error: Exception | None = None
    until = 0.0


def limit_time() -> None:
    """Have Metaflow give S3 up after `s3.patience`, and say so in one message.

    Metaflow counts tries: with its waits between them it goes on for hours, and its message names
    neither the endpoint nor what to do. Its exceptions keep their classes.
    """
    from metaflow.plugins.datatools.s3 import s3util

    # Making a client puts an object into these, which are a setting too: deploying writes all
    # settings down as JSON, and could not any more.
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
                    text = f"{url}: cannot be asked: {error}"
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
        from metaflow.plugins.datatools.s3 import s3op  # imports boto3

        if code == s3op.ERROR_URL_ACCESS_DENIED:
            raise _worded(MetaflowS3AccessDenied(), f"{self.mfx.url}: access denied", _SETTINGS)
        # A transient one that stayed, and what s3op does not know: 1 is Python's.
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
        left = self.mfx.first + s3.patience() - now
        if left <= 0:
            raise _gone(self, MetaflowS3Exception())
        wait(self, trynum, base, min(cap, left), jitter)

    return sleep


@dataclass
class _Asked:
    """What an `S3` of Metaflow's has at hand, as its attribute `mfx`.

    Args:
        url: What it is asked for.
        begun: When it was, by the monotonic clock.
        first: When it was tried again first; 0 if it was not.
        said: What S3 said last.
    """

    url: str
    begun: float
    first: float = 0.0
    said: str = "requests fail again and again"


def is_own_error(error: Exception) -> bool:
    """Whether it is an error that already says all, in the words of this module."""
    return getattr(error, "headline", "") == _HEADLINE


_SETTINGS = (
    "Check METAFLOW_DATASTORE_SYSROOT_S3, METAFLOW_S3_ENDPOINT_URL, the credentials and their "
    "rights."
)


def _begin(operation: Any, url: str) -> None:
    """Note when an operation of Metaflow's begins; none does soon after S3 was given up."""
    if _Gone.error and time.monotonic() < _Gone.until:
        raise _Gone.error
    operation.mfx = _Asked(url, time.monotonic())


def _gone(operation: Any, error: Any) -> Exception:
    now, asked = time.monotonic(), operation.mfx
    what = (
        f"{asked.url}: S3 at {_private.s3_endpoint(operation)} does not answer, tried for "
        f"{now - asked.begun:.0f} s: {asked.said}"
    )
    _Gone.error, _Gone.until = _worded(error, what, _remedy()), now + s3.patience()
    return _Gone.error


def _reason(text: str) -> str:
    """The line that says why, in what a process of Metaflow's own wrote before it ended."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return next((line for line in reversed(lines) if line.startswith("botocore.")), lines[-1])


def _remedy() -> str:
    """A step's own log says what it met; what to do stands at the end of the run's."""
    from metaflow import current

    if code_package():
        return "When it is back: retry the workflow, or start one with --from-run."
    if "step" in sys.argv:
        return ""
    if current.run_id:
        return f"When it is back: resume --origin-run-id {current.run_id}"
    return f"Nothing was begun. {_SETTINGS}"


def _worded(error: Any, what: str, remedy: str) -> Exception:
    error.headline, error.message = _HEADLINE, "\n".join(filter(None, (what, remedy)))
    return error
