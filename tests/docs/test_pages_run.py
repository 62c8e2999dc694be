"""README and tutorials, followed as they stand.

Here what takes seconds, in a copy of the project with the run that many tests share. `make
test-docs` follows all of it as a new user does: a fresh clone, an empty home, the set-up.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.doc_blocks import STAMP, Block, Reader, blocks, matches, world
from helpers.flows import ROOT

TUTORIAL = [ROOT / "docs" / "tutorial" / f"{n}.md" for n in ("first-run", "own-data", "production")]
PAGES = [ROOT / "README.md", *TUTORIAL]
RUN = "make run"


@pytest.fixture
def _ports() -> Iterator[None]:
    """8500 and 8501, which the pages name, for one test on this machine at a time."""
    with (Path(tempfile.gettempdir()) / "mfx-docs-ports.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def copy(project: Path) -> Path:
    """The files of the project as they are now, without what git ignores."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda name: (ROOT / name).is_file(), names.splitlines()):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, project / name)
    return project


def short(page: Path) -> list[Block]:
    """What needs no run of its own, up to where the page begins one."""
    todo = []
    for block in blocks(page):
        if block.long and not block.text.startswith(RUN):
            break
        todo += [] if block.long else [block]
    return todo


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_block_says_what_it_is(page):
    """Each is run, written or justified: `blocks` raises for others."""
    known = ("sh", "python")
    for block in blocks(page):
        run = block.title or block.language in known
        assert run or block.mark == "example" or block.mark.startswith("not run"), block.where


@pytest.mark.usefixtures("_ports")
@pytest.mark.parametrize("page", [ROOT / "README.md", TUTORIAL[0]], ids=lambda page: page.stem)
def test_what_takes_seconds(page, flow_run, tmp_path):
    project = copy(tmp_path / "mfx")
    (project / ".venv").symlink_to(sys.prefix)
    runs = flow_run.store / ".metaflow"
    others = {run.name for run in (runs / "Pipeline").glob("[0-9]*")} - {flow_run.run_id}
    shutil.copytree(runs, project / ".metaflow", ignore=shutil.ignore_patterns(*others))
    (tmp_path / "home").mkdir()
    (run,) = (block for block in blocks(page) if block.text.startswith(RUN))
    assert matches(run.shown, STAMP.sub("", flow_run.output)), run.where
    Reader(project, world(HOME=str(tmp_path / "home"))).follow(short(page))


@pytest.mark.docs
@pytest.mark.usefixtures("_ports")
def test_a_new_user(tmp_path):
    """README, then the tutorials; they share an environment, which `make run` has set up."""
    (tmp_path / "home").mkdir()
    environment = world(HOME=str(tmp_path / "home"))
    clone = tmp_path / "readme" / "mfx"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    copy(clone)
    Reader(clone, environment).follow(blocks(PAGES[0]))
    again = copy(tmp_path / "tutorial" / "mfx")
    (again / ".venv").symlink_to(clone / ".venv")
    for page in TUTORIAL:
        Reader(again, environment).follow(blocks(page))
