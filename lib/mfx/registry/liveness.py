"""Tell whether a run's processes are alive, by a lock that they hold.

The run's scheduler and each of its steps hold a shared lock on a small file in the local datastore,
`mfx.alive/<flow>/<run>`. The kernel releases a lock however its process ends, even by `kill -9`.
`mfx gc` holds an exclusive lock of the flow, so that no run begins while blobs are removed.

This works for runs on this machine, and on machines that share its disk with locks. For all other
runs, nothing is known here.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mfx.errors import MfxError

_FOLDER = "mfx.alive"
_TRIES = 5
"""How often a lock is tried: two processes that try at the same moment hinder each other."""
_held: list[int] = []
"""File descriptors that stay open until the process ends."""


@dataclass(frozen=True)
class Life:
    """What is known of a run's processes.

    Args:
        alive: Whether one of them is alive; None if that is not known here.
        failed: Whether the scheduler recorded at its end that the run had failed.
    """

    alive: bool | None
    failed: bool = False


def hold(flow: str, run: str, report: Callable[[str], object]) -> None:
    """Take the lock that shows that this process, a run's scheduler, is alive.

    Args:
        flow: The flow's name.
        run: The run's id.
        report: Called with one line if this has to wait for `mfx gc`.
    """
    try:
        file = _file(flow, run)
        file.parent.mkdir(parents=True, exist_ok=True)
        with _together(file.parent.with_suffix(".gc"), report):
            file.write_text(json.dumps({"machine": socket.gethostname()}), encoding="utf-8")
            _take(file)
    except OSError:  # The disk has no locks or cannot be written: then nothing is known.
        with suppress(OSError):
            file.unlink(missing_ok=True)


def join(flow: str, run: str) -> None:
    """Take the lock that shows that this process, a step of the run, is alive.

    This does nothing if the run's scheduler has no lock.
    """
    with suppress(OSError):
        if (file := _file(flow, run)).is_file():
            _take(file)


def end(flow: str, run: str, failed: bool) -> None:
    """Record how the run of this scheduler ended. (If it is killed, this is never called.)"""
    with suppress(OSError):
        file = _file(flow, run)
        if failed:
            file.write_text(
                json.dumps({"machine": socket.gethostname(), "failed": True}), encoding="utf-8"
            )
        else:
            file.unlink(missing_ok=True)


def life_of(flow: str, run: str) -> Life:
    """What is known of a run's processes."""
    try:
        file = _file(flow, run)
        said = json.loads(file.read_text(encoding="utf-8"))
        handle = os.open(file, os.O_RDWR)
    except (OSError, ValueError):
        return Life(None)
    try:
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.01)
        else:
            return Life(True)
    except OSError:
        return Life(None)
    finally:
        os.close(handle)
    if said.get("failed"):
        return Life(False, failed=True)
    # Some shared disks do not share their locks.
    return Life(False if said.get("machine") == socket.gethostname() else None)


@contextmanager
def nobody_begins(flow: str) -> Iterator[None]:
    """A context during which no run of the flow begins on this machine: new runs wait.

    Raises:
        MfxError: A run is just beginning, or another process is in this context.
    """
    file = _file(flow, "").with_suffix(".gc")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MfxError(
                f"a run of {flow} is just beginning, or another `mfx gc` is running",
                "Nothing was freed. Try again.",
            ) from None
        except OSError:  # The disk has no locks.
            pass
        yield
    finally:
        os.close(handle)


@contextmanager
def _together(file: Path, report: Callable[[str], object]) -> Iterator[None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for `mfx gc` to end")
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _take(file: Path) -> None:
    handle = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
    except OSError:
        os.close(handle)
        raise
    _held.append(handle)


def _file(flow: str, run: str) -> Path:
    """The run's file.

    Raises:
        OSError: There is no local datastore.
    """
    from metaflow.plugins.datastores.local_storage import LocalStorage

    root = LocalStorage.datastore_root or LocalStorage.get_datastore_root_from_config(
        lambda *_, **__: None, create_on_absent=False
    )
    if root is None:
        raise FileNotFoundError("no local datastore")
    return Path(root, _FOLDER, flow, run)
