"""Statistics in memory equal those of TFDV on Beam; value counts are exact, memory is bounded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import text_format
from helpers.flows import SAMPLE
from helpers.tfdv_cases import BATCH, N, assert_same, exact, random_batch
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx.config import Beam
from mfx.ingest.sources.csv import Tally, batches
from mfx.validate import schema_file, tfdv_beam, tfdv_local
from mfx.validate.tfdv_local import ValueCounts


def on_beam(parts, folder, schema=None):
    """TFDV's own statistics of these batches."""
    folder.mkdir(exist_ok=True)
    files = []
    for number, part in enumerate(parts):
        files.append(folder / f"{number}.parquet")
        pq.write_table(pa.Table.from_batches([part]), files[-1])
    return tfdv_beam.describe(files, Beam(), schema)


CASES = {
    "mixed": [BATCH],
    "several batches": [BATCH.slice(0, 123), BATCH.slice(123, 1), BATCH.slice(124)],
    "one row": [BATCH.slice(3, 1)],
    "a column without values": [
        random_batch(fare=pa.nulls(N, pa.float32()), word=pa.nulls(N, pa.binary()))
    ],
    "numbers at the edge": [
        random_batch(
            fare=pa.array([0.0, -0.0, 3.4e38, -3.4e38, 1e-45] * (N // 5), pa.float32()),
            hour=pa.array([2**53 - 1, -(2**53) + 1, 0, 0, 1] * (N // 5)),
        )
    ],
    "a value in each row": [
        random_batch(word=pa.array([b"%06d" % v for v in range(part, part + N)], pa.binary()))
        for part in range(0, 100 * N, N)
    ],
    "lists": [
        random_batch(
            words=pa.array([[b"a", b"b", b"a"], [], None, [b"\xff"], [b"c"] * 30] * (N // 5)),
            ids=pa.array([[n, 2 * n] if n % 3 else [] for n in range(N)], pa.list_(pa.int64())),
            pixels=pa.array([[n / 7, 0.0, -1.5] for n in range(N)], pa.list_(pa.float32())),
            none=pa.nulls(N, pa.list_(pa.int64())),
            empty=pa.array([[]] * N, pa.list_(pa.binary())),
        )
    ],
    "texts": [
        random_batch(word=pa.array([b"", "été, no".encode(), b"\xff\xfe", b"a" * 2000, None] * 100))
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_statistics_are_those_of_tfdv_on_beam(case, tmp_path):
    (made, estimated), reference = tfdv_local.describe(CASES[case]), on_beam(CASES[case], tmp_path)
    ours, theirs = exact(made), exact(reference)
    assert_same(ours, theirs)
    assert not estimated
    assert made.datasets[0].num_examples == reference.datasets[0].num_examples


def test_batches_add_up():
    (parts, _), (whole, _) = (
        tfdv_local.describe([BATCH.slice(0, 123), BATCH.slice(123)]),
        tfdv_local.describe([BATCH]),
    )
    for name, values in exact(parts).items():
        assert values[:3] == exact(whole)[name][:3]


def test_the_sample_has_the_statistics_tfdv_gives_on_beam(tmp_path, settings):
    """A few hundred taxi rows: every field of the proto is equal, sketches included."""
    declared = schema_file.column_types(Path(settings.resolve(settings.schema_.path)))
    types = {name: column.kind for name, column in declared.items()}
    path = tmp_path / "trips.csv"
    path.write_text("".join(SAMPLE.open().readlines()[:401]))
    (whole,) = batches(path, types, settings.data, Tally())
    assert whole.num_rows == 400
    (ours, _), theirs = tfdv_local.describe([whole]), on_beam([whole], tmp_path / "beam")
    assert by_name(ours) == by_name(theirs)


CATEGORY = """
feature { name: "hour" type: INT int_domain { is_categorical: true } }
feature { name: "rare" type: INT int_domain { min: 0 max: 9 is_categorical: true } }
feature { name: "fare" type: FLOAT } feature { name: "tips" type: FLOAT }
feature { name: "word" type: BYTES string_domain { is_categorical: CATEGORICAL_NO } }
"""


def test_integers_that_the_schema_calls_categories_are_counted_as_on_beam(tmp_path):
    schema = text_format.Parse(CATEGORY, schema_pb2.Schema())
    hours = [None if n % 7 == 0 else n % 5 - 2 for n in range(N)]
    batch = random_batch(hour=pa.array(hours, pa.int64()))
    made, estimated = tfdv_local.describe([batch.slice(0, 123), batch.slice(123)], schema)
    reference = on_beam([batch.slice(0, 123), batch.slice(123)], tmp_path, schema)
    assert_same(exact(made), exact(reference))
    assert not estimated
    counted = {n for n, f in by_name(made).items() if f.WhichOneof("stats") == "string_stats"}
    assert counted == {"hour", "rare", "word"}
    top = by_name(made)["hour"].string_stats.top_values
    expected = Counter(str(hour) for hour in hours if hour is not None)
    assert {value.value: value.frequency for value in top} == expected


def test_images_keep_the_statistics_that_tfdv_has_of_them(tmp_path):
    schema = text_format.Parse(
        'feature { name: "word" type: BYTES image_domain {} }', schema_pb2.Schema()
    )
    made = by_name(tfdv_local.describe([BATCH], schema)[0])["word"]
    assert made.bytes_stats == by_name(on_beam([BATCH], tmp_path, schema))["word"].bytes_stats
    assert made.bytes_stats.max_num_bytes == 4


def by_name(proto) -> dict:
    return {feature.path.step[0]: feature for feature in proto.datasets[0].features}


@given(st.lists(st.lists(st.one_of(st.none(), st.binary(max_size=2)), max_size=30), max_size=5))
def test_values_are_counted_exactly(parts):
    counts = ValueCounts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfdv_local, "MERGE_ROWS", 10)
        for part in parts:
            counts.add(pa.array(part, pa.binary()))
        found = counts.table().to_pylist()
    expected = Counter(value for part in parts for value in part if value is not None)
    order = sorted(expected.items(), key=lambda item: (item[1], item[0]), reverse=True)
    assert [(row["value"], row["count"]) for row in found] == order


def test_too_many_values_are_estimated_and_said(monkeypatch):
    monkeypatch.setattr(tfdv_local, "MOST_BYTES", 10_000)
    monkeypatch.setattr(tfdv_local, "MERGE_ROWS", 100)
    names = pa.array([b"%06d" % v for v in range(2000)])
    batch = pa.RecordBatch.from_pydict({"name": names, "word": pa.array([b"a", b"b"] * 1000)})
    proto, estimated = tfdv_local.describe([batch, batch])
    assert estimated == ["name"]
    found = by_name(proto)
    assert found["name"].string_stats.unique == pytest.approx(2000, rel=0.1)
    assert found["word"].string_stats.unique == 2
    assert found["word"].string_stats.top_values[0].value == "b"


def test_large_values_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(tfdv_local, "MOST_BYTES", 10_000)
    counts = tfdv_local.ValueCounts()
    for number in range(30):
        counts.add(pa.array([b"%d" % number * 500], pa.binary()))
        assert counts._pending_bytes <= 10_000
    assert counts.overfull


def test_long_values_are_counted_and_not_shown(monkeypatch):
    monkeypatch.setattr(tfdv_local, "LONGEST", 50)
    texts = pa.array([b"long" * 20, b"long " * 20, b"short", b"short"])
    proto, _ = tfdv_local.describe([pa.RecordBatch.from_pydict({"text": texts})])
    found = by_name(proto)["text"].string_stats
    assert found.unique == 3
    assert [value.value for value in found.top_values] == ["short", *["__LARGE_BYTES__"] * 2]
