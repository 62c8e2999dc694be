"""Which errors of a step make Metaflow try it again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from metaflow.exception import MetaflowExceptionWrapper
from metaflow.runtime import NativeRuntime, TaskFailed

from mfx.errors import MfxError, TransientError
from mfx.flow import runtime
from mfx.storage.retries import StorageGoneError


class Store(dict):
    """A datastore with the artifacts of earlier attempts."""

    def get_task_datastore(self, run, step, task, attempt, allow_not_done):
        assert allow_not_done
        return self[run, step, task, attempt]


@pytest.fixture(autouse=True)
def nothing_else_of_a_step(monkeypatch):
    """Other work before a step is left out, since it would change the tests' process."""
    monkeypatch.setattr(runtime, "quiet", lambda: None)
    monkeypatch.setattr(runtime, "spare_the_garbage_collector", lambda: None)
    monkeypatch.setattr(runtime.liveness, "join", lambda flow, run: None)


def wrapped():
    """The wrapper around a step, made as by Metaflow."""
    made = runtime.one_message()
    made.init()
    return made


def raised(error: Exception) -> Exception:
    """The error that `one_message` makes from an error in a step."""
    step = wrapped()
    flow = SimpleNamespace(name="Pipeline")
    step.pre_step("train", flow, None)
    return step.post_step("train", flow, error)


@pytest.fixture
def retry(monkeypatch):
    """Metaflow's scheduler, whose retries are only counted."""
    tried = []
    monkeypatch.setattr(NativeRuntime, "_retry_worker", lambda self, worker: tried.append(worker))
    runtime.retry_only_transient()
    runtime.retry_only_transient()
    worker = SimpleNamespace(task=SimpleNamespace(run_id="1", step="train", task_id="5", retries=0))

    def attempt(left) -> bool:
        scheduler = SimpleNamespace(_flow_datastore=Store({("1", "train", "5", 0): left}))
        NativeRuntime._retry_worker(scheduler, worker)
        return len(tried) == 1

    return attempt


def test_a_mistake_is_not_tried_again(retry):
    with pytest.raises(TaskFailed, match="not tried again"):
        retry({"_exception": MetaflowExceptionWrapper(raised(MfxError("no label", "mend it")))})


@pytest.mark.parametrize("error", [TransientError("busy"), StorageGoneError("gone")])
def test_what_may_pass_is_tried_again(error, retry):
    assert retry({"_exception": MetaflowExceptionWrapper(raised(error))})


def test_what_is_no_mistake_is_tried_again(retry):
    assert retry({"_exception": MetaflowExceptionWrapper(OSError("no space"))})


def test_a_killed_attempt_is_tried_again(retry):
    assert retry({})


def test_an_attempt_killed_when_it_had_done_its_work_is_tried_again(retry):
    assert retry({"_exception": None})


def test_another_attempt_elsewhere_ends_at_once(monkeypatch):
    """Argo and Batch still start another attempt: it gives the first one's message at once."""
    left = {"_exception": MetaflowExceptionWrapper(raised(MfxError("no label", "mend it")))}
    store = Store({("1", "train", "5", 0): left, ("1", "train", "5", 1): {}})
    for retry_count, ends in ((1, True), (2, False)):
        before = (store, "1", "train", "5", retry_count - 1)
        monkeypatch.setattr(runtime, "_attempt_before", lambda before=before: before)
        monkeypatch.setattr(
            runtime, "current", SimpleNamespace(retry_count=retry_count, run_id="1")
        )
        step = wrapped()
        if ends:
            with pytest.raises(runtime.PipelineStopped) as caught:
                step.pre_step("train", SimpleNamespace(name="Pipeline"), None)
            assert str(caught.value) == "no label\nmend it"
        else:
            step.pre_step("train", SimpleNamespace(name="Pipeline"), None)
