"""What was read of finished runs, kept on disk: a finished run never changes.

One JSON file for each flow, in the user's own cache folder. It may be removed at any time.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import mfx
from mfx.artifacts.lineage import hash_json
from mfx.registry.place import Place
from mfx.registry.runs import RunSummary
from mfx.registry.states import FINISHED

_KNOWN = [mfx.__version__, *(field.name for kind in (RunSummary, Place) for field in fields(kind))]
"""What a file must have been written with: other versions may read other things of a run."""


class Cache:
    """Summaries of finished runs.

    Args:
        folder: Where the files are; None keeps nothing.
        source: What tells these runs from others of the same ids: where their metadata are.
    """

    def __init__(self, folder: Path | None, source: str) -> None:
        self._folder = folder / hash_json(source)[:16] if folder else None

    def load(self, flow: str) -> dict[str, RunSummary]:
        """The summaries that are kept of a flow's runs, by id; empty if they cannot be read."""
        found = self._read(flow)
        with suppress(KeyError, TypeError, ValueError):
            return {run: _summary(given) for run, given in found.items()}
        return {}

    def save(self, flow: str, summaries: Iterable[RunSummary]) -> None:
        """Keep those of finished runs that could be read, beside what is kept already."""
        kept = {one.run: one for one in summaries if one.state == FINISHED and not one.unreadable}
        if not self._folder or not kept:
            return
        runs = self._read(flow) | {run: _plain(one) for run, one in kept.items()}
        text = json.dumps({"known": _KNOWN, "runs": runs})
        # Without the file all is read anew the next time; that is no reason to stop.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self._folder / f"{flow}.json")

    def _read(self, flow: str) -> dict[str, Any]:
        if not self._folder:
            return {}
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads((self._folder / f"{flow}.json").read_text(encoding="utf-8"))
            if found["known"] == _KNOWN:
                return dict(found["runs"])
        return {}


def default_folder() -> Path:
    """The user's cache folder for this."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base, "mfx", "ui")


def _plain(one: RunSummary) -> dict[str, Any]:
    return {**asdict(one), "created": one.created.isoformat()}


def _summary(given: dict[str, Any]) -> RunSummary:
    place = Place(**given["place"]) if given["place"] else None
    created = datetime.fromisoformat(given["created"]).astimezone()
    return RunSummary(**{**given, "created": created, "place": place})
