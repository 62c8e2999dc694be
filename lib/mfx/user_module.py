"""A pipeline's `model.py`, and the files of the project that it imports."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from mfx import bundle, bundle_import
from mfx.config import Settings
from mfx.errors import MfxError


def find(settings: Settings) -> bundle.Bundle:
    """The module's file and all that it needs of the project, read but not run.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    path = settings.resolve(settings.pipeline.module)
    if not path.endswith(".py"):
        raise MfxError(f"{path}: not a Python file", "Name one as module under [pipeline].")
    return bundle.of(Path(path), settings.pipeline.name)


def load(settings: Settings) -> ModuleType:
    """The module with `preprocessing_fn(inputs)` and `build_model(**hyperparameters)`.

    Raises:
        MfxError: The file does not define both; a file is not Python.
    """
    path = settings.resolve(settings.pipeline.module)
    module = bundle_import.load(find(settings))
    for function in ("preprocessing_fn", "build_model"):
        if not callable(getattr(module, function, None)):
            raise MfxError(f"{path}: no function {function}", f"Define {function} in it.")
    return module
