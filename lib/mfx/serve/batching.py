"""Run requests together in batches. A batch has all requests that wait when a thread is free.

No request waits for others to come. Under load, batches grow by themselves, since more requests
arrive while a batch runs.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mfx.serve.errors import RequestError
from mfx.serve.parameters import BatchingParameters

Run = Callable[..., dict[str, np.ndarray]]
"""Takes the inputs sorted by name; gives the outputs by name."""

NICE = 5
"""The niceness of batching threads on Linux. If cores are busy, the code that reads requests goes
first. Otherwise a batch starts with the first request, and others that arrived with it miss it."""


class Sink(Protocol):
    """Is told when tasks are done."""

    def done(self, tasks: Sequence[Task]) -> None:
        """Called from a batching thread with tasks that have their `outputs` or `error`."""


@dataclass(eq=False)
class Task:
    """The rows of one request, and their outputs.

    Attributes:
        inputs: For each input of the signature a list or array whose first dimension is the rows.
        rows: The number of rows.
        sink: Is told when the task is done.
        outputs: Arrays by name; the first dimension is the rows.
        error: Why there are no outputs.
        given_up: Set by the owner when nobody waits any more; then the rows are not run.
        answered: How many rows have outputs so far.
        parts: The outputs so far.
    """

    inputs: Mapping[str, Any]
    rows: int
    sink: Sink
    outputs: dict[str, np.ndarray] | None = None
    error: Exception | None = None
    given_up: bool = False
    answered: int = 0
    parts: list[dict[str, np.ndarray]] = field(default_factory=list)

    def add(self, part: dict[str, np.ndarray], rows: int) -> bool:
        """Add the outputs of the next rows; return whether the task is done."""
        self.parts.append(part)
        self.answered += rows
        if self.answered < self.rows:
            return False
        self.outputs = (
            part
            if len(self.parts) == 1
            else {name: np.concatenate([p[name] for p in self.parts]) for name in part}
        )
        return True


class Waiting:
    """A sink for one thread that waits for one task."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def done(self, tasks: Sequence[Task]) -> None:
        """Wake the thread."""
        self._event.set()

    def outputs(self, task: Task, timeout: float | None = None) -> dict[str, np.ndarray]:
        """Wait for the task's outputs.

        Raises:
            RequestError: The task's error, or DEADLINE_EXCEEDED after `timeout` seconds.
        """
        if not self._event.wait(timeout):
            task.given_up = True
            raise RequestError("DEADLINE_EXCEEDED", f"no answer within {timeout} s")
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs


