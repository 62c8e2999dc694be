"""Freeing what old runs hold: never what a kept, promoted or rollback-candidate run shares."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from conftest import SmallRuns

from mfx import registry
from mfx.errors import MfxError
from mfx.registry import freeing, held


@pytest.fixture
def small(all_small_runs, small_runs, tmp_path) -> SmallRuns:
    """The small runs, in a copy that may lose bytes; the stopped run, a day young, left out."""
    small, made = all_small_runs
    store = tmp_path / "store"
    shutil.copytree(small.store, store)
    shutil.rmtree(store / ".metaflow" / "Pipeline" / made["stopped"])
    copied = SmallRuns(store, store / "pipeline" / "config.toml")
    copied.look()
    return copied


@pytest.fixture
def plan(small, all_small_runs, monkeypatch):
    """A plan whose blobs are those of the copy."""
    original, copy = str(all_small_runs[0].store), str(small.store)

    def moved(keep: int) -> freeing.Plan:
        found = freeing.plan("Pipeline", keep)
        blobs = {replace(k, root=k.root.replace(original, copy)): n for k, n in found.blobs.items()}
        return replace(found, blobs=blobs)

    return moved


def files(small: SmallRuns) -> set[str]:
    return {p.name for p in (small.store / ".metaflow" / "Pipeline" / "data").rglob("*")}


def test_only_what_no_kept_run_shares_is_free(small_runs, plan):
    registry.promote(small_runs["one"])
    registry.promote(small_runs["two"])
    found = plan(keep=1)
    why = {h.run: h.kept for h in found.holdings}
    assert why[small_runs["branch"]] == "one of the newest 1"
    assert why[small_runs["one"]] == "was in production: may be rolled back to"
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
    """It may rely on a blob that is there already, and say so only when its step ends."""
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
    from mfx.store import Blob, Payload

    monkeypatch.setattr(held, "CHUNK_BYTES", 10)
    payload = Payload("F", "local", "/root", (Blob("a", 25, ("x", "y", "z")),))
    assert [n for _, n in held.chunks(payload)] == [10, 10, 5]


def test_blobs_on_s3_are_where_metaflow_puts_them(s3):
    key = freeing.Key("s3", f"s3://{s3.bucket}/prefix", "Pipeline", "ab12")
    s3.put_object(Bucket=s3.bucket, Key="prefix/Pipeline/data/ab/ab12", Body=b"")
    s3.put_object(Bucket=s3.bucket, Key="prefix/Pipeline/data/ab/ab13", Body=b"")
    assert freeing.remover("s3")([key]) == 1
    left = [e["Key"] for e in s3.list_objects_v2(Bucket=s3.bucket)["Contents"]]
    assert left == ["prefix/Pipeline/data/ab/ab13"]


def test_other_storages_are_one_error():
    with pytest.raises(MfxError, match="blobs on gs cannot be freed"):
        freeing.remover("gs")


def test_an_unknown_flow_is_one_error(small_runs):
    with pytest.raises(MfxError, match="no run of Unknown yet"):
        freeing.plan("Unknown", 1)
