"""Find local results beside the records of their runs, even after a project was moved.

Metaflow writes absolute paths into its records. With local metadata, results are always in the same
folder as the records. So a project that was moved or copied has its own results there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfx.artifacts import _private

_ROOTS = ("ds-root", "artifact-store-ds-root")
_RECORDED = ":root:"
_former: dict[Path, str] = {}
"""Former folders of projects, each with the datastore whose records name it."""


def look_beside_records() -> None:
    """Make Metaflow's client look for local results beside their records."""
    _private.around_local_records(_beside_records)


def _beside_records(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def read_json_file(cls: Any, filepath: str) -> Any:
        found = read(cls, filepath)
        here, storage = _private.local_place(cls)
        if not here or not isinstance(found, dict):
            return found
        location = str(found.get("location", ""))
        if found.get("ds_type") == storage.TYPE and location.startswith(_RECORDED):
            _note(location.removeprefix(_RECORDED), here)
            found["location"] = _RECORDED + here
        value = Path(str(found.get("value", "")))
        local = value.is_absolute() and value.name == storage.DATASTORE_DIR
        if found.get("field_name") in _ROOTS and local:
            found["value"] = here
        return found

    return read_json_file


def root(recorded: str) -> str:
    """The present folder of a local datastore that was at `recorded` when it was written to."""
    module = sys.modules.get("metaflow.plugins.datastores.local_storage")
    here = module.LocalStorage.datastore_root if module else None
    if not here:
        return recorded  # This is a worker, which has no datastore of the project.
    from metaflow import get_metadata

    return str(here) if get_metadata().startswith("local@") else recorded


def former_projects() -> set[Path]:
    """Former folders of this project, as far as the records read so far tell."""
    return {place for place, here in _former.items() if root("") == here}


def _note(recorded: str, here: str) -> None:
    if os.path.realpath(recorded) != os.path.realpath(here):
        _former[Path(recorded).parent] = here
