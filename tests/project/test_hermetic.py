"""Nothing in the caller's environment changes the results of tests."""

from __future__ import annotations

import json
import locale
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import hermetic
from helpers.flows import ROOT
from helpers.hermetic import LEFT

HOSTILE = {
    "METAFLOW_USER": "ada",
    "METAFLOW_PROFILE": "work",
    "METAFLOW_DEFAULT_DATASTORE": "s3",
    "METAFLOW_DATASTORE_SYSROOT_S3": "s3://ada/metaflow",
    "METAFLOW_DEFAULT_METADATA": "service",
    "METAFLOW_SERVICE_URL": "http://localhost:1",
    "METAFLOW_RUN_TAG": "ada",
    "USER": "ada",
    "USERNAME": "ada",
    "LOGNAME": "ada",
    "SUDO_USER": "ada",
    "AWS_PROFILE": "work",
    "AWS_ENDPOINT_URL": "http://localhost:1",
    "AWS_REGION": "nowhere-1",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_MAX_ATTEMPTS": "x",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "KERAS_BACKEND": "jax",
    "TF_DETERMINISTIC_OPS": "x",
    "XLA_FLAGS": "--no_such_flag",
    "OMP_NUM_THREADS": "x",
    "LANG": "de_DE.ISO-8859-1",
    "LC_ALL": "C",
    "LANGUAGE": "de",
    "TZ": "Asia/Kolkata",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "PYTHONOPTIMIZE": "1",
    "PYTHONHASHSEED": "7",
    "PYTHONWARNINGS": "always",
    "COLUMNS": "20",
    "LINES": "3",
    "NO_COLOR": "1",
    "FORCE_COLOR": "1",
    "GIT_DIR": "/nowhere",
    "GIT_WORK_TREE": "/nowhere",
    "GIT_AUTHOR_NAME": "ada",
    "MFX_S3_PATIENCE": "0",
    "MFX_RECORD_IMPORTS": "/nowhere",
    "MFX_WEBHOOK": "http://x",
    "MFX_TRITON": "x",
    "http_proxy": "http://localhost:1",
    "PROMETHEUS_MULTIPROC_DIR": "/x",
}
"""Variables that a caller may have set, each of them wrong for tests."""


def hostile_home(folder: Path) -> None:
    """A home folder whose settings would send tests elsewhere."""
    files = {
        ".metaflowconfig/config.json": json.dumps({"METAFLOW_DEFAULT_DATASTORE": "s3"}),
        ".metaflowconfig/config_work.json": json.dumps({"METAFLOW_USER": "ada"}),
        ".aws/config": "[profile work]\nregion = nowhere-1\n[default]\nregion = nowhere-2\n",
        ".aws/credentials": "[default]\naws_access_key_id = a\naws_secret_access_key = b\n",
        ".gitconfig": "[core]\nquotePath = false\n[user]\nname = ada\n[status]\nshort = true\n",
        ".keras/keras.json": json.dumps({"floatx": "float16", "backend": "jax"}),
        "modules/mfx/__init__.py": "raise ImportError('not ours')\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_of_this_process_only_what_is_named_is_left():
    named = hermetic.KEPT | hermetic.SET.keys() | hermetic.OF_S3
    assert [n for n in LEFT.keys() - named if not n.startswith(hermetic.PREFIXES)] == []
    assert {name: LEFT[name] for name in hermetic.SET} == hermetic.SET


def test_of_this_process_place_time_and_language_are_the_same_everywhere():
    assert Path.cwd() == ROOT
    assert time.tzname[0] == "UTC"
    assert locale.getpreferredencoding(False).upper().replace("-", "") == "UTF8"
    assert "modules" not in {Path(folder).name for folder in sys.path}
    said = subprocess.run(
        [sys.executable, "-c", "import sys, time; print(sys.stdout.encoding, time.tzname[0], '→')"],
        env=LEFT,
        capture_output=True,
        check=True,
    )
    assert said.stdout.decode().split() == ["utf-8", "UTC", "→"]


def test_of_this_process_metaflow_aws_and_git_have_no_settings_but_ours():
    code = (
        "import boto3, mfx\n"
        "from metaflow import metaflow_config as m\n"
        "from metaflow.util import get_username\n"
        "session = boto3.Session()\n"
        "print(m.DEFAULT_DATASTORE, m.DEFAULT_METADATA, get_username(), m.DATASTORE_SYSROOT_S3,\n"
        "    session.get_credentials(), session.region_name)\n"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=LEFT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["local", "local", "tester", "None", "None", "None"]
    git = subprocess.run(["git", "config", "user.name"], cwd="/", env=LEFT, capture_output=True)
    assert git.stdout == b""


@pytest.mark.parametrize("processes", [0, 1])
def test_a_hostile_caller_changes_no_result(processes, tmp_path):
    """Run some tests from another folder, with all of HOSTILE and a hostile home folder."""
    hostile_home(tmp_path)
    environment = {
        **{name: text for name, text in LEFT.items() if not name.startswith("PYTEST_")},
        **HOSTILE,
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path / "modules"),
    }
    if not processes:
        # Without a separate process, the settings with which Python was started stay.
        for name in ("PYTHONOPTIMIZE", "PYTHONUTF8", "PYTHONIOENCODING"):
            del environment[name]
    names = ("test_environment", "flow/test_code", "artifacts/test_lineage")
    files = [str(ROOT / "tests" / f"{name}.py") for name in names]
    files += [f"{__file__}::{name}" for name in globals() if name.startswith("test_of_this")]
    given = ["-q", "-n", str(processes), f"--basetemp={tmp_path}/t"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *given, *files],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")
    assert b"passed" in done.stdout


def test_asserts_that_would_do_nothing_are_refused():
    done = subprocess.run(
        [
            sys.executable,
            "-O",
            "-m",
            "pytest",
            "-q",
            "-n",
            "0",
            str(ROOT / "tests/artifacts/test_lineage.py"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "leaves out the tests' assertions" in done.stderr


def test_what_a_test_is_told_from_outside_stays():
    told = {"MFX_KILLS": "3", "MFX_TEST_S3": "http://s3", "AWS_ACCESS_KEY_ID": "k", "MFX_X": "x"}
    environment = dict(told)
    hermetic.clean(environment, METAFLOW_USER="bench")
    assert environment.pop("METAFLOW_USER") == "bench"
    assert {n: v for n, v in environment.items() if n not in hermetic.SET} == {
        name: told[name] for name in ("MFX_KILLS", "MFX_TEST_S3", "AWS_ACCESS_KEY_ID")
    }
    alone = {"AWS_ACCESS_KEY_ID": "k"}
    hermetic.clean(alone)
    assert "AWS_ACCESS_KEY_ID" not in alone
