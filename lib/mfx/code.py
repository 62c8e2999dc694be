"""The code that a run is made with: its files and its git commit, kept with the run."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from pathlib import Path

from mfx import store
from mfx.artifacts import Code
from mfx.config import Settings

ARCHIVE = "code.zip"


def keep(settings: Settings) -> Code:
    """Put the library's and the pipeline's Python files into the running flow's datastore."""
    module = Path(settings.resolve(settings.pipeline.module))
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        _archive(module, Path(directory, ARCHIVE))
        return Code(*_commit(module.parent), store.save(directory))


def _archive(module: Path, target: Path) -> None:
    """One file, equal for equal code: without times, in order of names."""
    library = Path(__file__).parent
    files = {f"mfx/{p.relative_to(library).as_posix()}": p for p in library.rglob("*.py")}
    files[module.name] = module
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            archive.writestr(entry, files[name].read_bytes(), zipfile.ZIP_DEFLATED)


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
