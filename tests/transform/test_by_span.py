"""The graph of a window is the same with and without what earlier runs kept of its spans."""

from __future__ import annotations

import json
import re

import pytest
from helpers.small_world import COLUMNS, LINEAGE, SCHEMA, save_examples, write_pipeline
from helpers.windows import Runs, damage, no_cache, window
from tensorflow.core.protobuf import saved_model_pb2

from mfx.artifacts import Schema
from mfx.export import _private
from mfx.transform.transform import transform

MODEL_PY = """
import tensorflow as tf
import tensorflow_transform as tft
from mfx.features import fill_missing

def preprocessing_fn(inputs):
    x = fill_missing(inputs["x"])
    scaled = tft.scale_to_z_score(x)
    return {
        "x": scaled,
        "bucket": tft.bucketize(x, 3),
        "by_word": tft.scale_to_z_score_per_key(x, fill_missing(inputs["word"])),
        "word": tft.compute_and_apply_vocabulary(fill_missing(inputs["word"]), num_oov_buckets=1),
        "twice": tft.scale_to_0_1(scaled * scaled),
        "label": fill_missing(inputs["y"]),
    }

def build_model():
    return None
"""
"""Analyzers of all kinds; `twice` needs a second pass over the rows."""
PLAIN = MODEL_PY.replace("tft.scale_to_z_score(x)", "x + 1").split("    return {")[0] + (
    '    return {"x": scaled, "label": fill_missing(inputs["y"])}\n\n'
    "def build_model():\n    return None\n"
)
"""Nothing to analyse."""


SAVED = "transform_fn/saved_model.pb"


def _lines(content: bytes) -> list[str]:
    """The lines of a SavedModel, with functions counted as in a process that made no other before.

    They are sorted, since functions lie in an order that depends on their names. In a flow each
    graph is made by a process of its own; there the bytes are equal (`make bench-spans`).
    """
    text = str(saved_model_pb2.SavedModel.FromString(content))
    counted = re.sub(r'(?<=[_"])\d{7,}(?!\d)', lambda n: str(int(n[0]) % _private.STEP), text)
    return sorted(counted.splitlines())


@pytest.fixture
def day(tmp_path, datastore):
    """Makes the examples of one span."""

    def make(number, more=()):
        rows = [*range(number, number + 40), *more]
        values = {
            "x": [None if n % 7 == 0 else n / 3 for n in rows],
            "word": [b"%d" % (n % (number + 2)) for n in rows],
            "y": [n % 2 for n in rows],
        }
        folder = tmp_path / f"day-{number}-{len(rows)}"
        return save_examples(folder, COLUMNS, train=values, eval=values)

    return make


@pytest.fixture
def run(tmp_path):
    """Transforms; gives the digest of the graph and of the rows."""

    def make(examples, cache=None, model=MODEL_PY):
        settings = write_pipeline(tmp_path / "pipeline", model)
        schema = Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE)
        graph, rows = transform(
            examples, schema, settings, lambda line: None, cache or no_cache("transform")
        )
        files = {blob.path: blob.keys for blob in graph.payload.blobs if blob.path != SAVED}
        return files, _lines(graph.payload.read(SAVED)), rows.digest

    return make


def test_with_and_without_earlier_runs_the_graph_is_the_same_bytes(day, run):
    days = {n: day(n) for n in (1, 2, 3)}
    runs = Runs("transform")
    cache = runs.cache()
    run(window({n: days[n] for n in (1, 2)}), cache)
    runs.end(cache)
    moved = window({n: days[n] for n in (2, 3)})
    cache = runs.cache()
    without = run(moved)
    made = run(moved, cache)
    assert [*set(made[1]) ^ set(without[1])] == []
    assert made == without
    assert runs.said == [
        "transform: reused from run 1: spans 2",
        "transform: span 3 is new",
    ]
    runs.end(cache)
    # A file that came late, and a damaged entry: both spans are gathered again.
    late = window({2: day(2, more=[500]), 3: days[3]})
    damage(runs.found, 3)
    cache = runs.cache()
    assert run(late, cache) == run(late)
    assert "transform: what run 2 kept of span 3 cannot be read: " in runs.said[0]
    assert runs.said[1] == "transform: span 2 has changed since run 2"


def test_a_function_without_analyzers(day, run):
    cache = Runs("transform").cache()
    run(window({n: day(n) for n in (1, 2)}), cache, PLAIN)
    assert [json.loads(kept.payload.read("entries.json")) for kept in cache.kept] == [[], []]


def test_vocabulary_and_numbers_are_those_of_all_rows(day, run, tmp_path):
    """Beside the analysis of the same rows at once: integers exactly, floats up to the last bits.

    Quantiles are approximate and depend on batches, so buckets are left out.
    """
    settings = write_pipeline(tmp_path / "pipeline", MODEL_PY)
    schema = Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE)
    rows = window({n: day(n) for n in (1, 2, 3)})
    whole = type(rows)(rows.shards, rows.rows, rows.rows_in, {}, rows.columns, rows.lineage)
    by_span, at_once = (transform(e, schema, settings)[1].to_pandas("train") for e in (rows, whole))
    assert (by_span["word"] == at_once["word"]).all()
    for name in ("x", "by_word", "twice"):
        assert by_span[name].to_numpy() == pytest.approx(at_once[name].to_numpy(), abs=1e-5)
