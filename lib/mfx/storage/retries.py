"""How long a storage is asked again, and how many requests are under way at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from mfx.errors import MfxError, TransientError

PATIENCE = "MFX_STORAGE_PATIENCE"
"""Variable: seconds, after its first failure, for which a request is tried again."""
FORMER = "MFX_S3_PATIENCE"
"""Its name while there was S3 alone; read where the new one is not set."""
DEFAULT_PATIENCE = 45.0
CONNECT_SECONDS = 5
READ_SECONDS = 15
"""How long a storage may say nothing before the request counts as failed."""
WORKERS = 8
"""Objects read or written at a time."""
REMEDY = (
    f"When it is back: `resume` for a run, else the same command again. {PATIENCE} sets the time."
)

In = TypeVar("In")
Out = TypeVar("Out")


class StorageGoneError(TransientError):
    """A storage has not answered for the whole of `patience`."""


def patience() -> float:
    """Seconds for which a failing request is tried again.

    Raises:
        MfxError: The variable holds no such number.
    """
    name = FORMER if FORMER in os.environ and PATIENCE not in os.environ else PATIENCE
    given = os.environ.get(name, str(DEFAULT_PATIENCE))
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise MfxError(f"{name}={given}: expected a number of seconds, 0 or more")
    return seconds


def with_retries(
    call: Callable[[], Out],
    passes: Callable[[BaseException], bool],
    progress: Callable[[], int] = lambda: 0,
) -> Out:
    """What `call` returns; called again, with back-off, while it fails with what may pass.

    Args:
        call: One try.
        passes: Whether an error may pass.
        progress: Grows with what tries have achieved: patience begins anew when it does.
    """
    first, tries, reached = 0.0, 0, progress()
    while True:
        try:
            return call()
        except Exception as error:
            if not passes(error):
                raise
            if (now := progress()) > reached:
                first, tries, reached = 0.0, 0, now
            first = first or time.monotonic()
            left = first + patience() - time.monotonic()
            if left <= 0:
                raise
        time.sleep(min(left, random.uniform(0.5, 1) * min(10, 0.25 * 2**tries)))
        tries += 1


def in_parallel(function: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """The function of each item, WORKERS at a time; the first error stops the rest."""
    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)
