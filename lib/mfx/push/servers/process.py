"""Run a model server for one candidate: a separate process on localhost."""

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
    """A server that is ready for requests.

    Attributes:
        server: The kind of server.
        name: The model's name.
        rest: `host:port` of the REST API.
        grpc: `host:port` of the gRPC API.
        start_seconds: Seconds from the start of the process until the model was available.
        process: The server's process, or Docker's client.
    """

    server: ModelServer
    name: str
    rest: str
    grpc: str
    start_seconds: float
    process: subprocess.Popen

    def clients(self) -> Iterator[tuple[str, Call]]:
        """Yield each way to ask the server; see `ModelServer`."""
        return self.server.clients(self.rest, self.grpc, self.name)

    def memory(self) -> int | None:
        """The server's memory in bytes; see `ModelServer`."""
        return self.server.memory(self.process)


@contextmanager
def running(
    server: ModelServer, model: Path, name: str, batching: BatchingParameters, timeout: float
) -> Iterator[RunningServer]:
    """Run a server for one SavedModel. It is stopped at the end of the context.

    Args:
        server: The kind of server.
        model: The SavedModel's folder.
        name: The model's name for clients.
        batching: The batch sizes that the server makes of requests.
        timeout: Seconds that the start may take.

    Raises:
        ServerError: The server did not start.
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
    """Find free ports on localhost.

    They are below the range from which the system gives ports to clients. Otherwise a client that
    connects before the server listens could get this very port: it would then be connected to
    itself and block the server.
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
    """Wait until the model is available.

    Raises:
        ServerError: The server ended, or took too long.
    """
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
    raise ServerError(f"the model was not ready within {timeout:g} s")
