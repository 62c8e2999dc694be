"""Promoting and rolling back: what is allowed, remarks, tags, files from the datastore."""

from __future__ import annotations

import shutil
from pathlib import Path

import metaflow
import pytest

from mfx import registry
from mfx.destinations import open_destination
from mfx.destinations.base import folder_digest
from mfx.errors import MfxError
from mfx.export.warmup import WARMUP
from mfx.registry import actions, place, runs


def newest(pushed: Path) -> Path:
    versions = [p for p in (pushed / "small").iterdir() if p.name.isdecimal()]
    return max(versions, key=lambda p: int(p.name))


def served(pushed: Path) -> str:
    """The weight in the newest version's model."""
    return (newest(pushed) / "variables" / "data").read_text()


def tagged() -> list[str]:
    flow = metaflow.Flow("Pipeline", _namespace_check=False)
    return [run.id for run in flow.runs("production:small")]


def test_a_run_is_promoted_and_tagged(small_runs, pushed):
    assert registry.production("small") is None
    entry = registry.promote(small_runs["one"], reason="the first")
    found = registry.production("small")
    assert (found.run, found.version, found.entry) == (small_runs["one"], entry.version, entry)
    assert served(pushed) == "1" and tagged() == [small_runs["one"]]
    registry.promote(small_runs["two"])
    assert served(pushed) == "2" and tagged() == [small_runs["two"]]
    assert registry.run("production").id == small_runs["two"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unblessed", "not blessed: FAILED: auc on Overall"),
        ("invalid", "not valid: it does not answer"),
    ],
)
def test_what_is_not_blessed_and_valid_needs_an_override(name, why, small_runs, pushed):
    with pytest.raises(MfxError, match=why) as caught:
        registry.promote(small_runs[name])
    assert "--override" in caught.value.remedy and not pushed.exists()
    entry = registry.promote(small_runs[name], override="the fair opens tomorrow")
    assert entry.override == "the fair opens tomorrow"
    assert registry.production("small").run == small_runs[name]


def test_an_override_that_was_not_needed_is_not_recorded(small_runs):
    assert registry.promote(small_runs["one"], override="just in case").override == ""


def test_a_run_that_made_no_model_cannot_be_promoted(small_runs, pushed):
    with pytest.raises(MfxError, match="has no 'evaluation' of step 'evaluate'"):
        registry.promote(small_runs["stopped"], override="anyway")
    assert not pushed.exists()


def test_rolling_back_moves_the_tag(small_runs, pushed):
    for name in ("one", "two", "three"):
        registry.promote(small_runs[name])
    entry = registry.rollback("small", reason="complaints")
    assert (entry.run, entry.reason, served(pushed)) == (small_runs["two"], "complaints", "2")
    assert tagged() == [small_runs["two"]]
    assert registry.rollback("small", to=small_runs["three"][:16]).run == small_runs["three"]
    assert registry.rollback("small", to=small_runs["one"]).run == small_runs["one"]
    assert served(pushed) == "1"


def test_a_tag_that_was_lost_comes_back_and_a_false_one_goes(small_runs):
    registry.promote(small_runs["one"])
    registry.run(small_runs["one"]).run.remove_tag("production:small")
    registry.run(small_runs["three"]).run.add_tag("production:small")
    assert registry.production("small").run == small_runs["one"], "tags decide nothing"
    registry.promote(small_runs["one"])
    assert tagged() == [small_runs["one"]]


def test_bytes_come_from_the_datastore_when_no_version_has_them(small_runs, pushed):
    first = registry.promote(small_runs["one"])
    registry.promote(small_runs["two"])
    shutil.rmtree(pushed / "small" / str(first.version))
    entry = registry.rollback("small")
    assert (entry.run, entry.digest, served(pushed)) == (small_runs["one"], first.digest, "1")
    assert (newest(pushed) / WARMUP).read_text() == "requests for 1"


def test_the_runs_warm_up_requests_go_with_its_model(small_runs, pushed):
    """They are part of the model's files: promoting again finds the same hash."""
    first = registry.promote(small_runs["one"])
    assert (newest(pushed) / WARMUP).read_text() == "requests for 1"
    assert first.digest == folder_digest(newest(pushed))
    assert registry.promote(small_runs["one"]) == first
    registry.promote(small_runs["invalid"], override="no rows were validated, so no requests")
    assert not (newest(pushed) / WARMUP).exists()
    (pushed / "small" / str(first.version) / WARMUP).write_text("damaged")
    assert registry.rollback("small").digest == first.digest
    assert (newest(pushed) / WARMUP).read_text() == "requests for 1"


def test_promoting_keeps_as_many_versions_as_the_run_says(small_runs, pushed, monkeypatch):
    def need(found, step, name, real=runs.Results.need):
        value = real(found, step, name)
        return value.override(push__keep=2) if name == "settings" else value

    versions = [registry.promote(small_runs[name]).version for name in ("one", "two", "three")]
    monkeypatch.setattr(runs.Results, "need", need)
    dry = actions.promote(small_runs["two"], dry_run=True)
    assert not [remark for remark in dry.remarks if "removed" in remark]
    outcome = actions.promote(small_runs["two"])
    destination = open_destination(str(pushed), "small")
    assert destination.versions() == [versions[2], outcome.entry.version]
    gone = f"older versions removed ([push] keep = 2): {versions[0]}, {versions[1]}"
    assert gone in outcome.remarks
    entry = registry.rollback("small", to=small_runs["one"])
    assert (entry.run, served(pushed)) == (small_runs["one"], "1"), "from its run's payload"


