"""TensorFlow Serving itself, if it is installed on this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from mfx.push.servers.base import Start, resident_memory
from mfx.push.servers.tf_serving_api import TfServingApi


class TfServing(TfServingApi):
    """`tensorflow_model_server`."""

    title = "tensorflow_model_server"

    def missing(self) -> str:
        """Whether the program is missing on PATH; see `ModelServer`."""
        return "" if shutil.which(self.title) else f"{self.title}: no such program on PATH"

    def command(self, start: Start) -> Sequence[str]:
        """See `ModelServer`."""
        return [
            *(self.title, f"--rest_api_port={start.rest}", f"--port={start.grpc}"),
            *("--grpc_socket_path=", f"--model_name={start.name}", "--enable_batching"),
            f"--model_base_path={start.base}",
            f"--batching_parameters_file={start.parameters}",
        ]

    def memory(self, process: subprocess.Popen) -> int | None:
        """The memory of the process; see `ModelServer`."""
        return resident_memory(process)
