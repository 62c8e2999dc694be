"""Statistics are TFDV's own, schemas say what TFDV infers and a pipeline needs besides."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from conftest import SAMPLE
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from test_tfdv_local import assert_same, exact, random_batch

from mfx import schema_file, start, tfdv_local, validate
from mfx.anomalies import stop_on_errors
from mfx.errors import MfxError
from mfx.ingest import ingest, merge

BATCH = random_batch()


@pytest.fixture(scope="module")
def statistics():
    return tfdv_local.describe([BATCH])[0]


@pytest.fixture
def schema(statistics, settings):
    return validate.infer_schema(statistics, tfdv_local.describe([random_batch()])[0], settings)


def test_a_version_that_was_not_checked_goes_to_beam(settings, datastore, monkeypatch):
    settings = settings.override(data__path=str(SAMPLE))
    sources = start.resolve(settings)
    examples = merge([ingest(sources.shards[0], sources, settings)], sources)
    quick, _, _ = validate.validate(examples, settings)
    monkeypatch.setattr(tfdv_local, "VERSIONS", ("0.0.1",))
    slow, _, _ = validate.validate(examples, settings)
    assert quick.engine == "TFDV in memory"
    assert slow.engine == (f"TFDV on Beam (in memory does not cover TFDV {tfdv.__version__})")
    assert_same(exact(quick.proto("train")), exact(slow.proto("train")))


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


def test_columns_whose_values_are_estimates_are_named(run, monkeypatch):
    monkeypatch.setattr(tfdv_local, "MOST_BYTES", 0)
    monkeypatch.setattr(tfdv_local, "MERGE_ROWS", 0)
    _, statistics, _, _ = run(HEADER + ROWS)
    assert statistics.engine == "TFDV in memory (unique and top values of word are estimates)"


def test_a_committed_schema_is_held_to(run, tmp_path):
    *_, proposed, _ = run(HEADER + ROWS)
    loose = proposed.proto()
    for feature in loose.feature:
        feature.ClearField("skew_comparator")
    schema_file.write(tmp_path / "schema.pbtxt", text_format.MessageToString(loose))
    _, _, schema, anomalies = run(HEADER + ROWS)
    assert not schema.inferred
    assert anomalies.found == ()
    stop_on_errors(anomalies, schema)

    bad = "".join(f"{n},shells,{n / 10}\n" for n in range(10_000, 10_100))
    _, _, schema, anomalies = run(HEADER + ROWS + bad)
    assert schema.text != schema.proposal
    assert [(a.feature, a.split) for a in anomalies.found] == [("word", "train"), ("word", "eval")]
    assert sum(a.count for a in anomalies.found) == 100
    table = anomalies.to_pandas()
    assert list(table["feature"]) == ["word", "word"]
    with pytest.raises(MfxError) as error:
        stop_on_errors(anomalies, schema)
    assert f"the data breaks {schema.path} in 2 ways:\n- word [train]" in error.value.what
    assert "mfx schema accept" in error.value.remedy


def test_the_committed_taxi_schema_reads_back(settings):
    path = Path(settings.resolve(settings.schema_.path))
    schema = schema_file.read(path)
    assert schema_file.column_types(path)["trip_seconds"] == "int64"
    again = text_format.Parse(text_format.MessageToString(schema), schema_pb2.Schema())
    assert again == schema
