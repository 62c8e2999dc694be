"""A run saves its code and its Git commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import mfx
from mfx.config import Settings
from mfx.flow import code


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def pipeline(tmp_path, settings) -> Settings:
    """A pipeline outside of any repository."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.py").write_text("one = 1\n")
    return settings.model_copy(update={"home": str(folder)})


def test_the_files_come_back(pipeline, datastore):
    kept = code.save(pipeline)
    files = kept.files()
    assert files["model.py"] == "one = 1\n"
    assert files["mfx/flow/code.py"] == Path(code.__file__).read_text()
    assert "mfx/registry/log.py" in files
    assert (kept.commit, kept.changed, kept.library) == ("", False, mfx.__version__)


def test_equal_code_is_stored_once(pipeline, datastore):
    first = code.save(pipeline)
    Path(pipeline.resolve("model.py")).touch()
    assert code.save(pipeline) == first
    Path(pipeline.resolve("model.py")).write_text("one = 2\n")
    assert code.save(pipeline).payload != first.payload


def test_what_the_module_imports_is_kept_and_its_changes_are_named(pipeline, datastore):
    from types import SimpleNamespace

    from mfx.registry.changes import FileChange, code_changes

    folder = Path(pipeline.home)
    (folder / "model.py").write_text("from helper import SHARE\nWORDS = 'words.txt'\n")
    (folder / "helper.py").write_text("SHARE = 0.2\n")
    (folder / "words.txt").write_bytes(b"\xff" * code.LARGE)
    first = code.save(pipeline)
    (folder / "helper.py").write_text("SHARE = 0.05\n")
    (folder / "words.txt").write_bytes(b"\xfe" * (code.LARGE + 1))
    second = code.save(pipeline)
    assert second.files()["words.txt"].startswith(f"{code.LARGE + 1} bytes with the SHA-256 ")
    found = code_changes(SimpleNamespace(code=first), SimpleNamespace(code=second))
    assert found == [FileChange("helper.py", 1, 1), FileChange("words.txt", 1, 1)]


def test_the_commit_is_that_of_the_pipelines_repository(pipeline, datastore):
    folder = Path(pipeline.home)
    git(folder, "init", "-q")
    git(folder, "add", "model.py")
    git(folder, "commit", "-qm", "one")
    commit = git(folder, "rev-parse", "HEAD")
    found = code.save(pipeline)
    assert (found.commit, found.changed) == (commit, False)
    (folder / "model.py").write_text("one = 3\n")
    found = code.save(pipeline)
    assert (found.commit, found.changed) == (commit, True)


def test_without_git_there_is_no_commit(pipeline, datastore, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert code.save(pipeline).commit == ""


def test_a_code_package_says_what_it_was_made_from(pipeline, datastore, monkeypatch):
    """On a remote machine there is no repository."""
    from metaflow import meta_files

    info = {"commit_sha": "abc123", "has_uncommitted_changes": True}
    monkeypatch.setattr(meta_files, "read_info_file", lambda: info)
    found = code.save(pipeline)
    assert (found.commit, found.changed) == ("abc123", True)