class Batcher:
    """Runs the tasks of one signature, many at a time.

    Args:
        run: Runs the signature.
        dtypes: NumPy's dtype of each input.
        parameters: Sizes and limits.
        name: Part of the names of its threads.
        together: Whether a batch may have rows of several tasks, or only some rows of a task.
        fillings: For inputs whose rows are lists of any length, the value that shorter lists are
            filled up with in a batch.
    """

    def __init__(
        self,
        run: Run,
        dtypes: Mapping[str, Any],
        parameters: BatchingParameters,
        name: str = "",
        together: bool = True,
        fillings: Mapping[str, Any] | None = None,
    ) -> None:
        self._fillings = dict(fillings or {})
        self._run_signature, self._dtypes = run, dict(sorted(dtypes.items()))
        self._parameters, self._name, self._together = parameters, name, together
        self._limit = parameters.max_enqueued_batches * parameters.max_batch_size
        self._queue: deque[Task] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def submit(self, task: Task) -> None:
        """Queue a task with at least one row. Its sink is told when it is done.

        Raises:
            RequestError: UNAVAILABLE, the queue is full or closed.
        """
        with self._changed:
            if self._closed:
                raise RequestError("UNAVAILABLE", "this version is no longer served")
            if self._rows + self._weight(task) > self._limit:
                raise RequestError(
                    "UNAVAILABLE",
                    "The batch scheduling queue to which this request was submitted is full",
                )
            if not self._threads:
                self._start()
            self._queue.append(task)
            self._rows += self._weight(task)
            self._changed.notify()

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run inputs alone, in this thread, and return the outputs."""
        return self._run_signature(
            *(np.asarray(inputs[name], dtype) for name, dtype in self._dtypes.items())
        )

    def close(self) -> None:
        """Answer the queued tasks, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        for number in range(self._parameters.num_batch_threads):
            name = f"batch-{self._name}-{number}"
            self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._threads[-1].start()

    def _serve(self) -> None:
        if sys.platform == "linux":  # On other systems this would change the whole process.
            os.nice(NICE)
        while True:
            with self._changed:
                while not self._queue:
                    if self._closed:
                        return
                    self._changed.wait()
                batch = self._take()
            if batch:
                self._answer(batch)

    def _weight(self, task: Task) -> int:
        """The rows for which a task counts in the queue: one batch at most, as tasks take turns."""
        return min(task.rows, self._parameters.max_batch_size)

    def _take(self) -> list[tuple[Task, int]]:
        """The next batch: tasks, each with the number of rows to run.

        These are several whole tasks, or a part of one that is larger than a batch.
        """
        batch: list[tuple[Task, int]] = []
        room = self._parameters.max_batch_size
        while self._queue:
            task = self._queue[0]
            left = task.rows - task.answered
            if batch and (left > room or not self._together):
                break
            self._queue.popleft()
            self._rows -= self._weight(task)
            if task.given_up:
                continue
            size = min(left, room) if self._together else left
            batch.append((task, size))
            room -= size
        if batch and self._parameters.observed is not None:
            self._parameters.observed(sum(size for _, size in batch))
        return batch

    def _answer(self, batch: list[tuple[Task, int]]) -> None:
        done: list[Task] = []
        unfinished: list[Task] = []
        for task, finished in self._outcome(batch):
            (done if finished else unfinished).append(task)
        if unfinished:
            with self._changed:
                self._queue.extend(unfinished)
                self._rows += sum(map(self._weight, unfinished))
                self._changed.notify()
        by_sink: dict[int, list[Task]] = {}
        for task in done:
            by_sink.setdefault(id(task.sink), []).append(task)
        for tasks in by_sink.values():
            tasks[0].sink.done(tasks)

    def _outcome(self, batch: list[tuple[Task, int]]) -> list[tuple[Task, bool]]:
        """Run a batch: its tasks, and whether each is done."""
        try:
            outputs = self._run_batch(batch)
        except Exception as error:
            if len(batch) > 1:
                # A single request may have made the batch fail, so each is run alone.
                return [found for part in batch for found in self._outcome([part])]
            batch[0][0].error = error
            return [(batch[0][0], True)]
        if not self._together:
            return [(batch[0][0], batch[0][0].add(outputs, batch[0][1]))]
        found, at = [], 0
        for task, size in batch:
            part = {name: array[at : at + size] for name, array in outputs.items()}
            found.append((task, task.add(part, size)))
            at += size
        return found

    def _run_batch(self, batch: list[tuple[Task, int]]) -> dict[str, np.ndarray]:
        if not self._together:
            return self.run(batch[0][0].inputs)
        rows = sum(size for _, size in batch)
        padding = self._parameters.padded(rows) - rows
        feeds = []
        for name, dtype in self._dtypes.items():
            pieces = [
                task.inputs[name]
                if size == task.rows
                else task.inputs[name][task.answered : task.answered + size]
                for task, size in batch
            ]
            if name in self._fillings:
                pieces = same_width(pieces, dtype, self._fillings[name])
            feeds.append(merged(pieces, dtype, padding))
        return self._run_signature(*feeds)


def same_width(pieces: Sequence[Any], dtype: Any, filling: Any) -> list[np.ndarray]:
    """Arrays of shape [rows, width] with one width: the smaller ones are filled up at the end."""
    arrays = [np.asarray(piece, dtype) for piece in pieces]
    filling = filling.encode() if isinstance(filling, str) else filling
    width = max(array.shape[1] for array in arrays)
    return [
        np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=filling)
        if array.shape[1] < width
        else array
        for array in arrays
    ]


def merged(pieces: Sequence[Any], dtype: Any, padding: int) -> np.ndarray:
    """Join lists and arrays of rows into one array; the last row is repeated as padding."""
    if len(pieces) == 1:
        merged = np.asarray(pieces[0], dtype)
    elif all(type(piece) is list for piece in pieces):
        merged = np.array(list(itertools.chain.from_iterable(pieces)), dtype)
    else:
        merged = np.concatenate([np.asarray(piece, dtype) for piece in pieces])
    if padding:
        merged = np.concatenate([merged, np.repeat(merged[-1:], padding, axis=0)])
    return merged
