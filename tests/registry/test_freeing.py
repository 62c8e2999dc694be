"""The data of old runs is freed, but never what a kept or promoted run needs too."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_runs import SmallRuns

from mfx import registry
from mfx.errors import MfxError
from mfx.registry import freeing, held
from mfx.registry.place import Place


@pytest.fixture
def small(all_small_runs, small_runs, tmp_path, monkeypatch) -> SmallRuns:
    """A copy of the small runs that may be damaged; without the stopped run, which is too young."""
    small, made = all_small_runs
    store = tmp_path / "store"
    shutil.copytree(small.store, store)
    shutil.rmtree(store / ".metaflow" / "Pipeline" / made["stopped"])
    copied = SmallRuns(store, store / "pipeline" / "config.toml")
    copied.look()
    monkeypatch.setattr("mfx.environment._project", store)
    return copied


@pytest.fixture
def plan(small):
    """A plan of the copy's blobs."""
    return lambda keep: freeing.plan("Pipeline", keep)


def files(small: SmallRuns) -> set[str]:
    return {p.name for p in (small.store / ".metaflow" / "Pipeline" / "data").rglob("*")}


def test_only_what_no_kept_run_shares_is_free(small_runs, plan):
    registry.promote(small_runs["one"])
    registry.promote(small_runs["two"])
    found = plan(keep=1)
    why = {h.run: h.kept for h in found.holdings}
    assert why[small_runs["branch"]] == "one of the newest 1"
    assert why[small_runs["one"]] == "was in production: needed for a rollback"
    assert why[small_runs["two"]].startswith("in production at ")
    assert why[small_runs["three"]] == why[small_runs["invalid"]] == ""
    # The graph, the examples and the code are the same in all; each has its weights, and its
    # predictions; two of them, which are valid, have warm-up requests.
    assert len(found.blobs) == 3 * 2 + 2
    own = {h.run: h.freeable for h in found.holdings}
    assert own[small_runs["one"]] == 0 < own[small_runs["three"]]
    assert sum(own.values()) == found.size < found.holdings[0].size


def test_what_is_freed_is_gone_and_all_else_is_there(small_runs, small, plan):
    registry.promote(small_runs["one"])
    found = plan(keep=2)
    before = files(small)
    assert freeing.free(found) == len(found.blobs) > 0
    gone = before - files(small)
    names = {key.sha for key in found.blobs}
    assert gone == names | {f"{name}_meta" for name in names}
    for name in ("one", "branch", "invalid"):
        model = registry.run(small_runs[name]).need("evaluate", "model")
        assert {key for blob in model.payload.blobs for key in blob.keys} <= files(small)
    assert freeing.free(found) == 0, "again it finds nothing"


def test_a_run_that_may_be_running_stops_it(small_runs, small, all_small_runs):
    """A run may need a blob that is there already, and record that only when its step ends."""
    made = all_small_runs[1]
    source = all_small_runs[0].store / ".metaflow" / "Pipeline" / made["stopped"]
    shutil.copytree(source, small.store / ".metaflow" / "Pipeline" / made["stopped"])
    found = freeing.plan("Pipeline", 1)
    assert found.busy == [made["stopped"]]
    before = files(small)
    with pytest.raises(MfxError, match=f"run {made['stopped']} is unfinished"):
        freeing.free(found)
    assert files(small) == before


def test_other_users_runs_count_too(small_runs, plan):
    import metaflow

    whole = plan(keep=1).blobs
    metaflow.namespace("user:somebody-else")
    assert plan(keep=1).blobs == whole


def test_large_files_are_counted_by_their_chunks(monkeypatch):
    from mfx.artifacts.store import Blob, Payload

    monkeypatch.setattr(held, "CHUNK_BYTES", 10)
    payload = Payload("F", "local", "/root", (Blob("a", 25, ("x", "y", "z")),))
    assert [n for _, n in held.chunks(payload)] == [10, 10, 5]


def test_blobs_on_s3_are_where_metaflow_puts_them(s3):
    key = freeing.BlobKey("s3", f"s3://{s3.bucket}/prefix", "Pipeline", "ab12")
    s3.put_object(Bucket=s3.bucket, Key="prefix/Pipeline/data/ab/ab12", Body=b"")
    s3.put_object(Bucket=s3.bucket, Key="prefix/Pipeline/data/ab/ab13", Body=b"")
    assert freeing.remover("s3")([key]) == 1
    left = [e["Key"] for e in s3.list_objects_v2(Bucket=s3.bucket)["Contents"]]
    assert left == ["prefix/Pipeline/data/ab/ab13"]


def test_other_storages_are_one_error():
    with pytest.raises(MfxError, match="mfx cannot free blobs on gs"):
        freeing.remover("gs")


def test_an_unknown_flow_is_one_error(small_runs):
    with pytest.raises(MfxError, match="no run of Unknown yet"):
        freeing.plan("Unknown", 1)


def test_a_copy_frees_its_own_and_not_the_originals(small_runs, small, plan, all_small_runs):
    original = files(all_small_runs[0])
    found = plan(keep=1)
    assert {key.root for key in found.blobs} == {str(small.store / ".metaflow")}
    assert found.place == f"{small.store}/.metaflow/Pipeline/data"
    assert freeing.free(found) == len(found.blobs) > 0
    assert files(all_small_runs[0]) == original


