"""Requests run together; each gets the right rows, whatever their sizes. Limits are kept."""

from __future__ import annotations

import os
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.serve.batching import NICE, Batcher, Task, Waiting
from mfx.serve.errors import RequestError
from mfx.serve.parameters import BatchingParameters


class Doubler:
    """Doubles its input; remembers the sizes it ran with."""

    def __init__(self):
        self.sizes = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, x):
        self.free.wait()
        self.sizes.append(len(x))
        if (x == -1).any():
            raise RequestError("INVALID_ARGUMENT", "minus one")
        return {"y": 2 * x}


@pytest.fixture
def doubler():
    return Doubler()


def batcher_of(run, **parameters):
    return Batcher(run, {"x": np.float32}, BatchingParameters(**parameters))


def submit(batcher, values):
    waiting = Waiting()
    task = Task({"x": values}, len(values), waiting)
    batcher.submit(task)
    return lambda: waiting.outputs(task, timeout=30)["y"].tolist()


def held(batcher, doubler, requests):
    """Submit requests while a first one runs, so that the others wait together."""
    doubler.free.clear()
    first = submit(batcher, [0.0])
    while batcher._queue:
        time.sleep(0.001)
    answers = [submit(batcher, values) for values in requests]
    doubler.free.set()
    first()
    return answers


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=30), min_size=1, max_size=20),
    st.integers(1, 40),
    st.booleans(),
)
def test_every_request_gets_its_own_rows(requests, size, arrays):
    doubler = Doubler()
    batcher = batcher_of(doubler, max_batch_size=size, max_enqueued_batches=10**6)
    given = [np.array(values, np.float32) if arrays else values for values in requests]
    answers = held(batcher, doubler, given)
    assert [answer() for answer in answers] == [[2.0 * v for v in values] for values in requests]
    assert max(doubler.sizes) <= size
    assert sum(doubler.sizes) == 1 + sum(map(len, requests))
    batcher.close()


def test_what_waits_runs_together(doubler):
    batcher = batcher_of(doubler)
    answers = held(batcher, doubler, [[1.0], [2.0], [3.0, 4.0]])
    assert [answer() for answer in answers] == [[2.0], [4.0], [6.0, 8.0]]
    assert doubler.sizes == [1, 4]


def test_a_small_request_overtakes_the_rest_of_a_large_one(doubler):
    batcher = batcher_of(doubler, max_batch_size=4)
    answers = held(batcher, doubler, [[1.0] * 10, [2.0]])
    assert [answer() for answer in answers] == [[2.0] * 10, [4.0]]
    assert doubler.sizes == [1, 4, 1, 4, 2]


def test_batches_are_filled_up_to_an_allowed_size(doubler):
    batcher = batcher_of(doubler, max_batch_size=8, allowed_batch_sizes=(2, 8))
    answers = held(batcher, doubler, [[1.0], [2.0], [3.0]])
    assert [answer() for answer in answers] == [[2.0], [4.0], [6.0]]
    assert doubler.sizes == [2, 8]


def test_a_bad_request_spoils_nobody_elses(doubler):
    batcher = batcher_of(doubler)
    good, bad, other = held(batcher, doubler, [[1.0], [-1.0], [3.0]])
    assert good() == [2.0]
    assert other() == [6.0]
    with pytest.raises(RequestError, match="minus one"):
        bad()


def test_a_full_queue_refuses_and_takes_again(doubler):
    batcher = batcher_of(doubler, max_batch_size=2, max_enqueued_batches=2)
    doubler.free.clear()
    running = submit(batcher, [0.0])
    while batcher._queue:
        time.sleep(0.001)
    waiting = [submit(batcher, [1.0, 2.0]) for _ in range(2)]
    with pytest.raises(RequestError, match="queue") as refused:
        submit(batcher, [3.0])
    assert (refused.value.code, refused.value.http_status) == ("UNAVAILABLE", 503)
    doubler.free.set()
    running()
    assert [answer() for answer in waiting] == [[2.0, 4.0]] * 2
    assert submit(batcher, [3.0])() == [6.0]


def test_a_large_request_leaves_room_for_others(doubler):
    batcher = batcher_of(doubler, max_batch_size=2, max_enqueued_batches=2)
    answers = held(batcher, doubler, [[1.0] * 1000, [2.0]])
    assert [answer() for answer in answers] == [[2.0] * 1000, [4.0]]
    with pytest.raises(RequestError):
        held(batcher, doubler, [[1.0] * 1000] * 3)
    doubler.free.set()


def test_a_request_nobody_waits_for_is_not_run(doubler):
    batcher = batcher_of(doubler)
    doubler.free.clear()
    running = submit(batcher, [0.0])
    while batcher._queue:
        time.sleep(0.001)
    waiting = Waiting()
    task = Task({"x": [5.0] * 7}, 7, waiting)
    batcher.submit(task)
    with pytest.raises(RequestError) as late:
        waiting.outputs(task, timeout=0.01)
    assert late.value.code == "DEADLINE_EXCEEDED"
    doubler.free.set()
    running()
    assert submit(batcher, [1.0])() == [2.0]
    assert 7 not in doubler.sizes and 8 not in doubler.sizes


def test_close_answers_what_was_submitted(doubler):
    batcher = batcher_of(doubler)
    answers = held(batcher, doubler, [[1.0], [2.0]])
    batcher.close()
    assert [answer() for answer in answers] == [[2.0], [4.0]]
    with pytest.raises(RequestError) as closed:
        submit(batcher, [1.0])
    assert closed.value.code == "UNAVAILABLE"


def test_what_cannot_be_batched_runs_one_by_one():
    shapes = []

    def run(x):
        shapes.append(x.shape)
        return {"y": np.float32(x.sum())}

    batcher = Batcher(run, {"x": np.float32}, BatchingParameters(max_batch_size=1), together=False)
    waiting = Waiting()
    task = Task({"x": np.ones((2, 3))}, 1, waiting)
    batcher.submit(task)
    assert waiting.outputs(task, 30)["y"] == 6.0
    assert shapes == [(2, 3)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority on Linux only")
def test_batches_run_at_a_lower_priority_than_the_rest():
    found = []

    def run(x):
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return {"y": x}

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    submit(batcher_of(run), [1.0])()
    assert found == [min(19, own + NICE)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


def test_lists_of_different_widths_run_together():
    """Shorter ones are filled up with what the signature takes for nothing."""
    fed = []

    def run(values, words):
        fed.append((values.tolist(), words.tolist()))
        return {"sum": np.nansum(values, axis=1)}

    dtypes = {"values": np.float32, "words": object}
    batcher = Batcher(run, dtypes, BatchingParameters(), fillings={"values": np.nan, "words": ""})
    sink = Waiting()
    tasks = [
        Task({"values": [[1.0, 2.0]], "words": [[b"a"]]}, 1, sink),
        Task({"values": np.array([[4.0], [8.0]]), "words": [[b"b", b"c"], [b"d", b"e"]]}, 2, sink),
    ]
    outcome = batcher._outcome([(task, task.rows) for task in tasks])
    assert [task.outputs["sum"].tolist() for task, _ in outcome] == [[3.0], [4.0, 8.0]]
    ((values, words),) = fed
    np.testing.assert_equal(values, [[1.0, 2.0], [4.0, np.nan], [8.0, np.nan]])
    assert words == [[b"a", b""], [b"b", b"c"], [b"d", b"e"]]
