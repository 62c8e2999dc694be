"""The Dockerfile is read as Docker does; it is only built if there is a Docker daemon."""

from __future__ import annotations

import fnmatch
import re

import pytest
from helpers.flows import ROOT

from mfx.config import tomllib

INSTRUCTIONS = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER"}


@pytest.fixture(scope="module")
def lines():
    """Instructions and their arguments, continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in kept]


@pytest.fixture(scope="module")
def stages(lines):
    starts = [n for n, (name, _) in enumerate(lines) if name == "FROM"]
    return [lines[a:b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]


def test_only_known_instructions(lines):
    assert {name for name, _ in lines} <= INSTRUCTIONS
    assert lines[0][0] == "ARG"


def test_variables_are_declared_before_they_are_used(lines):
    declared: set[str] = set()
    for name, rest in lines:
        assert set(re.findall(r"\$\{(\w+)\}", rest)) <= declared, rest
        if name == "ARG":
            declared.add(rest.split("=")[0])


def test_what_is_copied_is_in_the_checkout_and_in_the_build_context(lines):
    kept = (ROOT / ".dockerignore").read_text().split()
    allowed = [line.removeprefix("!") for line in kept if line.startswith("!")]
    for name, rest in lines:
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).is_file(), source
                assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source


def test_dependencies_come_from_the_lock_by_makes_own_command(stages):
    (run,) = [rest for name, rest in stages[0] if name == "RUN"]
    assert run.startswith("make setup SYNC_ARGS=")
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"uv sync .*--frozen .*\$\(SYNC_ARGS\)", makefile)
    assert "--build-arg EXTRAS=" in makefile and "--extra gpu" in makefile
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any("and-cuda" in requirement for requirement in extras["gpu"])
    lock = (ROOT / "uv.lock").read_text()
    assert 'name = "nvidia-cudnn-cu12"' in lock


def test_the_image_has_no_code_and_no_secrets(stages):
    assert [rest for name, rest in stages[-1] if name == "COPY"] == [
        "--from=build /srv/mfx/.venv /srv/mfx/.venv"
    ]


def test_containers_do_not_run_as_root(stages):
    users = [rest for name, rest in stages[-1] if name == "USER"]
    assert users == ["1000"]
    home = [rest for name, rest in stages[-1] if name == "WORKDIR"][-1]
    made = " ".join(rest for name, rest in stages[-1] if name == "RUN")
    assert f"--owner mfx --group mfx {home}" in made


def test_metaflow_finds_the_environment(stages):
    variables = dict(rest.split("=", 1) for name, rest in stages[-1] if name == "ENV")
    assert variables["PATH"].split(":")[0] == "/srv/mfx/.venv/bin"
    assert variables["METAFLOW_SKIP_INSTALL_DEPENDENCIES"] == "1"


def test_the_python_is_one_that_the_lock_has(lines):
    version = next(rest for name, rest in lines if name == "ARG").removeprefix("PYTHON=")
    assert version in ("3.10", "3.11", "3.12", "3.13")