@pytest.mark.parametrize(
    ("promoted", "to", "message"),
    [
        ([], None, "nothing to roll back to"),
        (["one"], None, "nothing to roll back to"),
        (["one"], "two", "was never in production"),
        (["one", "two", "three"], "17", "several runs begin with 17"),
    ],
)
def test_what_cannot_be_rolled_back_to_is_one_error(promoted, to, message, small_runs):
    for name in promoted:
        registry.promote(small_runs[name])
    with pytest.raises(MfxError, match=message):
        registry.rollback("small", to=small_runs.get(to, to))


def test_rolling_back_to_what_is_in_production_changes_nothing(small_runs):
    entry = registry.promote(small_runs["one"])
    assert registry.rollback("small", to=small_runs["one"]) == entry


def test_dry_runs_change_nothing(small_runs, pushed):
    assert registry.promote(small_runs["one"], dry_run=True).state == "planned"
    assert not pushed.exists() and tagged() == []
    registry.promote(small_runs["one"])
    registry.promote(small_runs["two"])
    planned = registry.rollback("small", dry_run=True)
    assert (planned.state, planned.run) == ("planned", small_runs["one"])
    assert served(pushed) == "2" and tagged() == [small_runs["two"]]
    assert len(registry.history("small")) == 2
    with pytest.raises(MfxError, match="not blessed"):
        registry.promote(small_runs["unblessed"], dry_run=True)


def test_a_branch_promotes_to_itself_and_elsewhere_only_by_override(small_runs, pushed):
    registry.promote(small_runs["one"])
    entry = registry.promote(small_runs["branch"])
    assert (pushed / "small.user.tester" / str(entry.version)).is_dir()
    assert registry.production("small").run == small_runs["one"]
    assert registry.production("small", branch="user.tester").run == small_runs["branch"]
    assert "production:small.user.tester" in registry.run(small_runs["branch"]).run.user_tags
    with pytest.raises(
        MfxError, match=r"of branch user.tester: not compared with the model that .*small"
    ):
        registry.promote(small_runs["branch"], branch="prod")
    registry.promote(small_runs["branch"], branch="prod", override="proven in the field")
    assert registry.production("small").run == small_runs["branch"]
    assert tagged() == [small_runs["branch"]]


def test_a_promotion_says_that_production_has_changed_since_the_blessing(small_runs):
    registry.promote(small_runs["one"])
    (remark,) = actions.promote(small_runs["two"]).remarks
    assert remark.startswith("it was compared with first run, but now run ")


def test_a_rollback_after_a_crash_does_not_go_back_twice(small_runs, monkeypatch):
    """The killed command had got so far that the next one finishes it, and does no more."""
    from mfx.registry import promotion

    for name in ("one", "two", "three"):
        registry.promote(small_runs[name])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.rollback("small")
    assert registry.production("small").run == small_runs["three"]
    where = registry.find_place("small")
    outcome = actions.rollback(where)
    assert (outcome.entry.kind, outcome.entry.run) == ("rollback", small_runs["two"])
    assert not outcome.new and "was interrupted during the rollback" in outcome.remarks[0]
    assert registry.production("small").run == small_runs["two"]
    assert tagged() == [small_runs["two"]]
    assert actions.rollback(where).entry.run == small_runs["one"]


def test_history_and_at_tell_what_was_in_production(small_runs):
    entries = [registry.promote(small_runs[name], reason=name) for name in ("one", "two")]
    table = registry.history("small")
    assert list(table.run) == [small_runs["one"], small_runs["two"]]
    assert list(table.reason) == ["one", "two"] and list(table.index) == [1, 2]
    assert registry.at("2020-01-01", "small") is None
    assert registry.at(entries[0].since, "small").run == small_runs["one"]
    assert registry.at(entries[1].since, "small").run == small_runs["two"]
    assert registry.at("2100-01-01", "small").run == small_runs["two"]
    with pytest.raises(MfxError, match="not a time: 'yesterday'"):
        registry.at("yesterday", "small")


def test_a_run_pushes_as_promote_does(all_small_runs, small_runs, pushed):
    """The flow's step `push` writes the same log and the same tag."""
    small, _ = all_small_runs
    run = small.make("--weight", "7", "--auto", "1")
    small.look()
    try:
        entry = registry.production("small").entry
        assert (entry.run, entry.kind, served(pushed)) == (run, "promote", "7")
        assert tagged() == [run]
        assert registry.run(run).pushed.version == entry.version
    finally:
        shutil.rmtree(small.store / ".metaflow" / "Pipeline" / run)


def test_a_production_run_pushes_to_the_place_without_a_branch(all_small_runs, small_runs, pushed):
    """A run of `--production` of a flow with `@project`, and a run of the user's own branch."""
    small, _ = all_small_runs
    run = small.make("--auto", "1", before=("--production",), PROJECT="demo")
    small.look()
    try:
        assert place.branch_of(registry.run(run).run) == "prod"
        assert registry.production("small").run == run
        assert sorted(p.name for p in pushed.iterdir()) == ["small"]
    finally:
        shutil.rmtree(small.store / ".metaflow" / "Pipeline" / run)


def test_it_works_on_s3(small_runs, s3, monkeypatch):
    """The same runs, pushed to S3."""
    from mfx.config import Settings

    monkeypatch.setattr(Settings, "resolve", lambda *_: f"s3://{s3.bucket}/models")
    registry.promote(small_runs["one"])
    registry.promote(small_runs["two"], reason="better")
    entry = registry.rollback("small", reason="worse")
    assert registry.production("small").run == small_runs["one"]
    assert list(registry.history("small").kind) == ["promote", "promote", "rollback"]
    assert registry.production("small").destination.digest(entry.version) == entry.digest
    keys = [e["Key"] for e in s3.list_objects_v2(Bucket=s3.bucket)["Contents"]]
    assert f"models/small/{entry.version}/saved_model.pb" in keys
