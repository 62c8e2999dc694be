"""TensorFlow Serving in its container, by Docker."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from mfx.push.servers.base import VERSION, Start
from mfx.push.servers.tf_serving_api import TfServingApi

IMAGE = "tensorflow/serving:2.19.1"
"""TF Serving's image, here and in manifests; with `-gpu` the one for GPUs."""


class Docker(TfServingApi):
    """`docker run` of IMAGE."""

    title = f"docker {IMAGE}"

    def missing(self) -> str:
        """Whether Docker or the image is not here; see `ModelServer`."""
        if not shutil.which("docker"):
            return "docker: no such program on PATH"
        found = subprocess.run(
            ["docker", "image", "inspect", IMAGE], capture_output=True, check=False
        )
        # Not pulled: a push should not wait for half a gigabyte that nobody asked for.
        return "" if found.returncode == 0 else f"docker, if its daemon runs, has no image {IMAGE}"

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
        """Not known: the process is Docker's client."""
        return None
