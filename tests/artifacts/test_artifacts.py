"""The small objects between steps: their size, and what a notebook gets from them."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfx import artifacts
from mfx.artifacts import (
    FIRST_RUN,
    OVERALL,
    Anomalies,
    Anomaly,
    Blessing,
    Check,
    Evaluation,
    Examples,
    Part,
    PushedModel,
    Replay,
    Schema,
    Shard,
    SliceKey,
    SliceMetrics,
    SourceFile,
    Sources,
    Statistics,
    store,
)
from mfx.artifacts.examples import paths_in_words
from mfx.artifacts.lineage import Lineage
from mfx.artifacts.store import Payload
from mfx.columns.types import TYPES
from mfx.errors import MfxError

LINEAGE = Lineage("d", "c", "f")
NOTHING = Payload("Pipeline", "local", "/nowhere", ())
KINDS = {"n": "int64", "whole": "int64", "x": "float32", "w": "bytes"}
SCHEMA = pa.schema([(name, TYPES[kind]) for name, kind in KINDS.items()])
ROWS = {
    "n": [1, None, 2**53 + 1, 0],
    "whole": [5, 6, 7, 8],
    "x": [0.5, None, 0.0, 2.0],
    "w": [b"a", "caf\u00e9".encode(), None, b""],
}


@pytest.fixture
def examples(datastore, tmp_path):
    """Four train rows in two shards, one eval row in the second."""
    table = pa.table(ROWS, SCHEMA)
    parts = [(table.slice(0, 3), table.slice(0, 0)), (table.slice(3, 1), table.slice(1, 1))]
    shards = []
    for number, (train, held) in enumerate(parts):
        folder = tmp_path / f"shard{number}"
        folder.mkdir()
        pq.write_table(train, folder / "train.parquet")
        pq.write_table(held, folder / "eval.parquet")
        shards.append(store.save(folder))
    return Examples(tuple(shards), {"train": 4, "eval": 1}, 5, {}, KINDS, LINEAGE)


def test_a_shard_keeps_its_parts_of_files():
    part = Part(10, 30, 2, 3, "5" * 64)
    shard = Shard((SourceFile("a.csv", "1" * 64, 40, part), SourceFile("b.csv", "2" * 64, 7)))
    assert pickle.loads(pickle.dumps(shard)) == shard
    assert shard.size == 27
    others = [part._replace(begin=9), part._replace(end=31), None]
    assert (
        len({replace(shard, files=(shard.files[0]._replace(part=p),)).sha256 for p in others}) == 3
    )
    first = Shard((SourceFile("a.csv", "1" * 64, 40, Part(0, 10, 0)),))
    lineage = Lineage("data", "code", "config")
    files = Sources((first, shard), {}, lineage).files
    assert files == (SourceFile("a.csv", "1" * 64, 40), SourceFile("b.csv", "2" * 64, 7))


def test_rows_come_back_in_order(examples):
    assert examples.to_arrow("train").to_pydict() == ROWS
    assert examples.to_arrow("train").schema == SCHEMA
    assert examples.to_arrow("eval").num_rows == 1
    assert examples.to_arrow("train", ["x"]).to_pydict() == {"x": ROWS["x"]}


def test_lists_of_one_length_come_back(tmp_path, datastore):
    """Transformed features have a width, such as pixels."""
    pixels = pa.table({"pixels": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))})
    pq.write_table(pixels, tmp_path / "train.parquet")
    kinds = {"pixels": "float32[2]"}
    made = Examples((store.save(tmp_path),), {"train": 2}, 2, {}, kinds, LINEAGE)
    assert made.to_arrow("train") == pixels
    assert made.to_pandas("train").pixels.map(list).to_list() == [[1, 2], [3, 4]]


def test_batches_are_as_small_as_asked(examples):
    sizes = [batch.num_rows for batch in examples.batches("train", rows=2)]
    assert sizes == [2, 2], "shards do not show"
    (batch,) = examples.batches("eval", columns=["w"])
    assert batch.schema.names == ["w"]


def test_pandas_keeps_integers_and_text(examples):
    frame = examples.to_pandas("train")
    assert list(frame.columns) == list(KINDS)
    assert frame.n.dtype == frame.whole.dtype == pd.Int64Dtype()
    assert frame.n.tolist()[2] == 2**53 + 1
    assert frame.n.isna().tolist() == [False, True, False, False]
    assert frame.x.dtype == np.float32
    assert frame.x.isna().tolist() == [False, True, False, False]
    assert frame.w.tolist() == ["a", "caf\u00e9", None, ""]


def test_tfrecords_hold_present_values_only(examples, tmp_path):
    import tensorflow as tf

    path = tmp_path / "train.tfrecord"
    assert examples.to_tfrecord("train", path) == 4
    found = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        row = {}
        for name in KINDS:
            feature = features[name]
            kind = feature.WhichOneof("kind")
            values = list(getattr(feature, kind).value) if kind else []
            row[name] = values[0] if values else None
            assert len(values) <= 1
        found.append(row)
    assert found == pa.table(ROWS).to_pylist()


def test_an_unknown_split_is_named(examples):
    for read in (examples.to_arrow, examples.to_pandas, lambda s: list(examples.batches(s))):
        with pytest.raises(MfxError, match="no split 'test': expected one of train, eval"):
            read("test")


def test_the_temporary_files_are_gone_afterwards(examples):
    with examples.files("train") as paths:
        assert [path.exists() for path in paths] == [True, True]
    assert not any(path.exists() for path in paths)


def test_columns_are_given_as_asked(examples):
    names = ["w", "n"]
    assert [batch.schema.names for batch in examples.batches("train", columns=names)] == [names]
    with pytest.raises(ValueError, match="no feature 'gone' in the data"):
        next(examples.batches("train", columns=["n", "gone"]))


def test_digests_are_of_the_rows_in_order(examples):
    turned = replace(examples, shards=examples.shards[::-1])
    assert turned.digest != examples.digest
    assert replace(examples, lineage=Lineage("x", "y", "z")).digest == examples.digest


def test_what_travels_is_small_whatever_the_data(datastore, tmp_path):
    folder = tmp_path / "big"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 2**62, 300_000)
    for split in ("train", "eval"):
        pq.write_table(pa.table({"n": noise}), folder / f"{split}.parquet")
    made = Examples((store.save(folder),), {"train": 1, "eval": 1}, 2, {}, {"n": "int64"}, LINEAGE)
    assert made.shards[0].size > 2_000_000
    pickled = pickle.dumps(made)
    assert len(pickled) < 2000
    assert pickle.loads(pickled) == made
    assert pickle.loads(pickled).to_arrow("train").num_rows == 300_000


def test_ten_thousand_files_travel_in_less_than_a_mebibyte():
    names = [f"s3://bucket/some/prefix/day=2026-11-26/part-{n:05d}.csv" for n in range(10_000)]
    files = tuple(SourceFile(n, hashlib.sha256(n.encode()).hexdigest(), len(n)) for n in names)
    made = Sources((Shard(files[:7000]), Shard(files[7000:])), KINDS, LINEAGE)
    pickled = pickle.dumps(made)
    assert len(pickled) < 2**20
    assert pickle.loads(pickled) == made
    assert pickle.loads(pickled).files == files


def test_a_shard_of_an_older_run_is_one_file():
    old = (
        b"ccopy_reg\n_reconstructor\n(cmfx.artifacts.examples\nShard\nc__builtin__\nobject\nNtR("
        b"dVpath\nV/data/a.csv\nsVsha256\nV" + b"1" * 64 + b"\nsVsize\nI7\nsb."
    )
    assert pickle.loads(old) == Shard((SourceFile("/data/a.csv", "1" * 64, 7),))


def test_a_shard_is_known_by_the_content_of_its_files():
    one, other = SourceFile("a.csv", "1", 3), SourceFile("b.csv", "2", 4)
    assert (Shard((one, other)).size, Shard((one, other)).path) == (7, one.path)
    assert Shard((one, other)).sha256 == Shard((one._replace(path="x/c.csv"), other)).sha256
    assert len({Shard(f).sha256 for f in ((one, other), (other, one), (one,), (other,))}) == 4


def test_many_files_are_shown_in_a_few_words():
    files = [SourceFile(f"{name}.csv", "1", 3) for name in "abcd"]
    assert paths_in_words(files[:1]) == "a.csv"
    assert paths_in_words(files) == "a.csv and 3 more"
    assert paths_in_words(files, most=4) == "a.csv, b.csv, c.csv, d.csv"


def test_statistics_as_a_table(datastore, tmp_path):
    from mfx.validate.tfdv_local import describe

    folder = tmp_path / "statistics"
    folder.mkdir()
    batch = pa.RecordBatch.from_pydict(ROWS, SCHEMA)
    for split, part in (("train", batch), ("eval", batch.slice(0, 2))):
        (folder / f"{split}.pb").write_bytes(describe([part])[0].SerializeToString())
    made = Statistics(store.save(folder), LINEAGE)
    table = made.to_pandas()
    assert set(table.index) == set(KINDS)
    assert table.loc["whole", "mean"] == 6.5
    assert table.loc["n", "missing"] == 0.25
    assert made.to_pandas("eval").loc["whole", "max"] == 6
    assert made.proto("eval").datasets[0].num_examples == 2
    assert made.digest == made.payload.digest


def test_a_schema_gives_its_proto():
    text = 'feature { name: "n" type: INT }'
    made = Schema(text, "schema.pbtxt", False, text, LINEAGE)
    assert made.proto().feature[0].name == "n"
    assert made.digest == replace(made, path="elsewhere").digest
    assert made.digest != replace(made, text="").digest


def _anomaly(severity="ERROR", count=3):
    return Anomaly("train", "n", "RULE", severity, "an n", "an m", count, "Do it.")


def test_only_errors_stop_a_run():
    both = Anomalies((_anomaly(), _anomaly("WARNING")), LINEAGE)
    assert both.errors == (_anomaly(),)
    assert both.to_pandas().shape == (2, 8)
    none = Anomalies((), LINEAGE).to_pandas()
    assert none.empty
    assert list(none.columns)[:3] == ["split", "feature", "rule"]


def test_an_anomaly_is_one_line():
    assert str(_anomaly()) == "n [train] RULE: expected an n; observed an m (3 examples). Do it."
    assert str(_anomaly(count=None)) == "n [train] RULE: expected an n; observed an m. Do it."
    assert "(0 examples)" in str(_anomaly(count=0))


HOUR_3 = SliceKey((("hour", 3),))


def test_checks_and_failures():
    good = Check("auc", OVERALL, "at least 0.8", 0.91234, True)
    bad = Check("auc", HOUR_3, "at least 0.8", None, False)
    assert str(good) == "passed: auc on Overall is 0.9123, needs at least 0.8"
    assert str(bad) == "FAILED: auc on hour:3 has no value, needs at least 0.8"
    assert Blessing(False, (good, bad), FIRST_RUN).failures == (bad,)


def test_metrics_are_tables_by_slice():
    rows = [SliceMetrics(OVERALL, {"auc": 0.9}), SliceMetrics(HOUR_3, {"auc": 0.8})]
    blessing = Blessing(True, (), FIRST_RUN)
    made = Evaluation(rows, [], {}, [0.9], blessing, NOTHING, NOTHING, "x", LINEAGE)
    assert made.metrics().auc.to_dict() == {"Overall": 0.9, "hour:3": 0.8}
    assert made.baseline_metrics().empty
    assert list(made.baseline_metrics().columns) == ["auc"]
    nothing = replace(made, rows=[SliceMetrics(OVERALL, {"auc": None})]).metrics()
    assert nothing.auc.dtype == float and nothing.auc.isna().all()
    assert replace(made, baseline_rows=rows[:1]).baseline_metrics().loc["Overall", "auc"] == 0.9


def test_what_older_versions_left_without_reasons_can_be_read():
    check = Check("auc", HOUR_3, "at least 0.8", None, False)
    made = Evaluation(
        [SliceMetrics(OVERALL, {"auc": 0.0})],
        *([], {}, [0.9], Blessing(False, (check,), FIRST_RUN), NOTHING, NOTHING, "x", LINEAGE),
    )
    for one, new in ((made, ["no_value", "baseline_no_value"]), (check, ["no_value", "checked"])):
        for name in new:
            del one.__dict__[name]
    again = pickle.loads(pickle.dumps(made))
    assert again.no_value is None and again.why_none("auc") == ""
    assert again.metrics().loc["Overall", "auc"] == 0.0
    assert again.blessing.failures and not again.blessing.unchecked
    assert again.blessing.outcome == "0 of 1 checks passed"
    assert str(again.blessing.checks[0]).startswith("FAILED: auc on hour:3 has no value")


def test_a_model_without_a_version_was_not_pushed():
    replay = Replay(100, 0.0, 1.0)
    assert replay.valid
    assert not Replay(0, None, None, "no answer").valid
    assert not PushedModel("", None, "not blessed", replay, LINEAGE).pushed
    assert PushedModel("/models/taxi/1", 1, "blessed", replay, LINEAGE).pushed


@pytest.mark.parametrize("name", sorted(set(artifacts.__all__) - {"SPLITS"}))
def test_runs_pickled_when_this_was_one_file_can_be_read(name):
    assert pickle.loads(f"cmfx.artifacts\n{name}\n.".encode()) is getattr(artifacts, name)


def test_an_evaluation_that_names_its_slices_is_of_another_version():
    blessing = Blessing(True, (), FIRST_RUN)
    made = Evaluation([], [], {}, [], blessing, NOTHING, NOTHING, "x", LINEAGE)
    made.rows.append({"slice": "Overall", "auc": 0.9})
    with pytest.raises(AttributeError, match="names of slices"):
        pickle.loads(pickle.dumps(made))


def test_why_a_metric_has_no_value_is_found_by_slice_or_its_name():
    rows = [SliceMetrics(OVERALL, {"auc": 0.9}), SliceMetrics(HOUR_3, {"auc": None})]
    blessing = Blessing(True, (), FIRST_RUN)
    why = {HOUR_3: {"auc": "one class only"}}
    made = Evaluation(rows, [], {}, [], blessing, NOTHING, NOTHING, "x", LINEAGE, why)
    assert made.why_none("auc", HOUR_3) == made.why_none("auc", "hour:3") == "one class only"
    assert made.why_none("auc") == made.why_none("auc", HOUR_3, baseline=True) == ""
