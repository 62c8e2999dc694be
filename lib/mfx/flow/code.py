"""The code that a run is made with: its files and its git commit, kept with the run."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from pathlib import Path

from mfx.artifacts import Code, store
from mfx.artifacts.lineage import hash_file
from mfx.config import Settings
from mfx.user_code import loading
from mfx.user_code.bundle import LIBRARY

ARCHIVE = "code.zip"
LARGE = 2**20
"""Bytes of a file from which on its hash is kept in its place."""


def files(settings: Settings) -> dict[str, Path]:
    """What a result depends on, by name: this library's Python files below `mfx/`, the pipeline's
    module, and all that it needs of the project.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    library = {f"mfx/{p.relative_to(LIBRARY).as_posix()}": p for p in LIBRARY.rglob("*.py")}
    return library | loading.find(settings).files()


def keep(settings: Settings) -> Code:
    """Put the library's and the pipeline's files into the running flow's datastore."""
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        _archive(files(settings), Path(directory, ARCHIVE))
        folder = Path(settings.resolve(settings.pipeline.module)).parent
        return Code(*_commit(folder), store.save(directory))


def _archive(files: dict[str, Path], target: Path) -> None:
    """One file, equal for equal code: without times, in order of names."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            archive.writestr(entry, _content(files[name]), zipfile.ZIP_DEFLATED)


def _content(path: Path) -> bytes:
    """A file's bytes; of a large one what tells it from others."""
    if path.stat().st_size <= LARGE:
        return path.read_bytes()
    return f"{path.stat().st_size} bytes with the SHA-256 {hash_file(path)}\n".encode()


def _commit(folder: Path) -> tuple[str, bool]:
    """The commit and whether there are changes besides.

    A task on a remote machine has no repository; Metaflow's code package says what it was made
    from.
    """
    from metaflow.meta_files import read_info_file

    info = read_info_file() or {}
    if info.get("commit_sha"):
        return info["commit_sha"], bool(info.get("has_uncommitted_changes"))
    commit = _git(folder, "rev-parse", "HEAD")
    return commit, bool(commit and _git(folder, "status", "--porcelain", "--", ":/"))


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except OSError:  # no git on this machine
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
