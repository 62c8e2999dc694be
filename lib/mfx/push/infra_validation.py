"""Serve the candidate for real and compare its answers with evaluate's (TFX: InfraValidator)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mfx.artifacts import Latency, Replay
from mfx.config import Push
from mfx.push import servers
from mfx.push.servers import process
from mfx.push.servers.base import TIMEOUT_SECONDS, AnswerError, Call, Row, ServerError
from mfx.serve.parameters import BatchingParameters

_LEAST_CALLS = 30
"""The fewest calls per batch size, so that a 99th percentile has a meaning."""


def validate(
    folder: Path,
    name: str,
    rows: Sequence[Row],
    expected: np.ndarray,
    push: Push,
    kind: str = "",
) -> Replay:
    """Serve a SavedModel in a new process, ask it to predict rows, and compare the answers.

    It is asked over REST and gRPC, with the signature `serving_default` and, if the model has it,
    `predict`, in batches of each size in `[push] batch_sizes`.

    Args:
        folder: The SavedModel.
        name: The model's name.
        rows: Raw features; missing ones are None.
        expected: The answers that evaluate got for these rows, float of shape [rows, outputs].
        push: The config's table `[push]`, with batch sizes and tolerance.
        kind: The server, a name in `servers.SERVERS`; by default the best one on this machine.

    Returns:
        The largest difference, start time, memory and latencies; or why the server failed.

    Raises:
        MfxError: There is no server of this kind.
    """
    sizes = push.batch_sizes
    parameters = BatchingParameters(max_batch_size=sizes[-1], allowed_batch_sizes=tuple(sizes))
    server = servers.find(kind)
    measured = Measured(expected)
    try:
        with process.running(server, folder, name, parameters, TIMEOUT_SECONDS) as running:
            for api, call in running.clients():
                for size in sizes:
                    measured.ask(api, call, rows, size)
            memory = running.memory()
    except (ServerError, AnswerError) as error:
        return Replay(len(rows), None, None, str(error), server.title)
    wrong = ""
    if not measured.difference <= push.tolerance:
        wrong = (
            f"predictions served over {measured.where} differ from those evaluated by up to "
            f"{measured.difference:.2g}, more than {push.tolerance:g}"
        )
    return Replay(
        len(rows),
        measured.difference,
        running.start_seconds,
        wrong,
        server.title,
        None if memory is None else memory / 2**20,
        measured.latencies,
    )


class Measured:
    """Measures a server's answers: the largest difference, and how long answers take.

    Args:
        expected: The predictions that the answers are compared with, of shape [rows, outputs].
    """

    def __init__(self, expected: np.ndarray) -> None:
        self.expected = expected
        self.difference, self.where = 0.0, ""
        self.latencies: list[Latency] = []

    def ask(self, api: str, call: Call, rows: Sequence[Row], size: int) -> None:
        """Ask for all rows, `size` at a time, until there are enough calls.

        Raises:
            AnswerError: A request was not answered, or with another number of outputs.
        """
        call([rows[0]] * size)  # Not measured: the first call of a size may compile the model.
        seconds: list[float] = []
        while len(seconds) < _LEAST_CALLS:
            for begin in range(0, len(rows), size):
                chosen = [(begin + i) % len(rows) for i in range(size)]
                start = time.perf_counter()
                answer = call([rows[i] for i in chosen])
                seconds.append(time.perf_counter() - start)
                self._compare(answer, self.expected[chosen], f"{api}, {size} at a time")
        p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
        self.latencies.append(Latency(api, size, len(seconds), float(p50), float(p99)))

    def _compare(self, answer: np.ndarray, expected: np.ndarray, where: str) -> None:
        if answer.size != expected.size:
            raise AnswerError(f"{where}: {answer.size} numbers for {len(expected)} rows")
        difference = float(np.abs(answer.reshape(expected.shape) - expected).max())
        # NaN counts as the largest difference.
        if not difference <= self.difference:
            self.difference, self.where = difference, where
