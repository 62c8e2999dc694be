"""Which model is in production, and results of earlier runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.pushes import push_folder
from helpers.small_world import write_pipeline

from mfx import registry
from mfx.config import Settings
from mfx.destinations.base import RECORD
from mfx.destinations.local import LocalDestination
from mfx.errors import MfxError


@pytest.fixture
def settings(tmp_path) -> Settings:
    return write_pipeline(tmp_path / "pipeline")


@pytest.fixture
def place(settings) -> LocalDestination:
    return LocalDestination(Path(settings.resolve(settings.push.destination), "small"))


def push(place: LocalDestination, folder: Path, run: str | None, content: bytes = b"") -> int:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(content)
    if run is not None:
        (folder / RECORD).parent.mkdir()
        (folder / RECORD).write_text(json.dumps({"run": run}))
    return push_folder(place, folder)


def test_before_the_first_push_there_is_none(settings):
    assert registry.production(settings) is None
    assert not Path(settings.resolve(settings.push.destination)).exists(), "looking makes nothing"


def test_the_highest_version_is_in_production(settings, place, tmp_path):
    push(place, tmp_path / "first", "1", b"old")
    version = push(place, tmp_path / "second", "2", b"new")
    found = registry.production(settings)
    assert (found.run, found.version) == ("2", version)
    with found.files() as files:
        assert (files / "saved_model.pb").read_bytes() == b"new"
    assert not files.exists()


def test_what_something_else_pushed_is_of_an_unknown_run(settings, place, tmp_path):
    push(place, tmp_path / "first", "1")
    push(place, tmp_path / "foreign", None)
    assert registry.production(settings).run == "unknown"
    assert registry.production(settings).entry is None


def test_another_pipelines_models_do_not_count(settings, tmp_path):
    other = LocalDestination(Path(settings.resolve(settings.push.destination), "other"))
    push(other, tmp_path / "model", "1")
    assert registry.production(settings) is None


FLOW = """
from metaflow import FlowSpec, Parameter, step

class Tiny(FlowSpec):
    broken = Parameter("broken", default=False, type=bool)

    @step
    def start(self):
        self.number = 41
        self.next(self.end)

    @step
    def end(self):
        if self.broken:
            raise ValueError("stopped here")
        self.answer = self.number + 1

if __name__ == "__main__":
    Tiny()
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that finished and one that was stopped, both visible to the client."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.py").write_text(FLOW)
    environment = {
        **os.environ,
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
        "METAFLOW_DEFAULT_METADATA": "local",
    }
    found = []
    for arguments in ([], ["--broken", "1"]):
        file = folder / f"id-{len(found)}"
        subprocess.run(
            [sys.executable, "tiny.py", "run", "--run-id-file", str(file), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        found.append(file.read_text())
    from metaflow import get_metadata, metadata

    before = get_metadata()
    metadata(f"local@{folder}")
    yield found
    # If there was no datastore before, there is none to restore.
    with suppress(ValueError):
        metadata(before)


def test_results_of_a_run_come_back(runs):
    assert registry.artifact("Tiny", runs[0], "start", "number") == 41
    assert registry.artifact("Tiny", runs[0], "end", "answer") == 42


def test_without_an_id_it_is_the_latest_run_also_a_stopped_one(runs):
    assert registry.artifact("Tiny", None, "start", "number") == 41
    with pytest.raises(MfxError, match="the latest run of Tiny has no 'answer' of step 'end'"):
        registry.artifact("Tiny", None, "end", "answer")


@pytest.mark.parametrize(
    ("flow", "run", "step", "name"),
    [
        ("Tiny", "999", "start", "number"),
        ("Tiny", "FIRST", "middle", "number"),
        ("Tiny", "FIRST", "start", "nothing"),
        ("Unknown", None, "start", "number"),
        ("Unknown", "1", "start", "number"),
        ("Tiny", "1/start", "start", "number"),
        ("Tiny", "", "start", "number"),
    ],
)
def test_what_is_not_there_is_one_error(flow, run, step, name, runs):
    run = runs[0] if run == "FIRST" else run
    with pytest.raises(MfxError, match=f"has no '{name}' of step '{step}'") as caught:
        registry.artifact(flow, run, step, name)
    assert "Give the id of a run" in caught.value.remedy
