"""What all processes of the tests share: the first that asks for it makes it, the others wait."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> Made:
    """What `make` returns, called once for all processes. Nobody may change what it made.

    If it fails, the next process tries it again, and fails as well.

    Args:
        factory: Of this process.
        name: Tells it from others; a folder's name.
        make: Called with an empty folder; returns what can be pickled.
    """
    base = factory.getbasetemp()
    # Each process of pytest-xdist has a folder below the one of the whole session.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    record = folder.with_suffix(".pickle")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            record.write_bytes(pickle.dumps(make(folder)))
    return pickle.loads(record.read_bytes())
