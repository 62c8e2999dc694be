"""Each broken rule in words: what was expected, what was seen, how often, what to do."""

from __future__ import annotations

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx.artifacts import Anomalies, Schema
from mfx.artifacts.lineage import Lineage
from mfx.errors import MfxError
from mfx.validate.anomalies import explain, not_checked, stop_on_errors, too_rare_for_statistics
from mfx.validate.tfdv_local import describe

LINEAGE = Lineage("data", "code", "config")
N = 600
HOURS = pa.array([n % 24 for n in range(N)], pa.int64())
FARES = pa.array([n / 4 for n in range(N)], pa.float32())
WORDS = pa.array([[b"card", b"cash"][n % 2] for n in range(N)])
GOOD = {"fare": FARES, "hour": HOURS, "word": WORDS}

SCHEMA = """
feature { name: "fare" type: FLOAT presence { min_fraction: 1 min_count: 1 }
  float_domain { min: 0 max: 200 } }
feature { name: "hour" type: INT presence { min_fraction: 1 min_count: 1 }
  int_domain { min: 0 max: 23 } }
feature { name: "word" type: BYTES presence { min_fraction: 0.9 min_count: 1 } domain: "words"
  skew_comparator { infinity_norm { threshold: 0.05 } } }
string_domain { name: "words" value: "card" value: "cash" }
"""


def _found(columns, other=None, schema=SCHEMA, parts=1):
    """Check a batch against a schema, with its values given in several parts."""
    batch = pa.RecordBatch.from_pydict(columns)
    proto = text_format.Parse(schema, schema_pb2.Schema())
    statistics = describe([batch])[0]
    served = None if other is None else describe([pa.RecordBatch.from_pydict(other)])[0]
    judged = tfdv.validate_statistics(statistics, proto, serving_statistics=served)
    size = -(-batch.num_rows // parts)

    def values(name):
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size).column(batch.schema.get_field_index(name))

    return list(explain(judged, statistics, proto, "train", values))


def _with(name, *values):
    """The good columns, with the first values of one replaced."""
    column = GOOD[name]
    return GOOD | {name: pa.array([*values, *column.to_pylist()[len(values) :]], column.type)}


def test_good_data_has_no_anomalies():
    assert _found(GOOD, other=GOOD) == []


