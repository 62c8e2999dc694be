"""Load a pipeline's `model.py` from its file."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from mfx.config import Settings
from mfx.errors import MfxError


def load(settings: Settings) -> ModuleType:
    """The module with `preprocessing_fn(inputs)` and `build_model(**hyperparameters)`.

    Raises:
        MfxError: The file does not define both.
    """
    path = settings.resolve(settings.pipeline.module)
    name = f"mfx_pipeline_{settings.pipeline.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MfxError(f"{path}: not a Python file", "Name one as module under [pipeline].")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    for function in ("preprocessing_fn", "build_model"):
        if not callable(getattr(module, function, None)):
            raise MfxError(f"{path}: no function {function}", f"Define {function} in it.")
    return module
