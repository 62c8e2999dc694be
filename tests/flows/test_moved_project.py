"""A project that was moved or copied gives the same answers, and changes no other project."""

from __future__ import annotations

import shutil
from pathlib import Path

import metaflow
import pytest

from mfx import cli, environment, registry
from mfx.errors import MfxError
from mfx.registry import promotion, runs
from mfx.registry.comparison import compare_metrics


def go_to(project: Path, monkeypatch) -> None:
    """Set the environment as a shell does that starts a command in `project`."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(environment, "_project", None)
    monkeypatch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(project))
    metaflow.metadata(f"local@{project}")


@pytest.fixture
def moved(all_small_runs, small_runs, tmp_path, monkeypatch):
    """The small runs' project at another place, its first place gone for the test; run ids.

    Its runs keep absolute paths, as those of older versions do.
    """
    first = all_small_runs[0].store
    away, here = first.with_name("away"), tmp_path / "here"
    shutil.copytree(first, here)
    first.rename(away)
    go_to(here, monkeypatch)
    yield here, small_runs
    away.rename(first)


def served(project: Path) -> list[str]:
    return sorted(p.name for p in (project / "pipeline" / "pushed" / "small").glob("[0-9]*"))


def test_commands_give_the_same_answers(moved, capsys):
    here, ids = moved
    entry = registry.promote(ids["one"])
    assert served(here) == [str(entry.version)]
    assert registry.production().run == ids["one"]
    promotion.verify(registry.find_place().open())
    listed = {run.run: run for run in (runs.summary(r, {}) for r in runs.newest())}
    assert listed[ids["one"]].production and not listed[ids["two"]].production
    assert all(run.unreadable == "" for run in listed.values())
    found = [registry.run(ids[name]) for name in ("one", "two")]
    assert len(compare_metrics(found).rows) > 1
    assert "small_flow.py" not in found[0].code.files() and "model.py" in found[0].code.files()
    assert cli.main(["show", "production"]) == 0
    assert str(here / "pipeline" / "pushed" / "small") not in capsys.readouterr().err


def test_a_change_in_a_copy_changes_the_copy_and_says_so(moved, tmp_path, monkeypatch, capsys):
    here, ids = moved
    for name in ("one", "two"):
        registry.promote(ids[name])
    copy = tmp_path / "copy"
    shutil.copytree(here, copy)
    before = served(here)
    go_to(copy, monkeypatch)
    assert cli.main(["rollback"]) == 0
    said = capsys.readouterr().out
    assert f"at        {copy}/pipeline/pushed/small" in said
    assert served(here) == before
    assert len(served(copy)) == 3
    go_to(here, monkeypatch)
    assert registry.production().run == ids["two"]


def test_a_result_that_is_gone_is_an_error_and_not_nothing(moved, capsys):
    here, ids = moved
    one = registry.run(ids["one"])
    sha = one.run["evaluate"].task["model"].sha
    (here / ".metaflow" / "Pipeline" / "data" / sha[:2] / sha).unlink()
    said = "'model' of step 'evaluate' cannot be read from the datastore at .*: it does not exist"
    with pytest.raises(MfxError, match=said):
        registry.promote(ids["one"])


def test_runs_of_another_version_do_not_break_the_list(moved, monkeypatch, capsys):
    _, ids = moved
    from mfx.artifacts import evaluation

    monkeypatch.delattr(evaluation, "Evaluation")
    monkeypatch.delattr("mfx.artifacts.Evaluation")
    assert cli.main(["ls"]) == 0
    said = capsys.readouterr().out
    assert "unreadable" in said and "another version of MFX made it" in said
    assert len([line for line in said.splitlines() if "failed" in line]) == 1, "the stopped run"
    with pytest.raises(MfxError, match="'evaluation' of step 'evaluate' cannot be read: another"):
        registry.compare([ids["one"], ids["two"]])
