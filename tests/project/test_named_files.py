"""Files that docs, comments and messages name exist, even after files were moved."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePosixPath

import pytest
from helpers.flows import ROOT

FILES = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
).stdout.split()
if not FILES:  # This is not a Git clone.
    FILES = [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if ".venv" not in p.parts]
READ = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "Makefile",
    "docs",
    "lib",
    "flows",
    "serving",
    "benchmarks",
    "data",
)
NAMED = re.compile(r"(?<![\w/.<…-])(?:\w[\w-]*/)+\w[\w-]*\.(?:py|md|sh)\b")
EXAMPLES = tuple(
    f"{folder}{name}"
    for name in ("penguins", "mine", "minutes", "duration", "rides")
    for folder in ("flows/", "tests/test_")
)
"""Files that readers are asked to create."""


def missing(text: str) -> list[str]:
    """The paths in a text to which no file's path ends."""
    known = {f"/{name}" for name in FILES}
    return [
        name
        for name in NAMED.findall(text)
        if not name.startswith(EXAMPLES) and not any(path.endswith(f"/{name}") for path in known)
    ]


@pytest.mark.parametrize(
    "path",
    [
        name
        for name in FILES
        if name.startswith(READ) and PurePosixPath(name).suffix in ("", ".md", ".py")
    ],
)
def test_a_named_file_is_there(path):
    assert not missing((ROOT / path).read_text())


def test_a_moved_file_is_found_out():
    assert missing("see `lib/mfx/tensors.py`, columns/types.py") == ["lib/mfx/tensors.py"]
