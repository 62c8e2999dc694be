"""What people who carry the project on go by: CHANGELOG, CONTRIBUTING, forms, workflows, hooks."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml
from helpers.flows import ROOT

import mfx

BIN = Path(sys.executable).parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
RELEASES = re.findall(r"^## \[(.+?)\](?: - (.+))?$", CHANGELOG, re.M)
HOOKS = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    for hook in repository["hooks"]
]


def test_this_version_is_in_the_changelog_with_its_date():
    assert RELEASES[0] == ("Unreleased", "")
    # Between releases the version is that of the next one, under development.
    if ".dev" not in mfx.__version__:
        assert RELEASES[1][0] == mfx.__version__
    dates = [date.fromisoformat(day) for _, day in RELEASES[1:]]
    assert dates == sorted(dates, reverse=True)


def test_the_changelog_has_the_usual_sections():
    sections = set(re.findall(r"^### (.+)$", CHANGELOG, re.M))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert CHANGELOG.count("\n## ") == len(RELEASES), "## is for versions"


def test_commands_that_are_named_are_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.M))
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", text, re.M))
    assert {"run", "test"} <= named <= targets


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("custom.github-workflows-require-timeout", ".github/workflows/*.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_github_takes_its_files(schema, pattern):
    files = sorted(ROOT.glob(pattern))
    assert files
    command = [BIN / "check-jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_ci_runs_is_what_people_run_on_both_stacks():
    (file,) = (ROOT / ".github" / "workflows").glob("*.yml")
    job = yaml.safe_load(file.read_text("utf-8"))["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    # glibc 2.35 has no wheel of the second stack, which begins with Python 3.12.
    for one in job["strategy"]["matrix"]["include"]:
        second = tuple(map(int, one["python"].split("."))) >= (3, 12)
        assert one["system"] == ("ubuntu-24.04" if second else "ubuntu-22.04")


def locked(package: str) -> set[str]:
    lock = (ROOT / "uv.lock").read_text("utf-8")
    return set(re.findall(rf'^name = "{package}"\nversion = "(.+)"', lock, re.M))


def test_hooks_are_a_config_that_pre_commit_takes():
    command = [BIN / "pre-commit", "validate-config", ".pre-commit-config.yaml"]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_has_the_locked_version_and_its_command_is_there(hook):
    (requirement,) = hook["additional_dependencies"]
    package, version = requirement.split("==")
    assert version in locked(package), f"uv.lock has {package} {locked(package)}"
    assert (BIN / hook["entry"].split()[0]).is_file()
