"""Data as a run's `start` and `ingest` read them, without a flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.flows import ROOT
from mfx.artifacts import Examples, Sources
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge


def ingested(settings: Any, sources: Sources | None = None) -> Examples:
    """The examples of all shards.

    Args:
        settings: The config.
        sources: What `start` finds, if it was asked already.
    """
    sources = sources or start.resolve(settings)
    return merge([ingest(shard, sources, settings) for shard in sources.shards], sources)


def settings_in(folder: Path, settings: Any, **data: Any) -> Any:
    """Settings as of a config in a folder, with taxi's module, other data and no schema.

    Args:
        folder: Where relative paths start.
        settings: The rest.
        data: Keys under `[data]`; `path` is not set, unless it is among them.
    """
    tables = settings.to_dict() | {"home": str(folder)}
    tables["data"] |= {"path": None, **data}
    tables["schema"]["path"] = "schema.pbtxt"
    tables["pipeline"]["module"] = str(ROOT / "flows" / "taxi" / "model.py")
    return type(settings).model_validate(tables)
