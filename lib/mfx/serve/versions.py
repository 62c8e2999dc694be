"""Manage the versions of one model: find, load, warm up, switch to and unload them.

It works like TF Serving's file system source with `latest { num_versions }`: the newest versions
that can be loaded are served, and an older one is served until a newer one answers. Versions with a
label are served too, and stay loaded whatever happens to their folders.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from mfx.destinations.base import Destination
from mfx.errors import MfxError
from mfx.serve.errors import RequestError
from mfx.serve.model import ServedModel, first_lines
from mfx.serve.parameters import BatchingParameters

ATTEMPTS = 3
"""How often a version is tried to be loaded, once at each poll, before it counts as broken."""
# TF Serving's ModelVersionStatus.State.
START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50
SAME, CHANGED, GONE = "same", "changed", "gone"
"""A served version's folder, compared with what was loaded from it."""

log = logging.getLogger("mfx.serve")


@dataclass
class VersionStatus:
    """TF Serving's ModelVersionStatus.

    Attributes:
        version: The version's number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        code: gRPC's status code: OK, or why the version is not served.
        message: The error message.
        attempts: How often it was tried to load the version.
        stored: SAME, CHANGED or GONE while it is served.
    """

    version: int
    state: int = START
    code: str = "OK"
    message: str = ""
    attempts: int = 0
    stored: str = SAME


class Loaded(Protocol):
    """A loaded version."""

    def close(self) -> None:
        """Stop answering and free the memory."""


_M = TypeVar("_M", bound=Loaded)
_M_co = TypeVar("_M_co", bound=Loaded, covariant=True)


class Loader(Protocol[_M_co]):
    """Loads versions. `Versions` decides which, and when."""

    def load(self, source: Destination, version: int) -> _M_co:
        """Load a version from its destination. It can answer when this returns.

        Raises:
            Exception: The version cannot be served. Nothing of it is left, and versions loaded
                before are still served.
        """


