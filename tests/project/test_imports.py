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
    done = subprocess.run(
        [sys.executable, "-c", code + show], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("mfx", set()),
        ("mfx.config", set()),
        ("mfx.artifacts", set()),
        ("mfx.cli", set()),
        ("mfx.flow.runtime", set()),
        ("mfx.deploy.decorators", set()),
        ("mfx.deploy.manifests", set()),
        ("mfx.deploy.notify", set()),
        ("mfx.ingest.input_files", set()),
        ("mfx.flow.start", set()),
        ("mfx.ingest.ingest", set()),
        ("mfx.flow.reuse", set()),
        *((f"mfx.{step}.spec", set()) for step in ("validate", "transform", "train", "evaluate")),
        ("mfx.report.cards", set()),
        ("mfx.push.push", set()),
        ("mfx.registry", set()),
        ("mfx.registry.comparison", set()),
        ("mfx.registry.page", set()),
        ("mfx.ui.app", set()),
        ("mfx.flow.code", set()),
        ("mfx.report.summary", set()),
        ("mfx.train.input", {"tensorflow"}),
    ],
)
def test_a_room_loads_only_what_it_needs(module, allowed):
    assert _loaded(f"import {module}") <= allowed


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
