"""The mfx command."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx import cli


def _mfx(*arguments: str, **options):
    command = [sys.executable, "-m", "mfx.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_help_shows_an_example():
    assert "example: mfx schema accept 1" in _mfx("schema", "accept", "--help").stdout


def test_an_unknown_run_is_one_clear_line(tmp_path):
    (tmp_path / ".metaflow").mkdir()
    done = _mfx("schema", "accept", "123", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("the run Pipeline/123 has no 'schema' of step 'validate'\n")
    assert "Traceback" not in done.stderr


def test_a_runs_schema_is_accepted(flow_run, tmp_path, monkeypatch):
    from dataclasses import replace

    from mfx import registry

    schema = flow_run.run["validate"].task.data.schema
    target = tmp_path / "schema.pbtxt"
    assert registry.artifact("Pipeline", flow_run.run_id, "validate", "schema") == schema
    moved = replace(schema, path=str(target))
    monkeypatch.setattr(registry, "artifact", lambda *_: moved)
    assert cli.accept_schema("Pipeline", flow_run.run_id).startswith(f"wrote {target}\n")
    written = text_format.Parse(target.read_text(), schema_pb2.Schema())
    assert len(written.feature) == 18
    assert cli.accept_schema("Pipeline", None).startswith(f"replaced {target}\n")


@pytest.mark.parametrize("arguments", [[], ["schema"]])
def test_a_missing_command_is_a_usage_error(arguments):
    assert _mfx(*arguments).returncode == 2
