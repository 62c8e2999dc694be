"""Connect an event loop, whose coroutines wait for outputs, with the threads that run batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfx.serve.batching import Task
from mfx.serve.errors import RequestError
from mfx.serve.model import ServedModel


@dataclass(eq=False, kw_only=True)
class _Awaited(Task):
    """A task that a coroutine waits for."""

    answered_event: asyncio.Future[None]


class Awaiting:
    """Runs the rows of an event loop's requests. It is created and used in that loop.

    Requests that are ready at the same time are submitted together, so that they make one batch;
    otherwise a thread would start a batch with the first of them alone. And a batch wakes the loop
    only once for all its requests.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unsent: list[tuple[ServedModel, str, _Awaited]] = []

    async def outputs(
        self, model: ServedModel, signature: str, inputs: Mapping[str, Any], rows: int
    ) -> dict[str, np.ndarray]:
        """Wait for a signature's outputs. If the coroutine is cancelled, the rows may not be run.

        Args:
            model: The version. It must stay in use until the outputs are there.
            signature: The signature's name.
            inputs: For each input a list or array whose first dimension is the rows.
            rows: The number of rows.

        Raises:
            RequestError: UNAVAILABLE, the queue is full.
            Exception: Whatever the model failed with.
        """
        task = _Awaited(inputs, rows, self, answered_event=self._loop.create_future())
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append((model, signature, task))
        try:
            await task.answered_event
        except asyncio.CancelledError:
            task.given_up = True
            raise
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        for model, signature, task in unsent:
            try:
                model.submit(signature, task)
            except RequestError as error:
                task.error = error
                _wake([task])

    def done(self, tasks: Sequence[Task]) -> None:
        """Called from a batching thread."""
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            self._loop.call_soon_threadsafe(_wake, tasks)


def _wake(tasks: Sequence[Any]) -> None:
    for task in tasks:
        if not task.answered_event.done():
            task.answered_event.set_result(None)
