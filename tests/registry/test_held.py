"""The data of a run is found in the datastore itself, on each storage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from metaflow import metaflow_config
from metaflow.datastore import FlowDataStore
from metaflow.plugins import DATASTORES

from mfx.artifacts.store import Blob, Payload
from mfx.registry.held import BlobKey, Datastore

ONE, TWO, THREE = ("1" * 40, "2" * 40, "3" * 40)


@dataclass
class Wrapped:
    """A user's own result that has payloads somewhere inside."""

    inside: dict


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path, monkeypatch):
    """An empty datastore that Metaflow's settings name."""
    if request.param == "local":
        root = str(tmp_path)
    else:
        root = f"s3://{request.getfixturevalue('s3').bucket}/metaflow"
    (kind,) = [kind for kind in DATASTORES if request.param == kind.TYPE]
    monkeypatch.setattr(metaflow_config, "DEFAULT_DATASTORE", request.param)
    monkeypatch.setattr(kind, "datastore_root", root)
    return FlowDataStore("Flow", None, storage_impl=kind, ds_root=root)


def leave(store: FlowDataStore, run: str, step: str, **artifacts) -> None:
    """Save these results as those of a run's step."""
    task = store.get_task_datastore(run, step, "1", attempt=0, mode="w")
    task.init_task()
    task.save_artifacts(iter(artifacts.items()))
    task.done()


def payload(store: FlowDataStore, *keys: str, root: str = "") -> Payload:
    blobs = tuple(Blob(f"file-{key[0]}", 5, (key,)) for key in keys)
    return Payload("Flow", store.TYPE, root or store.datastore_root, blobs)


def test_payloads_are_found_however_deep(store):
    leave(store, "7", "train", model=payload(store, ONE), name="x")
    leave(store, "7", "mine", kept=Wrapped({"a": [payload(store, TWO)]}), word="theirs")
    leave(store, "8", "train", model=payload(store, ONE))
    found = Datastore("Flow")
    assert found.runs() == {"7", "8"}
    root = store.datastore_root
    seven = found.read("7")
    assert seven.blobs == {BlobKey(store.TYPE, root, "Flow", key): 5 for key in (ONE, TWO)}
    assert (seven.unread, seven.found, seven.evaluated) == ("", True, False)
    assert found.read("8").blobs.keys() == {BlobKey(store.TYPE, root, "Flow", ONE)}
    assert str(found) == f"{root}/Flow/data"


def test_what_is_only_mentioned_is_known_too(store):
    leave(store, "7", "train", text=f"see {THREE}", many={ONE: 1})
    held = Datastore("Flow").read("7")
    assert (held.blobs, held.mentioned) == ({}, {ONE, THREE})


def test_a_run_that_is_not_there_left_nothing(store):
    held = Datastore("Flow").read("9")
    assert (held.found, held.unread, held.blobs) == (False, "", {})


def test_an_artifact_that_is_gone_is_said(store):
    leave(store, "7", "train", model=payload(store, ONE))
    (task,) = store.get_task_datastores("7")
    sha = dict(task.items())["model"]
    path = store.ca_store._storage_impl.path_join("Flow", "data", sha[:2], sha)
    if store.TYPE == "local":
        Path(store.datastore_root, path).unlink()
    else:
        import boto3

        bucket, _, prefix = store.datastore_root.removeprefix("s3://").partition("/")
        boto3.client("s3").delete_object(Bucket=bucket, Key=f"{prefix}/{path}")
    assert Datastore("Flow").read("7").unread


def test_a_copy_has_its_blobs_with_it_but_a_bucket_has_its_own(store):
    leave(store, "7", "train", model=payload(store, ONE, root="s3://elsewhere/metaflow"))
    held = Datastore("Flow").read("7")
    here = {BlobKey("local", store.datastore_root, "Flow", ONE)} if store.TYPE == "local" else set()
    assert held.blobs.keys() == here
    assert held.mentioned == {ONE}
