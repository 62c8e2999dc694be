"""Statistics are TFDV's own, schemas say what TFDV infers and a pipeline needs besides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from conftest import SAMPLE
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx import schema_file, start, validate
from mfx.columns import as_lists
from mfx.errors import MfxError
from mfx.ingest import ingest, merge
from mfx.read_csv import batches

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


def _on_beam(parts, folder):
    """TFDV's own statistics of these batches."""
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    path = str(folder / "statistics.pb")
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create([as_lists(part) for part in parts])
            | tfdv.GenerateStatistics(tfdv.StatsOptions())
            | tfdv.WriteStatisticsToBinaryFile(path)
        )
    return tfdv.load_stats_binary(path)


def _by_name(proto) -> dict:
    return {feature.path.step[0]: feature for feature in proto.datasets[0].features}


def test_statistics_are_those_of_tfdv_on_beam(statistics, tmp_path):
    reference = _on_beam([BATCH], tmp_path)
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


def test_the_label_is_not_asked_for_at_serving(schema):
    features = {feature.name: feature for feature in schema.feature}
    assert list(features["tips"].not_in_environment) == ["SERVING"]
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


def test_categories_get_a_skew_bound_and_rare_features_may_be_absent(schema):
    features = {feature.name: feature for feature in schema.feature}
    assert features["word"].skew_comparator.infinity_norm.threshold == pytest.approx(0.05)
    assert not features["fare"].HasField("skew_comparator")
    assert not features["rare"].HasField("presence")


@pytest.fixture
def run(tmp_path, settings, datastore):
    """Validate a CSV text; the schema's place is `schema.pbtxt` beside it."""

    def go(text: str):
        (tmp_path / "a.csv").write_text(text)
        given = settings.override(
            data__path=str(tmp_path / "a.csv"), schema__path=str(tmp_path / "schema.pbtxt")
        )
        sources = start.resolve(given)
        examples = merge([ingest(shard, sources, given) for shard in sources.shards], sources)
        return examples, *validate.validate(examples, given)

    return go


HEADER = "n,word,tips\n"
ROWS = "".join(f"{n},{['cash', 'card'][n % 2]},{n / 10}\n" for n in range(600))


def test_without_a_schema_one_is_inferred_that_the_data_meets(run):
    examples, statistics, schema, anomalies = run(HEADER + ROWS)
    assert schema.inferred
    assert schema.text == schema.proposal
    assert {f.name for f in schema.proto().feature} == {"n", "word", "tips"}
    assert [a for a in anomalies.found if a.rule != "COMPARATOR_L_INFTY_HIGH"] == []
    for split in ("train", "eval"):
        assert statistics.proto(split).datasets[0].num_examples == examples.rows[split]
    assert statistics.lineage.parents == (examples.digest,)
    assert schema.lineage.parents == (statistics.digest,)
    assert anomalies.lineage.parents == (schema.digest,)


def test_a_committed_schema_is_held_to(run, tmp_path):
    *_, proposed, _ = run(HEADER + ROWS)
    loose = proposed.proto()
    for feature in loose.feature:
        feature.ClearField("skew_comparator")
    schema_file.write(tmp_path / "schema.pbtxt", text_format.MessageToString(loose))
    _, _, schema, anomalies = run(HEADER + ROWS)
    assert not schema.inferred
    assert anomalies.found == ()
    validate.stop_on_errors(anomalies, schema)

    bad = "".join(f"{n},shells,{n / 10}\n" for n in range(10_000, 10_100))
    _, _, schema, anomalies = run(HEADER + ROWS + bad)
    assert schema.text != schema.proposal
    assert [(a.feature, a.split) for a in anomalies.found] == [("word", "train"), ("word", "eval")]
    assert sum(a.count for a in anomalies.found) == 100
    table = anomalies.to_pandas()
    assert list(table["feature"]) == ["word", "word"]
    with pytest.raises(MfxError) as error:
        validate.stop_on_errors(anomalies, schema)
    assert f"the data breaks {schema.path} in 2 ways:\n- word [train]" in error.value.what
    assert "mfx schema accept" in error.value.remedy


def test_the_sample_has_the_statistics_tfdv_gives_on_beam(tmp_path, settings):
    """A few hundred taxi rows: every field of the proto is equal, sketches included."""
    types = schema_file.column_types(Path(settings.resolve(settings.schema_.path)))
    path = tmp_path / "trips.csv"
    path.write_text("".join(SAMPLE.open().readlines()[:401]))
    (whole,) = batches(path, types, [""], None)
    assert whole.num_rows == 400
    ours, theirs = validate.describe([whole]), _on_beam([whole], tmp_path)
    assert _by_name(ours) == _by_name(theirs)


def test_the_committed_taxi_schema_reads_back(settings):
    path = Path(settings.resolve(settings.schema_.path))
    schema = schema_file.read(path)
    assert schema_file.column_types(path)["trip_seconds"] == "int64"
    again = text_format.Parse(text_format.MessageToString(schema), schema_pb2.Schema())
    assert again == schema
