"""Local results are where the records of their runs lie, wherever the project was when they were
made.

Metaflow writes absolute paths into its records. With local metadata the results always lie in the
same folder as the records, so a project that was moved or copied has its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_ROOTS = ("ds-root", "artifact-store-ds-root")
_RECORDED = ":root:"
_former: dict[Path, str] = {}
"""Where projects were, and where the datastore is that tells of it."""


def follow() -> None:
    """Have Metaflow's client look for local results beside their records (looked at: 2.19)."""
    from metaflow.plugins.metadata_providers.local import LocalMetadataProvider

    if hasattr(LocalMetadataProvider, "_mfx_follows"):
        return
    read = LocalMetadataProvider._read_json_file.__func__

    def read_json_file(cls: Any, filepath: str) -> Any:
        found = read(cls, filepath)
        here = cls._make_path(create_on_absent=False)
        storage = cls._get_storage_class()
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

    LocalMetadataProvider._mfx_follows = True
    LocalMetadataProvider._read_json_file = classmethod(read_json_file)


def root(recorded: str) -> str:
    """Where a local datastore is that was at `recorded` when something was put there."""
    module = sys.modules.get("metaflow.plugins.datastores.local_storage")
    here = module.LocalStorage.datastore_root if module else None
    if not here:
        return recorded  # a worker that only has what it was sent
    from metaflow import get_metadata

    return str(here) if get_metadata().startswith("local@") else recorded


def former_projects() -> set[Path]:
    """Where this project was when runs were made that were looked at."""
    return {place for place, here in _former.items() if root("") == here}


def _note(recorded: str, here: str) -> None:
    if os.path.realpath(recorded) != os.path.realpath(here):
        _former[Path(recorded).parent] = here
