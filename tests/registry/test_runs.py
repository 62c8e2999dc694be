"""Runs are found by the names that people use, listed in order, and read as far as they got."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from types import SimpleNamespace

import metaflow
import pytest

from mfx import registry
from mfx.errors import MfxError
from mfx.registry import place, runs, show
from mfx.registry.runs import began


def test_a_run_is_found_by_id_prefix_pathspec_and_word(small_runs):
    one = small_runs["one"]
    common = next(n for n in range(17) if len({run[:n] for run in small_runs.values()}) > 6)
    for name in (one, f"Pipeline/{one}", one[: common + 1]):
        if sum(run.startswith(name) for run in small_runs.values()) < 2:
            assert registry.run(name).id == one
    assert registry.run("latest").id == small_runs["stopped"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("17", r"7 runs begin with 17: \d+, \d+, \d+, …"),
        ("999", "no run Pipeline/999 in namespace user:tester"),
        ("", "no run Pipeline/ in namespace"),
        ("Unknown/1", "no run Unknown/1"),
        ("Pipeline/1/start", "no run"),
        ("production", "no run of Pipeline is in production"),
    ],
)
def test_what_is_not_a_run_is_one_error(name, message, small_runs):
    with pytest.raises(MfxError, match=message):
        registry.run(name)


def test_listing_honours_the_namespace_a_whole_id_does_not(small_runs):
    metaflow.namespace("user:somebody-else")
    assert registry.run(small_runs["one"]).id == small_runs["one"]
    with pytest.raises(MfxError, match="no run of Pipeline in namespace user:somebody-else yet"):
        list(runs.newest())
    with pytest.raises(MfxError, match="no run Pipeline/latest in namespace user:somebody-else"):
        registry.run("latest")
    metaflow.namespace(None)
    assert len(list(runs.newest())) == 7
    assert metaflow.get_namespace() is None, "looking does not switch namespaces"


def test_a_tag_does_not_change_the_order(small_runs):
    """Metaflow's local metadata gives the time of the tag as that of the run."""
    order = [one.id for one in runs.newest()]
    assert order == sorted(small_runs.values(), reverse=True)
    began = runs.began(registry.run(small_runs["one"]).run)
    registry.run(small_runs["one"]).run.add_tag("production:seen")
    assert [one.id for one in runs.newest()] == order
    assert runs.began(registry.run(small_runs["one"]).run) == began


def test_results_of_a_stopped_run_are_read_as_far_as_it_got(small_runs):
    found = registry.run(small_runs["stopped"])
    assert found.sources is not None and found.settings is not None
    assert found.examples is found.evaluation is found.pushed is None
    assert found.state == "failed"
    with pytest.raises(MfxError, match="has no 'model' of step 'evaluate'"):
        found.need("evaluate", "model")


def test_a_summary_has_all_that_is_known(small_runs):
    entry = registry.promote(small_runs["two"])
    found = {s.run: s for s in (runs.summary(one, {}) for one in runs.newest())}
    two = found[small_runs["two"]]
    assert (two.production, two.blessed, two.version) == (True, True, None)
    assert (two.rows, two.files, two.user) == (40, "day-1.csv … day-2.csv (2)", "tester")
    assert two.metrics == {"example_count": 20.0, "auc": 0.75}
    assert entry.run == two.run and sum(s.production for s in found.values()) == 1
    stopped = found[small_runs["stopped"]]
    assert (stopped.rows, stopped.blessed, stopped.metrics) == (None, None, {})
    assert found[small_runs["branch"]].branch == "user.tester"
    assert found[small_runs["unblessed"]].blessed is False


def test_a_destination_out_of_reach_does_not_hide_runs(small_runs, pushed):
    pushed.mkdir()
    (pushed / "small").mkdir()
    (pushed / "small" / "promotions").write_text("no folder")
    found = [runs.summary(one, {}) for one in runs.newest()]
    assert [run.run for run in found if run.production is None] == [
        run.run for run in found if not run.branch
    ]
    assert "Not a directory" in show.gather(registry.run("latest")).facts["log"]


def test_a_branch_has_a_place_of_its_own(small_runs, settings):
    ours, theirs = (registry.run(small_runs[name]).place for name in ("one", "branch"))
    assert (ours.model, theirs.model) == ("small", "small.user.tester")
    assert place.for_settings(settings, "prod").model == "taxi"
    assert place.for_settings(settings, "test.faster").model == "taxi.test.faster"
    assert place.for_settings(settings, "prod.faster").model == "taxi.prod.faster"


def test_a_model_is_found_by_name(small_runs):
    assert registry.find_place("small") == registry.find_place() == registry.run("latest").place
    with pytest.raises(MfxError, match="no run of Pipeline makes a model 'taxi'; there are small"):
        registry.find_place("taxi")


def test_showing_a_run_tells_what_changed_since_its_parent(small_runs):
    registry.promote(small_runs["one"], reason="why not")
    shown = show.gather(registry.run(small_runs["two"]))
    assert shown.parent.before == small_runs["one"], "the finished run before"
    assert shown.facts["blessed"].startswith("yes, 1 of 1 checks passed, compared with first run")
    assert shown.facts["examples"].endswith("train 20, eval 20, rejected 0")
    assert shown.promotions == []
    (entry,) = show.gather(registry.run(small_runs["one"])).promotions
    assert entry.reason == "why not"
    (failure,) = show.gather(registry.run(small_runs["unblessed"])).failures
    assert failure == "FAILED: auc on Overall is 0.7500, needs at least 0.5"
    assert "examples" not in show.gather(registry.run(small_runs["stopped"])).facts


def test_runs_of_the_hour_that_comes_twice_are_in_order(monkeypatch):
    """In Berlin, 00:30 and 01:00 UTC of 25 October 2026 are both between 2 and 3 at night."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        begin = int(datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc).timestamp())
        first, second = (
            began(SimpleNamespace(id=f"{seconds}000000")) for seconds in (begin, begin + 1800)
        )
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (f"{first:%H:%M}", f"{second:%H:%M}") == ("02:30", "02:00")
    assert first < second
