"""Statistics are TFDV's own; an inferred schema is TFDV's plus what a pipeline needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from helpers.flows import SAMPLE
from helpers.small_world import save_examples
from helpers.tfdv_cases import assert_same, exact, random_batch
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge
from mfx.validate import _private, schema_file, tfdv_local, validate
from mfx.validate.anomalies import stop_on_errors

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
    monkeypatch.setitem(_private.CHECKED, "tensorflow-data-validation", ("0.0.1",))
    slow, _, _ = validate.validate(examples, settings)
    assert quick.engine == "TFDV in memory"
    why = f"the engine in memory does not cover TFDV {tfdv.__version__}"
    assert slow.engine == f"TFDV on Beam ({why})"
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
    """Validate a CSV text; its schema, if any, is `schema.pbtxt` beside it."""

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
    assert schema_file.column_types(path)["trip_seconds"].kind == "int64"
    again = text_format.Parse(text_format.MessageToString(schema), schema_pb2.Schema())
    assert again == schema


CATEGORIES = """
feature { name: "hour" type: INT int_domain { min: 0 max: 23 is_categorical: true }
  skew_comparator { infinity_norm { threshold: 0.05 } } }
feature { name: "word" type: BYTES skew_comparator { infinity_norm { threshold: 0.05 } } }
feature { name: "x" type: FLOAT } feature { name: "y" type: INT bool_domain {} }
"""
KINDS = {"hour": "int64", "word": "bytes", "x": "float32", "y": "int64"}


@pytest.fixture
def judge(tmp_path, settings, datastore):
    """Validate given rows of each split, with a committed schema or without."""

    def go(train: dict, evaluated: dict, schema: str = "", kinds=KINDS, split=None, **others):
        path = tmp_path / "schema.pbtxt"
        if schema:
            path.write_text(schema)
        given = settings.override(
            schema__path=str(path), data__split=split or {"train": 2, "eval": 1}
        )
        folder = Path(tempfile.mkdtemp(dir=tmp_path)) / "raw"
        examples = save_examples(folder, kinds, train=train, eval=evaluated, **others)
        return validate.validate(examples, given)

    return go


def rows(count: int, hours: int = 4, first: int = 0) -> dict:
    hour = [n % hours for n in range(count)]
    return {
        "hour": hour,
        "word": [b"w%d" % n for n in hour],
        "x": [float(first + n) for n in range(count)],
        "y": [n // 2 % 2 for n in range(count)],
    }


def test_categories_stored_as_integers_are_compared_as_texts_are(judge):
    """4 hours with a share of 1/4 each, 2 with 1/2 each: the distance is 0.25 by hand."""
    statistics, schema, anomalies = judge(rows(400), rows(200, 2), CATEGORIES)
    found = {a.feature: a for a in anomalies.errors}
    assert set(found) == {"hour", "word"}
    for anomaly in found.values():
        assert anomaly.rule == "COMPARATOR_L_INFTY_HIGH"
        assert " 0.25 " in anomaly.observed
    hour = statistics.to_pandas("train").loc["hour"]
    assert (hour["unique"], hour["top_share"]) == (4, 0.25)
    proposed = {f.name: f for f in text_format.Parse(schema.proposal, schema_pb2.Schema()).feature}
    assert proposed["hour"].int_domain.is_categorical
    assert proposed["hour"].skew_comparator.infinity_norm.threshold == pytest.approx(0.25)
    assert schema.fits


def test_a_category_and_a_bool_out_of_their_domain_are_found(judge):
    bad = rows(400)
    bad["hour"][7], bad["y"][9] = 24, 2
    _, _, anomalies = judge(bad, rows(200, first=400), CATEGORIES)
    assert [(a.feature, a.rule, a.count) for a in anomalies.errors] == [
        ("hour", "INT_TYPE_BIG_INT", 1),
        ("y", "INT_TYPE_BIG_INT", 1),
    ]


def test_a_schema_without_environments_is_held_to(judge):
    assert judge(rows(400), rows(200, first=400), CATEGORIES)[2].found == ()


def test_what_the_schema_asks_for_and_a_run_does_not_check_is_a_warning(judge):
    drift = 'feature { name: "x" type: FLOAT drift_comparator { jensen_shannon_divergence {} } }'
    schema = CATEGORIES.replace('feature { name: "x" type: FLOAT }', drift)
    (anomaly,) = judge(rows(400), rows(200, first=400), schema)[2].found
    assert (anomaly.feature, anomaly.rule) == ("x", "SCHEMA_NOT_CHECKED")
    assert anomaly.severity == "WARNING"
    assert "drift_comparator is not checked" in anomaly.observed


def test_planted_skew_stops_a_first_run_and_accepting_it_is_of_use(judge, tmp_path):
    skewed = rows(200, first=400) | {"word": [b"w0"] * 200}
    _, schema, anomalies = judge(rows(400), skewed)
    assert schema.inferred
    with pytest.raises(MfxError) as stopped:
        stop_on_errors(anomalies, schema)
    message = str(stopped.value)
    assert "the data breaks the schema inferred from it in 1 ways:\n- word [train vs" in message
    assert "raise skew_threshold under [schema]" in message
    assert "schema.pbtxt" not in message
    assert message.endswith("mfx schema accept")

    _, _, anomalies = judge(rows(400), skewed, schema.proposal)
    assert anomalies.found == ()


def test_the_key_of_the_split_is_not_compared(judge):
    _, schema, anomalies = judge(
        rows(400), rows(200, first=400) | {"word": [b"z"] * 200}, split={"key": ["word"]}
    )
    features = {f.name: f for f in schema.proto().feature}
    assert not features["word"].HasField("skew_comparator")
    assert anomalies.found == ()


def test_the_column_that_divides_the_rows_is_not_compared(judge):
    split = {"by": "word", "values": {"train": ["w0", "w1", "w2", "w3"], "eval": ["z"]}}
    evaluated = rows(200, first=400) | {"word": [b"z"] * 200}
    _, schema, anomalies = judge(rows(400), evaluated, split=split)
    features = {f.name: f for f in schema.proto().feature}
    assert not features["word"].HasField("skew_comparator")
    assert anomalies.found == ()


def test_further_splits_have_statistics_and_are_held_to_the_schema(judge):
    test = rows(50, first=600)
    test["hour"][7] = 24
    statistics, _, anomalies = judge(
        rows(400),
        rows(200, first=400),
        CATEGORIES,
        test=test,
        split={"train": 8, "eval": 4, "test": 1},
    )
    assert statistics.splits == ("train", "eval", "test")
    assert statistics.proto("test").datasets[0].num_examples == 50
    assert [(a.feature, a.split, a.rule) for a in anomalies.errors] == [
        ("hour", "test", "INT_TYPE_BIG_INT")
    ]


def test_an_inferred_schema_is_of_all_splits(judge):
    """Values that only the test split has are no anomalies, and its skew is not judged."""
    test = rows(50, first=600) | {"word": [b"new"] * 50}
    _, schema, anomalies = judge(rows(400), rows(200, first=400), test=test)
    assert "new" in schema.text
    assert anomalies.found == ()


def test_columns_of_more_values_than_tfdv_compares_get_no_bound(judge):
    many = {"hour": "int64", "word": "bytes", "x": "float32", "y": "int64"}
    ids = rows(3000) | {"word": [b"id%d" % n for n in range(3000)]}
    features = {f.name: f for f in judge(ids, rows(200, first=3000), kinds=many)[1].proto().feature}
    assert not features["word"].HasField("skew_comparator")


@pytest.mark.parametrize(
    ("values", "severity", "likely"),
    [
        (1, "WARNING", "by chance this happens with probability 0.67"),
        (90, "ERROR", "90 values in train, none"),
    ],
)
@pytest.mark.parametrize("lacking", ["train", "eval"])
def test_a_feature_that_one_split_lacks_is_an_anomaly(judge, values, severity, likely, lacking):
    some = rows(400, first=0) | {"word": [b"w"] * values + [None] * (400 - values)}
    none = rows(400, first=400) | {"word": [None] * 400}
    given = (some, none) if lacking == "eval" else (none, some)
    _, schema, anomalies = judge(*given)
    (anomaly,) = anomalies.found
    assert (anomaly.feature, anomaly.rule) == ("word", "FEATURE_IN_ONE_SPLIT")
    assert (anomaly.severity, anomaly.count) == (severity, values)
    if lacking == "eval":
        assert likely in anomaly.observed
    assert schema.fits == (severity == "WARNING")
    if severity == "ERROR":
        with pytest.raises(MfxError) as stopped:
            stop_on_errors(anomalies, schema)
        assert "schema accept" not in str(stopped.value)

    said = 'feature { name: "word" type: BYTES presence { min_fraction: 0 } }'
    rest = 'feature { name: "hour" type: INT } feature { name: "x" type: FLOAT }'
    held = said + rest + 'feature { name: "y" type: INT }'
    assert judge(*given, held)[2].found == ()
    assert judge(*given, held.replace("presence { min_fraction: 0 }", ""))[2].found == (anomaly,)


def test_an_inferred_schema_is_met_by_its_own_data(judge):
    """The range covers both splits; TFDV alone gives `hour` the range of eval here."""
    train = rows(400) | {"hour": [0, 1] * 200}
    _, schema, anomalies = judge(train, rows(200, first=400) | {"hour": [1, 2] * 100})
    assert schema.fits
    assert anomalies.errors == ()


def test_small_samples_and_equal_rows_pass_their_first_run(judge):
    """The distance is 0.1: above the threshold, but below what chance explains."""
    for times in (1, 10):
        words = [b"a"] * 20 + [b"b"] * 20
        other = [b"a"] * 12 + [b"b"] * 8
        train = {"word": words * times, "x": [float(n) for n in range(40)] * times}
        evaluated = {"word": other * times, "x": [float(n) for n in range(40, 60)] * times}
        _, schema, anomalies = judge(train, evaluated, kinds={"word": "bytes", "x": "float32"})
        assert anomalies.found == ()
        assert schema.text == schema.proposal


LIST_KINDS = {"tokens": "bytes list", "ids": "int64 list", "pixels": "float32 list"}


def lists(count: int) -> dict:
    return {
        "tokens": [[b"w%d" % (n % m) for m in range(1, n % 4)] or None for n in range(count)],
        "ids": [[n % 5] * (n % 3) for n in range(count)],
        "pixels": [[n / 7, 1.0, 0.0] for n in range(count)],
    }


def test_a_schema_of_lists_is_inferred_and_met(judge):
    """Lists of one length get it as their shape."""
    _, schema, anomalies = judge(lists(400), lists(200), kinds=LIST_KINDS)
    assert anomalies.found == ()
    features = {feature.name: feature for feature in schema.proto().feature}
    assert [dim.size for dim in features["pixels"].shape.dim] == [3]
    assert features["pixels"].presence.min_fraction == 1
    assert not features["ids"].HasField("shape")
    path = Path(schema.path)
    path.write_text(schema.text)
    kinds = {name: column.kind for name, column in schema_file.column_types(path).items()}
    assert kinds == LIST_KINDS


def test_lists_of_another_length_break_a_schema_with_a_shape(judge):
    _, schema, _ = judge(lists(40), lists(20), kinds=LIST_KINDS)
    others = lists(20)
    others["pixels"][3] = [1.0]
    *_, anomalies = judge(lists(40), others, schema.text, kinds=LIST_KINDS)
    (error,) = anomalies.errors
    assert (error.feature, error.rule, error.count) == ("pixels", "INVALID_FEATURE_SHAPE", 1)
