"""Writes the packages that a step's process has loaded at its end, when on a run's PYTHONPATH.

Python imports a module of this name at its start. One file a task, in MFX_RECORD_IMPORTS.
"""

import atexit
import json
import os
import sys
from pathlib import Path


def _record(folder: str) -> None:
    arguments = sys.argv[1:]
    if "step" in arguments:
        name = arguments[arguments.index("step") + 1]
        packages = sorted({module.split(".")[0] for module in sys.modules})
        Path(folder, f"{name}-{os.getpid()}.json").write_text(json.dumps(packages))


if "MFX_RECORD_IMPORTS" in os.environ:
    atexit.register(_record, os.environ["MFX_RECORD_IMPORTS"])