def broken(small: SmallRuns, run: str, step: str, name: str) -> Path:
    """Damages an artifact of a run, and returns its file."""
    from metaflow import Run

    sha = Run(f"Pipeline/{run}", _namespace_check=False)[step].task[name].sha
    file = small.store / ".metaflow" / "Pipeline" / "data" / sha[:2] / sha
    file.write_bytes(b"not what was written")
    return file


@pytest.mark.parametrize(
    ("step", "name"), [("start", "settings"), ("validate", "examples"), ("evaluate", "model")]
)
def test_a_run_that_cannot_be_read_protects_everything(small_runs, small, plan, step, name):
    run = small_runs["one"]
    broken(small, run, step, name)
    found = plan(keep=1)
    assert run in found.unread and found.blobs == {}
    why = {h.run: h.kept for h in found.holdings}
    assert why[run].startswith("cannot be read: ")
    before = files(small)
    with pytest.raises(MfxError, match=r"run \d+ cannot be read .* may need any blob"):
        freeing.free(found)
    assert files(small) == before


def test_so_does_one_whose_files_are_gone(small_runs, small, plan):
    run = small_runs["two"]
    broken(small, run, "evaluate", "model").unlink()
    with pytest.raises(MfxError, match=f"run {run} cannot be read"):
        freeing.free(plan(keep=1))


def test_what_an_unknown_object_holds_is_protected(small_runs, small, plan):
    """An artifact whose class does not exist any more, or that has a payload in an unknown way."""
    from metaflow.datastore import FlowDataStore
    from metaflow.plugins.datastores.local_storage import LocalStorage

    (key, *_) = whole = plan(keep=1).blobs
    store = FlowDataStore(
        "Pipeline", None, storage_impl=LocalStorage, ds_root=str(small.store / ".metaflow")
    )
    ((_, sha),) = store.save_data([b"\x80\x05cmfx.gone\nClass\n\x8c\x28" + key.sha.encode()], 1)
    (task,) = (small.store / ".metaflow" / "Pipeline" / small_runs["three"]).glob("evaluate/[0-9]*")
    (artifacts,) = task.glob("0.data.json")
    said = json.loads(artifacts.read_text())
    said["objects"]["theirs"], said["info"]["theirs"] = sha, said["info"]["model"]
    artifacts.write_text(json.dumps(said))
    assert plan(keep=1).blobs.keys() == whole.keys() - {key}


def test_a_run_that_only_the_datastore_knows_is_kept(small_runs, small, plan):
    """It is from another machine, whose metadata is not the one in use."""
    whole, run = plan(keep=1), small_runs["two"]
    shutil.rmtree(small.store / ".metaflow" / "Pipeline" / run / "_meta")
    found = plan(keep=1)
    (kept,) = [h for h in found.holdings if h.run == run]
    # Its id is a time of today, so it may be running on another machine.
    assert (kept.kept, kept.freeable, found.busy) == ("unknown, may be running", 0, [run])
    assert found.blobs.keys() < whole.blobs.keys()


def test_newest_runs_are_counted_for_each_pipeline(small_runs, small, plan):
    one = small.config.parent / "other.toml"
    one.write_text(small.config.read_text().replace('"small"', '"other"'))
    (other := replace(small, config=one)).look()
    made = other.make("--weight", "7")
    why = {h.run: h.kept for h in plan(keep=1).holdings}
    assert why[made] == why[small_runs["branch"]] == "one of the newest 1"


def test_a_failed_run_keeps_what_a_resume_needs_and_stops_nothing(
    small_runs, small, all_small_runs, monkeypatch
):
    run = all_small_runs[1]["stopped"]
    source = all_small_runs[0].store / ".metaflow" / "Pipeline" / run
    shutil.copytree(source, small.store / ".metaflow" / "Pipeline" / run)
    alive = small.store / ".metaflow" / "mfx.alive" / "Pipeline" / run
    alive.parent.mkdir(parents=True)
    alive.write_text(json.dumps({"machine": socket.gethostname(), "failed": True}))
    found = freeing.plan("Pipeline", 1)
    why = {h.run: h.kept for h in found.holdings}
    assert (found.busy, why[run]) == ([], "failed, may be resumed")
    assert freeing.free(found) == len(found.blobs) > 0


def test_a_run_that_begins_meanwhile_stops_it(small_runs, small, plan, monkeypatch):
    found = plan(keep=1)
    monkeypatch.setattr(freeing, "BATCH", 1)
    monkeypatch.setattr(freeing, "LOOK_SECONDS", 0.0)
    looks = iter([set(small_runs.values()), {*small_runs.values(), "1999"}])
    monkeypatch.setattr(freeing, "_ids", lambda flow: next(looks) - {small_runs["stopped"]})
    before = files(small)
    with pytest.raises(MfxError, match="run 1999 has begun meanwhile") as error:
        freeing.free(found)
    assert "1 blobs that no run needs were freed" in error.value.remedy
    assert len(before - files(small)) == 2, "one blob and what Metaflow notes beside it"


def test_a_destination_of_no_known_form_held_no_model():
    assert freeing._promoted({Place("ftp://b/m", "small"), Place("s3:/b/m", "small")}) == {}
