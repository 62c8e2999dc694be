"""Each step imports only what it needs: imports take most of the time of a small run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from helpers.flows import FLOW, ROOT

HEAVY = (
    "tensorflow",
    "apache_beam",
    "tensorflow_transform",
    "tensorflow_data_validation",
    "vl_convert",
)


def _loaded(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after `code`."""
    show = f"\nimport json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    return set(json.loads(_printed(code + show)))


def _printed(code: str) -> str:
    """The last line that a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.splitlines()[-1]


LIGHT = [
    "mfx",
    "mfx.config",
    "mfx.artifacts",
    "mfx.cli",
    "mfx.flow.runtime",
    "mfx.deploy.decorators",
    "mfx.deploy.manifests",
    "mfx.deploy.notify",
    "mfx.ingest.input_files",
    "mfx.flow.start",
    "mfx.ingest.ingest",
    "mfx.flow.reuse",
    *(f"mfx.{step}.spec" for step in ("validate", "transform", "train", "evaluate")),
    "mfx.report.cards",
    "mfx.push.push",
    "mfx.registry",
    "mfx.registry.comparison",
    "mfx.registry.page",
    "mfx.ui.app",
    "mfx.flow.code",
    "mfx.report.summary",
]
"""Rooms that load nothing heavy."""


@pytest.fixture(scope="module")
def loaded_after() -> dict[str, list[str]]:
    """The heavy packages that a fresh interpreter has loaded after each of these, one by one."""
    code = f"""
import importlib, json, sys
found = {{}}
for module in {LIGHT}:
    importlib.import_module(module)
    found[module] = [m for m in {HEAVY} if m in sys.modules]
print(json.dumps(found))
"""
    return json.loads(_printed(code))


@pytest.mark.parametrize("module", LIGHT)
def test_a_room_loads_only_what_it_needs(module, loaded_after):
    assert loaded_after[module] == []


def test_reading_for_training_loads_tensorflow_alone():
    assert _loaded("import mfx.train.input") <= {"tensorflow"}


def test_showing_the_flow_loads_nothing_heavy():
    code = f"""
import runpy, sys
sys.argv = [{str(FLOW)!r}, "show"]
try:
    runpy.run_path({str(FLOW)!r}, run_name="__main__")
except SystemExit:
    pass
"""
    assert _loaded(code) == set()
