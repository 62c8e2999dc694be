"""Load a source of the user's own, a Python file that gives rows, with the files it imports."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from mfx.errors import MfxError
from mfx.user_code import bundle, bundle_import
from mfx.user_code.failures import running


def find(path: str) -> bundle.Bundle:
    """Read a source of the user's own, and all files of the project that it needs.

    Args:
        path: The file, `source` under `[data]`, as an absolute path.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    if not path.endswith(".py"):
        raise MfxError(f"{path}: not a Python file", "Set source under [data] to a .py file.")
    if not Path(path).is_file():
        raise MfxError(f"{path}: no such file", "Set source under [data] to a .py file.")
    return bundle.collect(Path(path), "source")


def load(path: str) -> ModuleType:
    """Load a source of the user's own; see `find`.

    Raises:
        MfxError: A file cannot be read or run.
    """
    found = find(path)
    with running(path, "import"):
        return bundle_import.load(found)
