"""Statistics of a window are those of its rows, with and without what earlier runs kept."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.small_world import LINEAGE
from helpers.tfdv_cases import N, assert_same, exact, random_batch
from helpers.windows import Runs, damage, no_cache, window

from mfx.artifacts import Examples, store
from mfx.config import Beam
from mfx.validate import tfdv_beam, tfdv_by_span, tfdv_local

KINDS = {"fare": "float32", "hour": "int64", "word": "bytes"}


@pytest.fixture
def day(tmp_path, datastore):
    """Makes the examples of one span."""

    def make(number, words=7):
        folder = tmp_path / f"{number}-{words}"
        folder.mkdir()
        values = [b"%d" % (n * number % words) for n in range(N)]
        for split, rows in (("train", 300), ("eval", 100)):
            whole = random_batch(word=pa.array(values)).slice(0, rows)
            pq.write_table(pa.Table.from_batches([whole]), folder / f"{split}.parquet")
        kinds = dict.fromkeys(whole.schema.names, "float32") | KINDS
        return Examples((store.save(folder),), {"train": 300, "eval": 100}, 400, {}, kinds, LINEAGE)

    return make


def _bytes(made):
    return {s: proto.SerializeToString(deterministic=True) for s, (proto, _) in made.items()}


def test_a_window_has_the_statistics_of_its_rows(day, tmp_path):
    whole = window({n: day(n) for n in (1, 2, 3)})
    made = tfdv_by_span.describe(whole, None, no_cache("validate"))
    for split, (proto, estimated) in made.items():
        batches = [*whole.batches(split)]
        assert_same(exact(proto), exact(tfdv_local.describe(batches)[0]))
        files = [payload.only(f"{split}.parquet") for payload in whole.shards]
        assert_same(exact(proto), exact(tfdv_beam.describe(files, Beam())))
        assert proto.datasets[0].num_examples == whole.rows[split]
        assert not estimated


def test_with_and_without_earlier_runs_they_are_the_same_bytes(day):
    days = {n: day(n) for n in (1, 2, 3, 4)}
    runs = Runs("validate")
    for first, said in (
        (1, ["span 1 is new", "span 2 is new", "span 3 is new"]),
        (2, ["reused from run 1: spans 2 to 3", "span 4 is new"]),
    ):
        rows = window({n: days[n] for n in range(first, first + 3)})
        cache = runs.cache()
        made = tfdv_by_span.describe(rows, None, cache)
        runs.end(cache)
        assert runs.said == [f"validate: {line}" for line in said]
        assert _bytes(made) == _bytes(tfdv_by_span.describe(rows, None, no_cache("validate")))
    # A file that came late; and other code.
    late = window({2: days[2], 3: day(3, words=5), 4: days[4]})
    cache = runs.cache()
    made = tfdv_by_span.describe(late, None, cache)
    assert runs.said == [
        "validate: reused from run 2: spans 2, 4",
        "validate: span 3 has changed since run 2",
    ]
    assert _bytes(made) == _bytes(tfdv_by_span.describe(late, None, no_cache("validate")))
    tfdv_by_span.describe(late, None, runs.cache("other"))
    assert "span 2 is made again: the code, the config or a library changed" in runs.said[0]


def test_what_cannot_be_read_is_said_and_made_again(day):
    rows = window({n: day(n) for n in (1, 2)})
    runs = Runs("validate")
    cache = runs.cache()
    before = tfdv_by_span.describe(rows, None, cache)
    runs.end(cache)
    damage(runs.found, 2)
    cache = runs.cache()
    assert _bytes(tfdv_by_span.describe(rows, None, cache)) == _bytes(before)
    assert "validate: what run 1 kept of span 2 cannot be read: " in runs.said[0]
    assert "reused from run 1: spans 1" in runs.said[1]


def test_counts_that_are_too_many_in_one_span_are_estimates_of_all(day, monkeypatch):
    monkeypatch.setattr(tfdv_local, "MERGE_ROWS", 10)
    monkeypatch.setattr(tfdv_local, "MOST_BYTES", 1000)
    rows = window({1: day(1), 2: day(2, words=200)})
    made = tfdv_by_span.describe(replace(rows), None, no_cache("validate"))
    assert made["train"][1] == ["word"]