@pytest.mark.parametrize(
    ("columns", "feature", "rule", "expected", "observed", "count", "remedy"),
    [
        (
            _with("word", b"shells", b"", b"shells", None),
            "word",
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
            "at least 100% of the values among 2 known ones (card, cash)",
            "shells",
            3,
            "Fix the values, add them to the domain, or lower min_domain_mass of 'word' in the "
            "schema.",
        ),
        (
            _with("hour", 24, 99, 24, None),
            "hour",
            "INT_TYPE_BIG_INT",
            "values from 0 to 23",
            "99",
            3,
            "Fix the values, or widen the domain of 'hour' in the schema.",
        ),
        (
            _with("hour", -1, -5),
            "hour",
            "INT_TYPE_SMALL_INT",
            "values from 0 to 23",
            "-5",
            2,
            "Fix the values, or widen the domain of 'hour' in the schema.",
        ),
        (
            _with("fare", 201.5, 200.0, 250.0),
            "fare",
            "FLOAT_TYPE_BIG_FLOAT",
            "values from 0.0 to 200.0",
            "250",
            2,
            "Fix the values, or widen the domain of 'fare' in the schema.",
        ),
        (
            _with("fare", -0.5),
            "fare",
            "FLOAT_TYPE_SMALL_FLOAT",
            "values from 0.0 to 200.0",
            "-0.5",
            1,
            "Fix the values, or widen the domain of 'fare' in the schema.",
        ),
        (
            _with("fare", *[None] * 7),
            "fare",
            "FEATURE_TYPE_LOW_FRACTION_PRESENT",
            "a value in 100% of the examples",
            "fewer examples",
            7,
            "Bring the column back, or lower presence of 'fare' in the schema.",
        ),
        (
            {"fare": FARES, "hour": HOURS},
            "word",
            "SCHEMA_MISSING_COLUMN",
            "a value in 90% of the examples",
            "missing",
            N,
            "Bring the column back, or lower presence of 'word' in the schema.",
        ),
        (
            GOOD | {"tip": pa.array([1.0, None] * (N // 2), pa.float32())},
            "tip",
            "SCHEMA_NEW_COLUMN",
            "no such feature",
            "New column",
            N // 2,
            "Drop the column, or add the feature to the schema.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isupper() else "",
)
def test_a_broken_rule(columns, feature, rule, expected, observed, count, remedy):
    for parts in (1, 7):
        found = [a for a in _found(columns, parts=parts) if a.rule == rule]
        (anomaly,) = found
        assert (anomaly.feature, anomaly.split, anomaly.severity) == (feature, "train", "ERROR")
        assert anomaly.expected == expected
        assert observed in anomaly.observed
        assert anomaly.count == count
        assert anomaly.remedy == remedy
        assert str(anomaly).startswith(f"{feature} [train] {rule}: expected {expected}; observed ")
        assert f"({count} examples)" in str(anomaly)


def test_a_column_of_another_type():
    found = _found(GOOD | {"hour": pa.array([b"noon"] * N)})
    assert [a.rule for a in found] == ["UNEXPECTED_DATA_TYPE", "INT_TYPE_NOT_INT_STRING"]
    for anomaly in found:
        assert (anomaly.feature, anomaly.expected, anomaly.count) == ("hour", "integers", None)
        assert "examples)" not in str(anomaly)


def test_counts_are_exact_where_statistics_are_sketches():
    """More unknown words than TFDV keeps, and outliers that its histogram spreads over buckets."""
    schema = SCHEMA.replace("max: 200", "max: 1000000").replace("max: 23", "max: 4000")
    columns = {
        "fare": pa.array([float(n) for n in range(9000)], pa.float32()),
        "hour": pa.array([n if n % 1000 else 5000 + n for n in range(4000)] + [0] * 5000),
        "word": pa.array([f"w{n // 2}".encode() for n in range(8000)] + [b"cash"] * 1000),
    }
    found = {a.feature: a for a in _found(columns, schema=schema, parts=3)}
    assert found["hour"].count == 4
    assert found["word"].count == 8000
    assert set(found) == {"hour", "word"}


def test_a_domain_in_the_feature_itself_counts_too():
    schema = SCHEMA.replace('domain: "words"', 'string_domain { value: "card" }')
    (anomaly,) = _found(GOOD, schema=schema)
    assert anomaly.count == N // 2
    assert anomaly.expected == "at least 100% of the values among 1 known ones (card)"


def test_skew_between_the_splits():
    other = GOOD | {"word": pa.array([b"cash"] * N)}
    (anomaly,) = _found(GOOD, other=other)
    assert (anomaly.split, anomaly.feature) == ("train vs eval", "word")
    assert anomaly.rule == "COMPARATOR_L_INFTY_HIGH"
    assert anomaly.expected == "L-infinity distance of at most 0.05"
    assert "0.5" in anomaly.observed
    assert anomaly.count is None
    assert "raise skew_comparator of 'word' in the schema" in anomaly.remedy


def test_numbers_are_compared_by_their_divergence():
    bound = "skew_comparator { jensen_shannon_divergence { threshold: 0.1 } }"
    schema = SCHEMA.replace("max: 200 }", f"max: 200 }} {bound}")
    other = GOOD | {"fare": pa.array([150.0] * N, pa.float32())}
    (anomaly,) = _found(GOOD, other=other, schema=schema)
    assert anomaly.rule.startswith("COMPARATOR_JENSEN_SHANNON")
    assert anomaly.expected == "Jensen-Shannon divergence of at most 0.1"


def test_too_few_rows_concern_the_whole_data_set():
    (anomaly,) = _found(GOOD, schema=SCHEMA + "dataset_constraints { min_examples_count: 1000 }")
    assert (anomaly.feature, anomaly.rule) == ("<dataset>", "DATASET_LOW_NUM_EXAMPLES")
    assert anomaly.count is None
    assert anomaly.remedy == "Give more data, or change dataset_constraints in the schema."


def test_several_faults_are_several_anomalies_sorted_by_feature():
    columns = GOOD | {
        "word": pa.array([b"shells"] * N),
        "hour": pa.array([30] * N),
        "fare": pa.array([-1.0] * N, pa.float32()),
    }
    found = _found(columns)
    assert [a.feature for a in found] == ["fare", "hour", "word"]
    assert [a.count for a in found] == [N, N, N]


def test_an_inferred_schema_is_no_file_to_edit():
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    first, other = (
        describe([pa.RecordBatch.from_pydict({**GOOD, "word": words})])[0]
        for words in (WORDS, pa.array([b"cash"] * N))
    )
    judged = tfdv.validate_statistics(first, schema, serving_statistics=other)
    (anomaly,) = explain(judged, first, schema, "train", lambda _: [], in_file=False)
    assert anomaly.remedy.endswith("or raise skew_threshold under [schema].")


def test_distinct_values_are_counted_where_the_schema_bounds_them():
    schema = SCHEMA.replace('name: "word"', 'name: "word" unique_constraints { min: 3 max: 9 }')
    (anomaly,) = _found(GOOD, schema=schema)
    assert anomaly.rule == "FEATURE_TYPE_LOW_UNIQUE"
    assert anomaly.expected == "3 to 9 distinct values"


def test_what_is_not_checked_is_a_warning():
    schema = SCHEMA.replace("skew_comparator", "drift_comparator")
    (anomaly,) = not_checked(text_format.Parse(schema, schema_pb2.Schema()))
    assert (anomaly.feature, anomaly.split, anomaly.severity) == ("word", "schema", "WARNING")
    assert "drift_comparator is not checked" in str(anomaly)


@pytest.mark.parametrize("inferred", [True, False])
@pytest.mark.parametrize("fits", [True, False])
def test_accepting_is_advised_only_where_it_helps(inferred, fits):
    anomalies = Anomalies(tuple(_found(_with("hour", 24))), LINEAGE)
    with pytest.raises(MfxError) as error:
        stop_on_errors(anomalies, Schema("", "schema.pbtxt", inferred, "", LINEAGE, fits))
    assert ("mfx schema accept" in error.value.remedy) == fits
    assert ("schema.pbtxt" in str(error.value)) != inferred
    assert ("edit the schema" in error.value.remedy) != inferred


MANY = "string_domain { " + " ".join(f'value: "w{n}"' for n in range(1500)) + " }"
COUNTED = "int_domain { min: 0 max: 1499 is_categorical: true }"


@pytest.mark.parametrize(
    ("kind", "values", "odd", "rule"),
    [
        (f"BYTES {MANY}", [b"w%d" % n for n in range(1500)], b"aaa", "ENUM_TYPE_UNEXPECTED_STRIN"),
        (f"INT {COUNTED}", list(range(1500)), 7000, "INT_TYPE_BIG_INT"),
        (f"INT {COUNTED}", list(range(1500)), -1, "INT_TYPE_SMALL_INT"),
    ],
)
def test_a_value_too_rare_for_the_statistics_is_found(kind, values, odd, rule):
    """TFDV checks only the 1,000 most frequent values."""
    schema = text_format.Parse(f'feature {{ name: "f" type: {kind} }}', schema_pb2.Schema())
    for extra, expected in (([], []), ([odd], [(rule, 1)])):
        batch = pa.RecordBatch.from_pydict({"f": pa.array(values * 3 + extra)})
        proto = describe([batch], schema)[0]
        assert not tfdv.validate_statistics(proto, schema).anomaly_info
        given = proto, schema, "train", lambda _, batch=batch: [batch.column(0)]
        found = list(too_rare_for_statistics([], *given))
        assert [(a.rule[: len(rule)], a.count) for a in found] == expected
        assert list(too_rare_for_statistics(found, *given)) == []


@pytest.mark.parametrize("title", ["a.b", "a/b", "a:b", "it's", "größe, cm", "(x)", "a b"])
def test_a_feature_of_any_title_is_known(title):
    """TFDV puts a feature name such as `a.b` in quotes."""
    schema = schema_pb2.Schema()
    schema.feature.add(name=title, type=schema_pb2.INT).int_domain.max = 20
    (found,) = _found({title: HOURS}, schema=text_format.MessageToString(schema))
    assert (found.feature, found.count) == (title, N // 24 * 3)
    assert found.expected == "values from -∞ to 20"


LISTS = """
feature { name: "words" type: BYTES value_count { min: 0 max: 2 } domain: "words" }
feature { name: "ids" type: INT value_count { min: 0 } int_domain { min: 0 max: 9 } }
feature { name: "pixels" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 2 } } }
string_domain { name: "words" value: "card" value: "cash" }
"""
GOOD_LISTS = {
    "words": pa.array([[b"card"], None, [], [b"cash", b"card"]] * 9),
    "ids": pa.array([[1, 2, 3], [], None, [9]] * 9, pa.list_(pa.int64())),
    "pixels": pa.array([[0.5, 1.0]] * 36, pa.list_(pa.float32())),
}


def _changed(name, *values):
    column = GOOD_LISTS[name]
    return GOOD_LISTS | {name: pa.array([*values, *column.to_pylist()[len(values) :]], column.type)}


def test_good_lists_have_no_anomalies():
    assert _found(GOOD_LISTS, schema=LISTS) == []


@pytest.mark.parametrize(
    ("columns", "rule", "count"),
    [
        (
            _changed("words", [b"x", b"card"], [b"x", b"y"]),
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
            2,
        ),
        (_changed("words", [b"card"] * 3), "FEATURE_TYPE_HIGH_NUMBER_VALUES", 1),
        (_changed("ids", [10, 11], [3], [-1, 12]), "INT_TYPE_BIG_INT", 2),
        (_changed("pixels", [0.5], [1.0] * 3), "INVALID_FEATURE_SHAPE", 2),
    ],
)
def test_rows_with_lists_that_break_a_rule_are_counted(columns, rule, count):
    found = {anomaly.rule: anomaly.count for anomaly in _found(columns, schema=LISTS, parts=3)}
    assert found[rule] == count