class Versions(Generic[_M]):
    """The served versions of one model.

    Args:
        name: The model's name.
        source: The destination that has the versions.
        loader: Loads versions.
        keep: How many of the newest versions are served.
        labels: Versions by label, for requests by label. They are served besides the newest.
        poll_seconds: Seconds between two looks at the source.
        observe_load: Called with the seconds that it took to fetch, load and warm up a version.
    """

    def __init__(
        self,
        name: str,
        source: Destination,
        loader: Loader[_M],
        *,
        keep: int = 1,
        labels: Mapping[str, int] | None = None,
        poll_seconds: float = 1.0,
        observe_load: Callable[[float], None] | None = None,
    ) -> None:
        self.name, self._source, self._loader = name, source, loader
        self._keep, self._labels = keep, dict(labels or {})
        self._poll_seconds, self._observe_load = poll_seconds, observe_load
        self._loaded: dict[int, _M] = {}
        self._latest = 0
        self._fingerprints: dict[int, str] = {}
        self._users: Counter[int] = Counter()
        self._status: dict[int, VersionStatus] = {}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll_for_ever, name=f"poll-{name}")

    def start(self) -> None:
        """Look at the source once in this thread, then regularly in another thread.

        Raises:
            MfxError: The source cannot be read.
        """
        self._follow(self._source.versions())
        if passed := self._source.passed_over():
            log.warning("%s: no version numbers, ignored: %s", self.name, ", ".join(passed))
        self._thread.start()

    def stop_polling(self) -> None:
        """Stop looking for versions. The loaded ones are still served."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def stop(self) -> None:
        """Stop polling, and close all versions once their requests are answered."""
        self.stop_polling()
        for version in sorted(self._loaded):
            self._unload(version)

    @contextmanager
    def use(self, version: int | None = None, label: str = "") -> Iterator[_M]:
        """A context in which a version stays loaded, for one request; by default the newest one.

        Raises:
            RequestError: NOT_FOUND, the version is not served; INVALID_ARGUMENT, the label is
                unknown.
        """
        with self._changed:
            asked = self._numbered(version, label)
            wanted = self._latest if asked is None else asked
            model = self._loaded.get(wanted)
            if model is None:
                which = f"Latest({self.name})"
                if asked is not None:
                    which = f"Specific({self.name}, {asked})"
                raise RequestError("NOT_FOUND", f"Servable not found for request: {which}")
            self._users[wanted] += 1
        try:
            yield model
        finally:
            with self._changed:
                self._users[wanted] -= 1
                if not self._users[wanted]:
                    self._changed.notify_all()

    def status(self, version: int | None = None, label: str = "") -> list[VersionStatus]:
        """The status of all versions seen so far, newest first; or of one version.

        Raises:
            RequestError: NOT_FOUND, there is no such version; INVALID_ARGUMENT, the label is
                unknown.
        """
        with self._changed:
            wanted = self._numbered(version, label)
            found = [replace(s) for s in self._status.values() if wanted in (None, s.version)]
        if wanted is not None and not found:
            raise RequestError("NOT_FOUND", f"Could not find version {wanted} of model {self.name}")
        return sorted(found, key=lambda status: -status.version)

    def served(self) -> list[int]:
        """The versions that can answer, ascending."""
        return sorted(s.version for s in self.status() if s.state == AVAILABLE)

    def poll(self) -> None:
        """Look at the source: load new versions, then unload those that are not needed any more."""
        try:
            there = self._source.versions()
        except MfxError as error:
            log.warning("%s: still serves the loaded versions: %s", self.name, error)
            return
        self._follow(there)

    def _follow(self, there: list[int]) -> None:
        for version in there:
            self._status.setdefault(version, VersionStatus(version))
        served: set[int] = set()
        for version in reversed(there):
            # A version that cannot be loaded does not count.
            if len(served) == self._keep:
                break
            if self._is_loaded(version):
                if not served:
                    self._latest = version
                served.add(version)
        named = set(self._labels.values())
        for version in sorted(named & set(there) - served):
            self._is_loaded(version)
        if served:
            for version in sorted(set(self._loaded) - served - named):
                self._unload(version)
        for version in sorted(self._loaded):
            self._look_after(version, version in there)

    def _is_loaded(self, version: int) -> bool:
        """Whether a version is loaded; if it is not, try to load it now."""
        if version not in self._loaded and self._status[version].attempts < ATTEMPTS:
            self._load(version)
        return version in self._loaded

    def _look_after(self, version: int, there: bool) -> None:
        """Log once when a served version's folder differs from what was loaded from it."""
        try:
            found = self._source.fingerprint(version) if there else ""
        except MfxError:  # It is being changed or removed. The next look will tell.
            return
        known = self._fingerprints.setdefault(version, found)
        stored = GONE if not found else SAME if found == known else CHANGED
        status = self._status[version]
        if stored == status.stored:
            return
        status.stored = stored
        place, labels = self._source.path(version), self._names(version)
        if stored == GONE:
            log.log(
                logging.ERROR if labels else logging.WARNING,
                "%s %d%s still answers, but %s is gone: it cannot be loaded again",
                *(self.name, version, labels, place),
            )
        elif stored == CHANGED:
            log.warning(
                "%s %d%s still answers as it was loaded, but %s now has other files. The next "
                "start would load them under the same number: give a new model a new number",
                *(self.name, version, labels, place),
            )
        else:
            log.info("%s %d: %s is the same as what was loaded again", self.name, version, place)

    def _names(self, version: int) -> str:
        """The labels of a version, for messages."""
        labels = sorted(label for label, named in self._labels.items() if named == version)
        return f", which is labelled {', '.join(labels)}," if labels else ""

    def _poll_for_ever(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                self.poll()
            except Exception:
                log.exception("%s: still serves the loaded versions", self.name)

    def _numbered(self, version: int | None, label: str) -> int | None:
        """The number of a requested version; None for the newest."""
        if not label:
            return version
        if label not in self._labels:
            raise RequestError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return self._labels[label]

    def _load(self, version: int) -> None:
        status = self._status[version]
        status.state, status.attempts = LOADING, status.attempts + 1
        begin = time.perf_counter()
        try:
            model = self._loader.load(self._source, version)
        except Exception as error:
            status.state, status.code = END, "UNKNOWN"
            status.message = first_lines(str(error)) or type(error).__name__
            log.error("%s %d cannot be served: %s", self.name, version, status.message)
            return
        with self._changed:
            self._loaded[version] = model
            status.state, status.code, status.message = AVAILABLE, "OK", ""
        seconds = time.perf_counter() - begin
        if self._observe_load is not None:
            self._observe_load(seconds)
        log.info("%s %d is served, after %.1f s", self.name, version, seconds)

    def _unload(self, version: int) -> None:
        """Unload a version: new requests cannot use it; it is closed after the last answer."""
        with self._changed:
            model = self._loaded.pop(version)
            self._status[version].state = UNLOADING
            self._changed.wait_for(lambda: not self._users[version])
            del self._users[version]
        model.close()
        self._fingerprints.pop(version, None)
        self._status[version].state, self._status[version].stored = END, SAME
        log.info("%s %d is no longer served", self.name, version)


class SessionLoader:
    """Loads versions in this process.

    Args:
        parameters: How requests are put together into batches.
        warm_up: Called with a loaded version and its folder before it is used.
    """

    def __init__(
        self,
        parameters: BatchingParameters,
        warm_up: Callable[[ServedModel, Path], None] | None = None,
    ) -> None:
        self._parameters, self._warm_up = parameters, warm_up

    def load(self, source: Destination, version: int) -> ServedModel:
        """Load a version from its folder, or from a temporary copy of it; see `Loader`."""
        with tempfile.TemporaryDirectory(prefix="mfx-serve-") as copied:
            folder = source.folder(version)
            if folder is None:
                folder = Path(copied)
                source.fetch(version, folder)
            model = ServedModel(folder, version, self._parameters)
            try:
                if self._warm_up is not None:
                    self._warm_up(model, folder)
            except Exception:
                model.close()
                raise
        return model


class ModelVersions(Versions[ServedModel]):
    """Versions that are served in this process.

    Args:
        name: The model's name.
        source: The destination that has the versions.
        parameters: How requests are put together into batches.
        warm_up: See `SessionLoader`.
        options: The other arguments of `Versions`.
    """

    def __init__(
        self,
        name: str,
        source: Destination,
        parameters: BatchingParameters,
        *,
        warm_up: Callable[[ServedModel, Path], None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, source, SessionLoader(parameters, warm_up), **options)
