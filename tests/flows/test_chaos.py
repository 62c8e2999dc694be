"""The short form of `make chaos`: a run that was killed twice ends as one that was not."""

from __future__ import annotations

import os
import random

from helpers import chaos


def test_a_run_killed_in_train_and_again_in_push_ends_as_an_unbroken_one(flow_run, tmp_path):
    draw = random.Random(5)
    target = ("--destination", str(tmp_path / "pushed"))
    with chaos.storage("local", tmp_path) as place:
        first = chaos.killed(place, "train", draw.uniform(0, 6), "run", *target)
        again = ("resume", "--origin-run-id", first)
        second = chaos.killed(place, "push", draw.uniform(0, 4), *again)
        last, anew = chaos.resumed(place, second)
        found = chaos.digests(place, last)
    assert set(anew) <= {"push", "end"}, "what had finished is not done again"
    store = {**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(flow_run.store)}
    expected = chaos.digests(chaos.Storage("local", store, ""), flow_run.run_id)
    assert found == expected
    versions = [path for path in (tmp_path / "pushed" / "taxi").iterdir() if path.name.isdecimal()]
    assert len(versions) == 1, "pushed once"
