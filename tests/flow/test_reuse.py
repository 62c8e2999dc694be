"""Keys change with what a result is made from and with nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mfx import config
from mfx.artifacts import Examples, Shard, SourceFile, Sources
from mfx.artifacts.lineage import Lineage
from mfx.artifacts.store import Payload
from mfx.destinations.local import LocalDestination
from mfx.flow import reuse
from mfx.registry import Production

LINEAGE = Lineage("data", "code", "config")


def shard(path: str, sha256: str) -> Shard:
    return Shard((SourceFile(path, sha256, 9),))


SOURCES = Sources((shard("a.csv", "1" * 64),), {"x": "int64"}, LINEAGE)


def examples(digest: str) -> Examples:
    payload = Payload("Pipeline", "local", digest, ())
    return Examples((payload,), {"train": 2, "eval": 1}, 3, {}, {"x": "int64"}, LINEAGE)


def ingest_key(shard, settings, sources=SOURCES, lineage=LINEAGE) -> reuse.Key:
    return reuse.key_of("ingest", {"shard": shard, "sources": sources}, settings, lineage)


@pytest.fixture
def taxi(tmp_path, settings):
    """The taxi pipeline's settings, its folder a copy."""
    shutil.copytree(settings.resolve("."), tmp_path / "taxi")
    return config.load(tmp_path / "taxi" / "config.toml")


def test_a_key_knows_the_content_of_a_file_and_not_its_place(taxi):
    here, there = (ingest_key(shard(place, "1"), taxi) for place in "ab")
    assert here == there
    assert ingest_key(shard("a", "2"), taxi).differences(here) == ["the shard"]


def test_other_files_of_the_data_set_do_not_matter_to_a_shard(taxi):
    """So a new file of a rolling window is the only one read."""
    more = replace(SOURCES, shards=(*SOURCES.shards, shard("b.csv", "2")))
    first = SOURCES.shards[0]
    assert ingest_key(first, taxi) == ingest_key(first, taxi, more, replace(LINEAGE, data="other"))


def test_only_the_config_that_a_step_reads_matters(taxi):
    steps = taxi.override(train__steps=taxi.train.steps + 1)
    given = {"examples": examples("a"), "transformed": examples("b")}
    for step in ("ingest", "validate", "transform", "evaluate"):
        keys = [reuse.key_of(step, given, s, LINEAGE) for s in (taxi, steps)]
        assert keys[0] == keys[1]
    before, after = (reuse.key_of("train", given, s, LINEAGE) for s in (taxi, steps))
    assert after.differences(before) == [f"train.steps ({taxi.train.steps} → {steps.train.steps})"]


def test_an_edited_schema_is_another_key(taxi):
    before = reuse.key_of("validate", {"examples": examples("a")}, taxi, LINEAGE)
    with Path(taxi.resolve(taxi.schema_.path)).open("a") as file:
        file.write("# edited\n")
    (difference,) = reuse.key_of(
        "validate", {"examples": examples("a")}, taxi, LINEAGE
    ).differences(before)
    assert difference.startswith("schema.path (")


def test_code_and_nothing_in_production_are_told(taxi):
    given = {"models": [examples("a")], "baseline": None}
    before = reuse.key_of("evaluate", given, taxi, LINEAGE)
    after = reuse.key_of("evaluate", given, taxi, replace(LINEAGE, code="new"))
    assert after.differences(before) == ["the code"]
    pushed = Production("7", 8, LocalDestination(Path("pushed")))
    now = reuse.key_of("evaluate", {**given, "baseline": pushed}, taxi, LINEAGE)
    assert now.differences(before) == ["the baseline"]
    assert now == reuse.key_of("evaluate", {**given, "baseline": replace(pushed)}, taxi, LINEAGE)


def test_what_is_taken_over_is_as_if_made_here(taxi):
    here = Lineage("new data", "code", "new config")
    old = replace(examples("a"), lineage=LINEAGE.after("parent"))
    first, count = reuse._made_here((old, 3), here)
    assert first.lineage == replace(here, parents=("parent",))
    assert (first.digest, count) == (old.digest, 3)
