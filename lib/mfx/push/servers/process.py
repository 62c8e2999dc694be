"""A model server on localhost, in a process of its own, for one candidate."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mfx.serve.parameters import BatchingParameters

IMAGE = "tensorflow/serving:2.19.1"
"""TF Serving's image, here and in manifests; with `-gpu` the one for GPUs."""
MFX, TF_SERVING, DOCKER = "mfx serve", "tensorflow_model_server", f"docker {IMAGE}"
TRITON = "mfx serve --engine triton"
"""KServe's V2 API; all others have TF Serving's."""
_VERSION = "1"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past the user's `http_proxy`, from which nothing on this machine can be reached."""


class ServerError(Exception):
    """The server did not come up, in one line."""


class AnswerError(Exception):
    """A request was not answered, in one line."""


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        kind: MFX, TRITON, TF_SERVING or DOCKER.
        rest: `host:port` of the REST API.
        grpc: `host:port` of the gRPC API.
        start_seconds: From the start of its process until the model was available.
        process: Its process, or Docker's client.
    """

    kind: str
    rest: str
    grpc: str
    start_seconds: float
    process: subprocess.Popen

    def memory(self) -> int | None:
        """Bytes of memory that the server holds, with the processes that it started.

        None where the system does not tell.
        """
        if self.kind == DOCKER or not Path(f"/proc/{self.process.pid}/status").is_file():
            return None
        return sum(_memory(pid) for pid in _with_children(self.process.pid)) or None


def best() -> str:
    """TensorFlow Serving itself where it can be had, else this library's server."""
    if shutil.which("tensorflow_model_server"):
        return TF_SERVING
    if shutil.which("docker"):
        found = subprocess.run(
            ["docker", "image", "inspect", IMAGE], capture_output=True, check=False
        )
        # Not pulled: a push should not wait for half a gigabyte that nobody asked for.
        if found.returncode == 0:
            return DOCKER
    return MFX


@contextmanager
def running(
    model: Path, name: str, batching: BatchingParameters, timeout: float, kind: str = ""
) -> Iterator[Server]:
    """A server of one SavedModel; gone at the end.

    Args:
        model: The SavedModel's folder.
        name: The model's name for clients.
        batching: Sizes that requests are put together to.
        timeout: Seconds that it may take to come up.
        kind: Of MFX, TRITON, TF_SERVING, DOCKER; by default the `best`.

    Raises:
        ServerError: It did not come up.
    """
    kind = kind or best()
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        base, parameters = Path(directory, name), Path(directory, "batching_parameters.txt")
        base.mkdir()
        if kind != DOCKER:
            (base / _VERSION).symlink_to(model.resolve(), target_is_directory=True)
        parameters.write_text(batching.text(), encoding="utf-8")
        rest, grpc = free_ports(2)
        command = _command(kind, model.resolve(), base, parameters, rest, grpc)
        with Path(directory, "stderr").open("w+", encoding="utf-8", errors="replace") as errors:
            begin = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
            try:
                api = "v2" if kind == TRITON else "v1"
                url = f"http://127.0.0.1:{rest}/{api}/models/{name}"
                _wait(process, url, timeout, Path(errors.name))
                seconds = time.monotonic() - begin
                yield Server(kind, f"127.0.0.1:{rest}", f"127.0.0.1:{grpc}", seconds, process)
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of localhost that nobody listens at.

    They lie below those that clients are given: a client that asks for the port that it was given
    itself, before the server is there, is connected to itself, and keeps the server out.
    """
    found: list[int] = []
    ports = range(20_000, 32_000)
    for port in random.SystemRandom().sample(ports, len(ports)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            return found
    raise ServerError(f"no {count} free ports from {ports.start} to {ports.stop - 1}")


def _command(
    kind: str, model: Path, base: Path, parameters: Path, rest: int, grpc: int
) -> Sequence[str]:
    name = base.name
    if kind in (MFX, TRITON):
        # -I: neither the current folder nor the user's packages reach the process.
        script = Path(__file__).parents[2] / "serve" / "__main__.py"
        flags = ["--rest-port", str(rest), "--grpc-port", str(grpc), "--model-name", name]
        given = ["--batching-parameters-file", str(parameters)]
        engine = ["--engine", "triton" if kind == TRITON else "mfx"]
        return [sys.executable, "-I", str(script), str(base), *engine, *flags, *given]
    flags = [f"--model_name={name}", "--enable_batching"]
    if kind == TF_SERVING:
        ports = [f"--rest_api_port={rest}", f"--port={grpc}", "--grpc_socket_path="]
        files = [f"--model_base_path={base}", f"--batching_parameters_file={parameters}"]
        return ["tensorflow_model_server", *ports, *flags, *files]
    return [
        *("docker", "run", "--rm", "--init"),
        *("--publish", f"127.0.0.1:{rest}:8501", "--publish", f"127.0.0.1:{grpc}:8500"),
        *("--volume", f"{model}:/models/{name}/{_VERSION}:ro"),
        *("--volume", f"{parameters}:/batching_parameters.txt:ro", IMAGE),
        *(*flags, f"--model_base_path=/models/{name}"),
        "--batching_parameters_file=/batching_parameters.txt",
    ]


def _wait(process: subprocess.Popen, url: str, timeout: float, errors: Path) -> None:
    """Until the model's version is available."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [
                "no message"
            ]
            raise ServerError(f"the server ended with exit code {process.returncode}: {lines[-1]}")
        try:
            with _DIRECT.open(url, timeout=5) as answer:
                said = json.load(answer)
            if "/v2/" in url:  # Triton knows no version that is not served
                return
            status = said["model_version_status"][0]
        except (OSError, ValueError, LookupError):
            time.sleep(0.05)
            continue
        if status["state"] == "AVAILABLE":
            return
        if status["state"] == "END":
            raise ServerError(f"the server says: {status['status']['error_message']}")
        time.sleep(0.05)
    raise ServerError(f"no model was served within {timeout:g} s")


def _memory(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS"):
                return 1024 * int(line.split()[1])
    return 0


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text(encoding="utf-8").split():
                yield from _with_children(int(child))
