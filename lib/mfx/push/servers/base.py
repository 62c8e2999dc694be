"""What a model server is to infra validation; the servers are a class each, in files of their own.

A server runs as a process of this machine, and answers over REST and gRPC.
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
"""For an answer."""

Row = Mapping[str, Any]
"""Raw features by name: numbers, str or bytes; what is None or left out is missing."""
Call = Callable[[Sequence[Row]], np.ndarray]
"""Asks for rows; gives the model's output for them, float64 [rows, …]. Raises AnswerError."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past the user's `http_proxy`, from which nothing on this machine can be reached."""


class ServerError(Exception):
    """The server did not come up, in one line."""


class AnswerError(Exception):
    """A request was not answered, in one line."""


@dataclass(frozen=True)
class Start:
    """What a server is started with.

    Attributes:
        model: The SavedModel's folder, absolute.
        name: The model's name for clients.
        base: A folder whose only version, VERSION, is a link to the model.
        parameters: TensorFlow Serving's file of batching parameters.
        rest: Port of localhost for the REST API.
        grpc: Port of localhost for the gRPC API.
    """

    model: Path
    name: str
    base: Path
    parameters: Path
    rest: int
    grpc: int


VERSION = "1"
"""The version that the model is served as."""


class ModelServer(Protocol):
    """A kind of server.

    Attributes:
        title: What results call it.
    """

    title: str

    def missing(self) -> str:
        """Why it cannot run on this machine; empty if it can."""

    def command(self, start: Start) -> Sequence[str]:
        """The command that serves a model until it is sent SIGTERM."""

    def ready(self, rest: str, name: str) -> bool:
        """Whether the model answers, asked over and over from the start on.

        Args:
            rest: `host:port` of its REST API.
            name: The model's.

        Raises:
            ServerError: It says that it cannot serve the model.
            OSError, ValueError, LookupError: It does not answer yet, or not as it should.
        """

    def clients(self, rest: str, grpc: str, name: str) -> Iterator[tuple[str, Call]]:
        """Each way to ask for rows: its name, and the function that asks.

        Args:
            rest: `host:port` of its REST API.
            grpc: `host:port` of its gRPC API.
            name: The model's.

        Raises:
            AnswerError: The server does not say what the model takes.
        """

    def memory(self, process: subprocess.Popen) -> int | None:
        """Bytes of memory that it holds; None where the system does not tell."""


def get_json(url: str) -> Any:
    """The JSON at a URL of this machine.

    Raises:
        OSError, ValueError: There is no answer, or none with status 200, or it is no JSON.
    """
    with _DIRECT.open(url, timeout=5) as answer:
        return json.load(answer)


def resident_memory(process: subprocess.Popen) -> int | None:
    """Bytes of memory of a process and those that it started; None where the system does not
    tell."""
    if not Path(f"/proc/{process.pid}/status").is_file():
        return None
    return sum(_resident(pid) for pid in with_children(process.pid)) or None


def with_children(pid: int) -> Iterator[int]:
    """The process, and all that it started."""
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
