"""`mfx serve`, this library's own server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mfx.push.servers.base import Start, resident_memory
from mfx.push.servers.tf_serving_api import TfServingApi

_SCRIPT = Path(__file__).parents[2] / "serve" / "__main__.py"


class MfxServe(TfServingApi):
    """`mfx serve` with its own engine."""

    title = "mfx serve"

    def missing(self) -> str:
        """Always "": the server is part of this library."""
        return ""

    def command(self, start: Start) -> Sequence[str]:
        """`mfx serve` in a new interpreter; see `ModelServer`."""
        return command(start, "mfx")

    def memory(self, process: subprocess.Popen) -> int | None:
        """The memory of the process; see `ModelServer`."""
        return resident_memory(process)


def command(start: Start, engine: str) -> Sequence[str]:
    """The command `mfx serve` with this engine."""
    # -I keeps the current folder and the user's own packages away from the process.
    return [
        *(sys.executable, "-I", str(_SCRIPT), str(start.base), "--engine", engine),
        *("--rest-port", str(start.rest), "--grpc-port", str(start.grpc)),
        *("--model-name", start.name, "--batching-parameters-file", str(start.parameters)),
    ]
