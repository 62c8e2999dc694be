"""A datastore to save to, outside a flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def saving(root: Path) -> Iterator[None]:
    """Lets `mfx.artifacts.store.save` work outside a flow: a local datastore at `root`."""
    from metaflow import current
    from metaflow.datastore import FlowDataStore
    from metaflow.plugins.datastores.local_storage import LocalStorage

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStorage, "datastore_root", str(root))
        patch.setattr(FlowDataStore, "default_storage_impl", LocalStorage)
        patch.setattr(current, "_flow_name", "Pipeline", raising=False)
        yield
