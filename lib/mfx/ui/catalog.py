"""The runs that the page lists, and what is in production.

The runs' ids are known at once. What each came to is read in the background, the newest first; a
page shows what has been read so far, and asks again for the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from mfx import environment
from mfx.registry import client, runs
from mfx.registry.place import Place
from mfx.registry.runs import NoSuchRunError, Results, RunSummary
from mfx.ui.cache import Cache
from mfx.ui.reader import Reader

LIST_SECONDS = 1.0
"""How long the list of ids holds; a run that begins is seen after that."""
PRODUCTION_SECONDS = 3.0
"""How long what a destination said holds."""


@dataclass(frozen=True)
class Line:
    """A run in the list.

    Args:
        found: The run.
        summary: What is known of it; None while it has not been read. Its `production` says
            nothing: that changes, and is asked for separately.
    """

    found: Results
    summary: RunSummary | None

    @property
    def flow(self) -> str:
        """The flow that it is of."""
        return self.found.run.pathspec.partition("/")[0]


class Catalog:
    """The project's runs.

    Args:
        flow: The flow whose runs are listed; empty for all of the project's.
        cache: The folder that keeps what was read of finished runs; None keeps nothing.
    """

    def __init__(self, flow: str = "", cache: Path | None = None) -> None:
        self.flow = flow
        self.nothing = ""
        """Why there are no runs; empty if there are."""
        # The project too: where a config's relative paths lead depends on it.
        self._cache = Cache(cache, f"{client.source()} {environment.project()}")
        self._reader = Reader(runs.summary, self._cache.save)
        self._lock = Lock()
        self._found: list[Results] = []
        self._until = float("-inf")
        self._flows: set[str] = set()
        self._places: dict[Place, tuple[str | None, float]] = {}

    def lines(self, wait: float = 0.0, most: int | None = None) -> list[Line]:
        """The runs, newest first.

        Args:
            wait: Seconds to wait at most for what is not read yet.
            most: Wait only for so many of the newest; by default for all.

        Raises:
            MfxError: The metadata service or the datastore cannot be read.
        """
        found = self._list()
        known = self._reader.ask(found, found[:most], wait)
        return [Line(one, known.get(one.run.pathspec)) for one in found]

    def close(self) -> None:
        """Read no more runs."""
        self._reader.stop()

    def _list(self) -> list[Results]:
        with self._lock:
            if time.monotonic() > self._until:
                try:
                    self._found, self.nothing = list(runs.newest(self.flow)), ""
                except NoSuchRunError as error:
                    self._found, self.nothing = [], str(error)
                self._until = time.monotonic() + LIST_SECONDS
                for flow in {Line(one, None).flow for one in self._found} - self._flows:
                    self._flows.add(flow)
                    self._reader.add(flow, self._cache.load(flow))
            return self._found

    def production(self, places: Iterable[Place | None]) -> dict[Place, str | None]:
        """Id of the run in production at each place, empty for none; None if it cannot be read."""
        said = {}
        for place in {place for place in places if place}:
            said[place], until = self._places.get(place, (None, float("-inf")))
            if time.monotonic() > until:
                said[place] = runs.production_run(place)
                self._places[place] = said[place], time.monotonic() + PRODUCTION_SECONDS
        return said
