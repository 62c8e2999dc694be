"""A model server on localhost, in a process of its own, for one candidate."""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mfx.push.servers.base import VERSION, Call, ModelServer, ServerError, Start
from mfx.serve.parameters import BatchingParameters


@dataclass(frozen=True)
class RunningServer:
    """A server that answers.

    Attributes:
        server: Its kind.
        name: The model's name.
        rest: `host:port` of the REST API.
        grpc: `host:port` of the gRPC API.
        start_seconds: From the start of its process until the model was available.
        process: Its process, or Docker's client.
    """

    server: ModelServer
    name: str
    rest: str
    grpc: str
    start_seconds: float
    process: subprocess.Popen

    def clients(self) -> Iterator[tuple[str, Call]]:
        """Each way to ask it; see `ModelServer`."""
        return self.server.clients(self.rest, self.grpc, self.name)

    def memory(self) -> int | None:
        """Bytes of memory that it holds; see `ModelServer`."""
        return self.server.memory(self.process)


@contextmanager
def running(
    server: ModelServer, model: Path, name: str, batching: BatchingParameters, timeout: float
) -> Iterator[RunningServer]:
    """A server of one SavedModel; gone at the end.

    Args:
        server: Its kind.
        model: The SavedModel's folder.
        name: The model's name for clients.
        batching: Sizes that requests are put together to.
        timeout: Seconds that it may take to come up.

    Raises:
        ServerError: It did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        base, parameters = Path(directory, name), Path(directory, "batching_parameters.txt")
        base.mkdir()
        (base / VERSION).symlink_to(model.resolve(), target_is_directory=True)
        parameters.write_text(batching.text(), encoding="utf-8")
        rest, grpc = free_ports(2)
        command = server.command(Start(model.resolve(), name, base, parameters, rest, grpc))
        with Path(directory, "stderr").open("w+", encoding="utf-8", errors="replace") as errors:
            begin = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
            at_rest, at_grpc = f"127.0.0.1:{rest}", f"127.0.0.1:{grpc}"
            try:
                _wait(server, process, at_rest, name, timeout, Path(errors.name))
                seconds = time.monotonic() - begin
                yield RunningServer(server, name, at_rest, at_grpc, seconds, process)
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


def _wait(
    server: ModelServer,
    process: subprocess.Popen,
    rest: str,
    name: str,
    timeout: float,
    errors: Path,
) -> None:
    """Until the model is available."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [
                "no message"
            ]
            raise ServerError(f"the server ended with exit code {process.returncode}: {lines[-1]}")
        with suppress(OSError, ValueError, LookupError):
            if server.ready(rest, name):
                return
        time.sleep(0.05)
    raise ServerError(f"no model was served within {timeout:g} s")
