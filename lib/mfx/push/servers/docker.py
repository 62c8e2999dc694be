"""TensorFlow Serving in its container, by Docker."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from mfx.push.servers.base import VERSION, Start
from mfx.push.servers.tf_serving_api import TfServingApi

IMAGE = "tensorflow/serving:2.19.1"
"""TensorFlow Serving's image, also used in manifests. Its GPU variant has `-gpu` added."""


class Docker(TfServingApi):
    """Runs IMAGE with `docker run`."""

    title = f"docker {IMAGE}"

    def missing(self) -> str:
        """Whether Docker or the image is missing; see `ModelServer`."""
        if not shutil.which("docker"):
            return "docker: no such program on PATH"
        found = subprocess.run(
            ["docker", "image", "inspect", IMAGE], capture_output=True, check=False
        )
        # The image is not pulled: a push should not wait for half a gigabyte nobody asked for.
        if found.returncode == 0:
            return ""
        return f"docker: its daemon does not run, or it has no image {IMAGE}"

    def command(self, start: Start) -> Sequence[str]:
        """See `ModelServer`."""
        return [
            *("docker", "run", "--rm", "--init"),
            *("--publish", f"127.0.0.1:{start.rest}:8501"),
            *("--publish", f"127.0.0.1:{start.grpc}:8500"),
            *("--volume", f"{start.model}:/models/{start.name}/{VERSION}:ro"),
            *("--volume", f"{start.parameters}:/batching_parameters.txt:ro", IMAGE),
            *(f"--model_name={start.name}", "--enable_batching"),
            f"--model_base_path=/models/{start.name}",
            "--batching_parameters_file=/batching_parameters.txt",
        ]

    def memory(self, process: subprocess.Popen) -> int | None:
        """None: the process is only Docker's client."""
        return None
