"""The checkpoint from which a task continues. Plain objects stand in for Metaflow's client."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mfx.flow import checkpoints
from mfx.flow.checkpoints import StepCheckpoint


class Task(SimpleNamespace):
    """A task of step `train`, with the checkpoints of each of its attempts."""

    def __init__(self, *attempts: list[dict], origin: str | None = None) -> None:
        # As Metaflow writes it, even the text "None".
        metadata = {"origin-run-id": str(origin), "ds-root": "s3://store"}
        super().__init__(
            attempts=attempts, current_attempt=len(attempts) - 1, metadata_dict=metadata
        )


class World:
    """Runs by id, and what was done with the checkpoint of the present task."""

    def __init__(self, monkeypatch, origin: str | None, is_loaded: bool = False) -> None:
        self.runs: dict[str, dict] = {}
        self.loaded: list[str] = []
        self.saved: list[str] = []
        self.current = SimpleNamespace(
            flow_name="Pipeline", step_name="train", origin_run_id=origin, checkpoint=self
        )
        self.directory, self.is_loaded = "here", is_loaded
        monkeypatch.setattr(checkpoints, "current", self.current)
        monkeypatch.setattr(checkpoints, "namespace", lambda name: None)
        monkeypatch.setattr(checkpoints, "Run", lambda path: self.runs[path])

    def run(self, number: str, *tasks: Task, origin: str | None = None) -> None:
        """Add a run, resumed from `origin`."""
        steps = {"start": [Task([], origin=origin)], "_parameters": [Task([])]}
        if tasks:
            steps["train"] = list(tasks)
        self.runs[f"Pipeline/{number}"] = {
            name: SimpleNamespace(tasks=lambda found=found: found) for name, found in steps.items()
        }

    def list(self, name: str, task: Task, attempt: int) -> list[dict]:
        if "ds-root" not in task.metadata_dict:
            raise RuntimeError("as `metaflow-checkpoint` does")
        return [found for found in task.attempts[attempt] if found["name"] == name]

    def load(self, found: dict, path: str) -> None:
        assert path == "here"
        self.loaded.append(found["key"])

    def save(self, name: str) -> None:
        self.saved.append(name)


def made(key: str, created_on: str, name: str = "candidate-0") -> dict:
    return {"key": key, "created_on": created_on, "name": name}


@pytest.fixture
def world(monkeypatch):
    return lambda origin=None, **options: World(monkeypatch, origin, **options)


def test_a_fresh_run_has_nothing_to_go_on_from(world):
    now = world()
    found = StepCheckpoint("candidate-0")
    assert (found.is_loaded, found.directory, now.loaded) == (False, "here", [])


def test_what_metaflow_loaded_is_taken_as_it_is(world):
    now = world("1", is_loaded=True)
    assert StepCheckpoint("candidate-0").is_loaded
    assert now.loaded == [], "an attempt of this task is newer than any run before"


def test_the_newest_of_all_attempts_and_tasks_of_the_name_is_loaded(world):
    now = world("1")
    other = made("other", "2026-01-09", name="candidate-1")
    now.run(
        "1",
        Task([made("a", "2026-01-01"), made("b", "2026-01-04")], [made("c", "2026-01-03")]),
        Task([made("d", "2026-01-02"), other]),
    )
    assert StepCheckpoint("candidate-0").is_loaded
    assert now.loaded == ["b"]


def test_the_last_attempt_counts_too(world):
    now = world("1")
    now.run("1", Task([made("a", "2026-01-01")], [], [made("z", "2026-01-05")]))
    StepCheckpoint("candidate-0")
    assert now.loaded == ["z"]


def test_a_run_without_any_is_passed_over_for_the_one_it_was_resumed_from(world):
    now = world("3")
    now.run("3", origin="2")  # never got to train
    now.run("2", Task([made("x", "2026-01-01", name="candidate-9")]), origin="1")
    now.run("1", Task([made("a", "2026-01-01")]))
    assert StepCheckpoint("candidate-0").is_loaded
    assert now.loaded == ["a"]


def test_a_task_killed_before_it_began_has_nothing(world):
    this = world(origin="2")
    killed = Task([])
    del killed.metadata_dict["ds-root"]
    this.run("2", killed, origin="1")
    this.run("1", Task([made("old", "2026-01-01")]))
    assert StepCheckpoint("candidate-0").is_loaded and this.loaded == ["old"]


def test_the_nearest_run_wins_over_an_older_one(world):
    now = world("2")
    now.run("2", Task([made("near", "2026-01-01")]), origin="1")
    now.run("1", Task([made("far", "2026-01-09")]))
    StepCheckpoint("candidate-0")
    assert now.loaded == ["near"]


def test_the_search_ends_also_where_runs_point_at_each_other(world):
    now = world("1")
    now.run("1", origin="2")
    now.run("2", origin="1")
    assert not StepCheckpoint("candidate-0").is_loaded
    assert now.loaded == []


def test_states_are_saved_under_the_name(world):
    now = world()
    StepCheckpoint("candidate-3").save()
    assert now.saved == ["candidate-3"]


def test_without_the_decorator_nothing_is_kept(world, tmp_path):
    now = world("1")
    now.run("1", Task([made("a", "2026-01-01")]))
    del now.current.checkpoint
    kept = StepCheckpoint("candidate-0")
    Path(kept.directory, "state").write_text("of this process alone")
    kept.save()
    assert (kept.is_loaded, now.loaded, now.saved) == (False, [], [])
