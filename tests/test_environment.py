"""On a bare machine, Metaflow gets what it needs; what the user has set stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mfx.environment import code_package, folder_of, set_defaults

NAMES = ("METAFLOW_USER", "METAFLOW_DATASTORE_SYSROOT_LOCAL", "TF_CPP_MIN_LOG_LEVEL")
S3 = ("METAFLOW_S3_RETRY_COUNT", "METAFLOW_S3_CLIENT_RETRY_CONFIG")
S3 += ("METAFLOW_DATATOOLS_CLIENT_PARAMS",)
S3 += ("METAFLOW_RUN_MAX_NUM_SPLITS", "METAFLOW_RESUME_MAX_NUM_SPLITS")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in (*NAMES, *S3, "METAFLOW_PROFILE", "USER", "LOGNAME", "USERNAME"):
        # Set first, then deleted, so that values set by the code are undone afterwards.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("METAFLOW_HOME", str(tmp_path))
    monkeypatch.setattr("mfx.environment._project", None)


def test_a_bare_environment_is_filled(tmp_path):
    set_defaults(tmp_path)
    assert os.environ["METAFLOW_USER"] not in ("", "root")
    assert os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] == str(tmp_path)


def test_what_the_user_set_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("METAFLOW_USER", "ann")
    monkeypatch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", "elsewhere")
    set_defaults(tmp_path)
    assert os.environ["METAFLOW_USER"] == "ann"
    assert os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] == "elsewhere"


def test_the_users_metaflow_profile_stays(tmp_path):
    config = {"METAFLOW_DATASTORE_SYSROOT_LOCAL": "from the profile"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    set_defaults(tmp_path)
    assert "METAFLOW_DATASTORE_SYSROOT_LOCAL" not in os.environ


def test_more_than_a_hundred_candidates_are_let_through(tmp_path, monkeypatch):
    """Read the environment as the options of Metaflow's commands do."""
    from metaflow._vendor import click
    from metaflow.cli_components.run_cmds import resume, run

    monkeypatch.setenv("METAFLOW_RESUME_MAX_NUM_SPLITS", "7")
    set_defaults(tmp_path)
    root = click.Context(click.Group(), auto_envvar_prefix="METAFLOW")
    for command, most in ((run, "10000"), (resume, "7")):
        context = click.Context(command, parent=root, info_name=command.name)
        (option,) = [p for p in command.params if p.name == "max_num_splits"]
        assert option.resolve_envvar_value(context) == most


def test_metaflow_gets_short_tries_on_s3(tmp_path):
    """Read them as Metaflow itself does, in a separate process."""
    set_defaults(tmp_path)
    code = (
        "from metaflow import metaflow_config as m; print(m.S3_RETRY_COUNT, "
        "m.S3_CLIENT_RETRY_CONFIG['max_attempts'], m.DATATOOLS_CLIENT_PARAMS['config'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3 1 {'connect_timeout': 5, 'read_timeout': 15}"


def test_the_users_settings_of_s3_stay(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({S3[0]: 5}))
    monkeypatch.setenv(S3[1], "{}")
    set_defaults(tmp_path)
    assert S3[0] not in os.environ and os.environ[S3[1]] == "{}" and S3[2] in os.environ


def test_a_container_keeps_metaflows_own_datastore(tmp_path, monkeypatch):
    """There, the flow is in an unpacked code package. The folder above may not be writable."""
    (tmp_path / ".mf_install").touch()
    monkeypatch.setattr("sys.argv", [str(tmp_path / "pipeline.py"), "step"])
    set_defaults(tmp_path.parent)
    assert "METAFLOW_DATASTORE_SYSROOT_LOCAL" not in os.environ


def test_the_configs_folder_is_in_the_code_package_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(tmp_path / "pipeline.py"), "step"])
    assert code_package() is None
    assert folder_of("/flows/taxi") == "/flows/taxi"
    (tmp_path / ".mf_install").touch()
    assert code_package() == tmp_path
    assert folder_of("/flows/taxi") == str(tmp_path / "mfx_home")
