"""The interface of a model server for infra validation. Each server is a class in its own file.

A server runs as a process on this machine and answers over REST and gRPC.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TIMEOUT_SECONDS = 600
"""How long to wait for an answer."""

Row = Mapping[str, Any]
"""Raw features by name: numbers, str or bytes. Features that are None or left out are missing."""
Call = Callable[[Sequence[Row]], np.ndarray]
"""Asks the server to predict rows; gives float64 of shape [rows, …]. Raises AnswerError."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs without the user's `http_proxy`, which cannot reach this machine."""


class ServerError(Exception):
    """The server did not start. The message is one line."""


class AnswerError(Exception):
    """A request was not answered. The message is one line."""


@dataclass(frozen=True)
class Start:
    """All that is needed to start a server.

    Attributes:
        model: The SavedModel's folder, as an absolute path.
        name: The model's name for clients.
        base: A folder with one version of the model: VERSION, a link to `model`.
        parameters: A file with batching parameters, in TensorFlow Serving's format.
        rest: The port on localhost for the REST API.
        grpc: The port on localhost for the gRPC API.
    """

    model: Path
    name: str
    base: Path
    parameters: Path
    rest: int
    grpc: int


VERSION = "1"
"""The version number under which the model is served."""


class ModelServer(Protocol):
    """A kind of server.

    Attributes:
        title: The server's name in results.
    """

    title: str

    def missing(self) -> str:
        """Why the server cannot run on this machine; empty if it can."""

    def command(self, start: Start) -> Sequence[str]:
        """The command that serves a model until it is sent SIGTERM."""

    def ready(self, rest: str, name: str) -> bool:
        """Whether the model can be asked. This is called again and again after the start.

        Args:
            rest: `host:port` of its REST API.
            name: The model's name.

        Raises:
            ServerError: The server says that it cannot serve the model.
            OSError, ValueError, LookupError: It does not answer yet, or not as expected.
        """

    def clients(self, rest: str, grpc: str, name: str) -> Iterator[tuple[str, Call]]:
        """Yield each way to ask for predictions: its name, and the function that asks.

        Args:
            rest: `host:port` of its REST API.
            grpc: `host:port` of its gRPC API.
            name: The model's name.

        Raises:
            AnswerError: The server does not tell the model's inputs.
        """

    def memory(self, process: subprocess.Popen) -> int | None:
        """The server's memory in bytes; None if it is not known on this system."""


def get_json(url: str) -> Any:
    """Get JSON from a URL on this machine.

    Raises:
        OSError: There is no answer, or it has an error status.
        ValueError: The answer is not JSON.
    """
    with _DIRECT.open(url, timeout=5) as answer:
        return json.load(answer)


def resident_memory(process: subprocess.Popen) -> int | None:
    """Memory in bytes of a process and all processes that it started.

    None if it is not known on this system: it is read from `/proc`.
    """
    if not Path(f"/proc/{process.pid}/status").is_file():
        return None
    return sum(_resident(pid) for pid in with_children(process.pid)) or None


def with_children(pid: int) -> Iterator[int]:
    """Yield the ids of a process and of all processes that it started."""
    yield pid
    with suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text(encoding="utf-8").split():
                yield from with_children(int(child))


def _resident(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS"):
                return 1024 * int(line.split()[1])
    return 0
