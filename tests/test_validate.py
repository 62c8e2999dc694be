"""Statistics are TFDV's own, schemas say what TFDV infers and a pipeline needs, anomalies tell
people what to do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx import validate
from mfx.anomalies import explain
from mfx.columns import as_lists
from mfx.statistics_view import feature_rows

RANDOM = np.random.default_rng(0)
N = 500


def _batch(**changes) -> pa.RecordBatch:
    columns = {
        "fare": pa.array(np.round(RANDOM.gamma(2, 5, N), 2), pa.float32()),
        "hour": pa.array(RANDOM.integers(0, 24, N), pa.int64()),
        "word": pa.array(RANDOM.choice([b"cash", b"card", b"none"], N, p=[0.6, 0.3, 0.1])),
        "tips": pa.array([None if n % 3 else n / 10 for n in range(N)], pa.float32()),
        "rare": pa.array([7 if n == 3 else None for n in range(N)], pa.int64()),
    }
    columns |= changes
    kept = {name: column for name, column in columns.items() if column is not None}
    return pa.RecordBatch.from_arrays(list(kept.values()), names=list(kept))


BATCH = _batch()


@pytest.fixture(scope="module")
def statistics():
    return validate.describe([BATCH])


@pytest.fixture
def schema(statistics, settings):
    return validate.infer_schema(statistics, validate.describe([_batch()]), settings)


def _exact(proto) -> dict:
    """All that TFDV does not approximate by sketches of batches."""
    found = {}
    for feature in proto.datasets[0].features:
        stats = getattr(feature, feature.WhichOneof("stats"))
        common = stats.common_stats
        values = [common.num_non_missing, common.num_missing, common.tot_num_values]
        if feature.WhichOneof("stats") == "num_stats":
            values += [stats.mean, stats.std_dev, stats.num_zeros, stats.min, stats.max]
            values += [stats.median]
        else:
            values += [stats.unique, stats.avg_length]
            values += [part for v in stats.top_values for part in (v.value, v.frequency)]
        found[feature.path.step[0]] = values
    return found


def test_statistics_are_those_of_tfdv_on_beam(statistics, tmp_path):
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    path = str(tmp_path / "statistics.pb")
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create([as_lists(BATCH)])
            | tfdv.GenerateStatistics(tfdv.StatsOptions())
            | tfdv.WriteStatisticsToBinaryFile(path)
        )
    reference = tfdv.load_stats_binary(path)
    ours, theirs = _exact(statistics), _exact(reference)
    assert ours.keys() == theirs.keys()
    for name in ours:
        for mine, other in zip(ours[name], theirs[name], strict=True):
            same = (
                mine == other if isinstance(mine, str) else mine == pytest.approx(other, rel=1e-9)
            )
            assert same, name
    assert statistics.datasets[0].num_examples == reference.datasets[0].num_examples == N


def test_batches_add_up():
    parts = validate.describe([BATCH.slice(0, 123), BATCH.slice(123)])
    whole = _exact(validate.describe([BATCH]))
    for name, values in _exact(parts).items():
        assert values[:3] == whole[name][:3]


def test_rows_for_tables_are_hand_checkable():
    batch = pa.RecordBatch.from_arrays(
        [pa.array([1, 0, None, 3], pa.int64()), pa.array([b"a", b"b", b"a", None])], ["n", "w"]
    )
    number, word = feature_rows(validate.describe([batch]))
    assert number["missing"] == 0.25
    assert number["mean"] == pytest.approx(4 / 3)
    assert (number["min"], number["max"], number["zeros"]) == (0, 3, pytest.approx(1 / 3))
    assert (word["unique"], word["top"], word["top_share"]) == (2, "a", pytest.approx(2 / 3))


def test_the_label_is_not_asked_for_at_serving(schema):
    features = {feature.name: feature for feature in schema.feature}
    assert list(features["tips"].not_in_environment) == ["SERVING"]
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


def test_categories_get_a_skew_bound_and_rare_features_may_be_absent(schema):
    features = {feature.name: feature for feature in schema.feature}
    assert features["word"].skew_comparator.infinity_norm.threshold == pytest.approx(0.05)
    assert not features["fare"].HasField("skew_comparator")
    assert not features["rare"].HasField("presence")


def _anomalies(batch, schema, split="train", other=None):
    statistics = validate.describe([batch])
    compared = None if other is None else validate.describe([other])
    found = tfdv.validate_statistics(
        statistics, schema, environment="TRAINING", serving_statistics=compared
    )
    return list(explain(found, statistics, schema, split))


def test_good_data_has_no_anomalies(schema):
    assert _anomalies(BATCH, schema, other=_batch()) == []


@pytest.mark.parametrize(
    ("change", "rule", "expected", "count", "remedy"),
    [
        (
            {"word": pa.array([b"cash"] * (N - 3) + [b"shells"] * 3)},
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
            "at least 100% of the values among 3 known ones (card, cash, none)",
            3,
            "add them to the domain",
        ),
        ({"fare": None}, "SCHEMA_MISSING_COLUMN", "a value in 100% of the examples", N, "back"),
        (
            {"fare": pa.array([None] * 5 + [1.0] * (N - 5), pa.float32())},
            "FEATURE_TYPE_LOW_FRACTION_PRESENT",
            "a value in 100% of the examples",
            5,
            "lower presence of 'fare'",
        ),
        ({"new": pa.array([1] * N)}, "SCHEMA_NEW_COLUMN", "no such feature", N, "Drop the column"),
    ],
    ids=["unknown word", "missing column", "missing values", "new column"],
)
def test_each_anomaly_says_what_was_expected_and_what_to_do(
    schema, change, rule, expected, count, remedy
):
    (anomaly,) = _anomalies(_batch(**change), schema)
    assert anomaly.rule == rule
    assert anomaly.feature == next(iter(change))
    assert anomaly.severity == "ERROR"
    assert anomaly.expected == expected
    assert anomaly.count == count
    assert remedy in anomaly.remedy
    assert anomaly.observed


@pytest.mark.parametrize(("bad", "rule"), [(24, "INT_TYPE_BIG_INT"), (-1, "INT_TYPE_SMALL_INT")])
def test_values_out_of_bounds(schema, bad, rule):
    hour = next(feature for feature in schema.feature if feature.name == "hour")
    hour.int_domain.min, hour.int_domain.max = 0, 23
    column = BATCH.column(1).to_pylist()
    (anomaly,) = _anomalies(_batch(hour=pa.array([bad, *column[1:]])), schema)
    assert (anomaly.rule, anomaly.expected) == (rule, "values from 0 to 23")
    # A histogram bucket may hold good and bad values: then the count is not known.
    assert anomaly.count in (1, None)
    assert str(bad) in anomaly.observed


def test_skew_between_the_splits(schema):
    other = _batch(word=pa.array([b"cash"] * N))
    (anomaly,) = _anomalies(BATCH, schema, other=other)
    assert (anomaly.split, anomaly.feature) == ("train vs eval", "word")
    assert anomaly.rule == "COMPARATOR_L_INFTY_HIGH"
    assert anomaly.expected == "L-infinity distance of at most 0.05"
    assert "skew_comparator of 'word'" in anomaly.remedy


def test_the_committed_taxi_schema_reads_back(settings):
    from pathlib import Path

    from mfx import schema_file

    path = Path(settings.resolve(settings.schema_.path))
    schema = schema_file.read(path)
    assert schema_file.column_types(path)["trip_seconds"] == "int64"
    again = text_format.Parse(text_format.MessageToString(schema), schema_pb2.Schema())
    assert again == schema
