"""A page over runs of all kinds: finished, failed, running, unreadable; some promoted."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from helpers.pages import Client, Shown, serving, shown_in


@pytest.fixture(scope="session")
def ui_runs(tmp_path_factory) -> Shown:
    """Runs of all kinds."""
    return shown_in(tmp_path_factory.mktemp("ui"))


@pytest.fixture
def world(ui_runs, monkeypatch, tmp_path) -> Iterator[Shown]:
    """The runs, which Metaflow's client sees, one of them running; nothing is kept of them yet."""
    from mfx.registry import liveness

    monkeypatch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(ui_runs.small.store))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MFX_STORAGE_PATIENCE", "1")
    monkeypatch.setattr(liveness, "_held", held := [])
    ui_runs.small.look()
    liveness.hold("Pipeline", ui_runs.ids["running"], report=lambda line: None)
    yield ui_runs
    for handle in held:
        os.close(handle)


@pytest.fixture
def ask(world) -> Iterator[Client]:
    """Asks the page over these runs."""
    from mfx.ui import app

    with serving(app.open_server(port=0)) as client:
        yield client
