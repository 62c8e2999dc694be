"""One written rule for each type of other worlds, whatever the format that has it."""

from __future__ import annotations

import datetime as dt
import decimal

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from mfx.config import Data
from mfx.errors import MfxError
from mfx.ingest.sources import arrow, avro
from mfx.ingest.sources.base import Tally

D = decimal.Decimal
DAY = dt.datetime(2024, 2, 29, 12, 30, 15, 250_000)
MICROSECONDS = 1_709_209_815_250_000
ZONED = pa.array([MICROSECONDS, None], pa.int64()).cast(pa.timestamp("us", "America/Chicago"))


def write(path, table):
    """As an Arrow file, which holds all types as they are."""
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    return path


def written(tmp_path, column):
    return write(tmp_path / "data.arrow", pa.table({"x": column}))


def how(**changes):
    return Data.model_validate({"path": "data.arrow", **changes})


def seen(path):
    found = {}
    arrow.look(path, how(), found)
    return found["x"]


def read(path, kind, settings=None):
    tally = Tally()
    parts = list(arrow.batches(path, {"x": kind}, settings or how(), tally))
    return pa.Table.from_batches(parts).column(0).to_pylist(), tally


CASES = {
    "bool": (pa.array([True, False, None]), "int64", [1, 0, None]),
    "small integers": (pa.array([1, None], pa.uint8()), "int64", [1, None]),
    "uint64 within int64": (pa.array([2**63 - 1, None], pa.uint64()), "int64", [2**63 - 1, None]),
    "uint64 beyond int64": (
        pa.array([2**64 - 1, 7, None], pa.uint64()),
        "bytes",
        [b"18446744073709551615", b"7", None],
    ),
    "float64": (pa.array([0.1, None, 5.0]), "float32", [float(np.float32(0.1)), None, 5.0]),
    "NaN": (pa.array([1.5, float("nan")]), "float32", [1.5, None]),
    "identifiers in float64": (pa.array([17031320100.0, None]), "int64", [17031320100, None]),
    "decimals": (pa.array([D("1.25"), None]), "float32", [1.25, None]),
    "decimals without a fraction": (
        pa.array([D(5), None], pa.decimal128(38, 0)),
        "int64",
        [5, None],
    ),
    "decimals beyond int64": (
        pa.array([D(2**70), None], pa.decimal128(38, 0)),
        "bytes",
        [b"1180591620717411303424", None],
    ),
    "date": (pa.array([DAY.date(), None]), "bytes", [b"2024-02-29", None]),
    "date of milliseconds": (pa.array([DAY.date()], pa.date64()), "bytes", [b"2024-02-29"]),
    "timestamp": (pa.array([DAY, None], pa.timestamp("ms")), "int64", [MICROSECONDS, None]),
    "timestamp with a zone": (ZONED, "int64", [MICROSECONDS, None]),
    "time of day": (pa.array([dt.time(0, 0, 1), None]), "int64", [10**6, None]),
    "duration": (pa.array([dt.timedelta(seconds=2), None]), "int64", [2 * 10**6, None]),
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), "bytes", [b"a", None, b"a"]),
    "text": (pa.array(["é", "", None]), "bytes", ["é".encode(), b"", None]),
    "bytes": (pa.array([b"\xff", None]), "bytes", [b"\xff", None]),
    "bytes of one size": (pa.array([b"ab", None], pa.binary(2)), "bytes", [b"ab", None]),
    "nothing": (pa.nulls(2), "bytes", [None, None]),
    "lists of one size": (
        pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
        "int64 list",
        [[1, 2], None, [3, 4]],
    ),
    "lists of dates": (
        pa.array([[DAY.date()], []], pa.list_(pa.date32())),
        "bytes list",
        [[b"2024-02-29"], []],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_type_has_its_rule(case, tmp_path):
    column, kind, values = CASES[case]
    path = written(tmp_path, column)
    assert (seen(path).kind or "bytes") == kind
    assert read(path, kind)[0] == values


REFUSED = {
    "struct": (
        pa.array([{"a": 1}]),
        "column 'x' is struct<a: int64>, which no tf.Example can hold",
        "SELECT x.a AS x_a",
    ),
    "map": (
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        "is map<",
        "x_key and x_value",
    ),
    "lists of lists": (pa.array([[[1]]]), "is list<", "one list of all values per row"),
    "lists of structs": (pa.array([[{"a": 1}]]), "is list<", "Flatten it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_place_in_a_tf_example_is_one_line(case, tmp_path):
    column, what, remedy = REFUSED[case]
    with pytest.raises(MfxError) as caught:
        arrow.header(written(tmp_path, column), how())
    assert what in caught.value.what and remedy in caught.value.remedy
    assert "\n" not in caught.value.what + caught.value.remedy


MISFITS = {
    "a fraction": (pa.array([1.0, 2.5]), "int64", "row 2, column 'x': expected an integer"),
    "beyond int64": (pa.array([2**64 - 1], pa.uint64()), "int64", "expected an integer"),
    "infinity": (pa.array([1.0, float("inf")]), "float32", "expected a finite number, found inf"),
    "beyond float32": (pa.array([1e300]), "float32", "expected a finite number, found 1e+300"),
    "a number as text": (pa.array([1.5]), "bytes", "expected text, found 1.5"),
    "text as a number": (pa.array(["1", "a"]), "int64", "row 2, column 'x': expected an integer"),
    "bytes as a number": (pa.array([b"\xff"]), "float32", "expected a finite number"),
    "half a microsecond": (
        pa.array([1500], pa.int64()).cast(pa.timestamp("ns")),
        "int64",
        "expected a whole number of microseconds",
    ),
    "a time beyond int64": (
        pa.array([2**62], pa.int64()).cast(pa.timestamp("s")),
        "int64",
        "expected a whole number of microseconds",
    ),
    "a date that is none": (
        pa.array([10**8], pa.int32()).cast(pa.date32()),
        "bytes",
        "expected a date in the years 1 to 9999",
    ),
    "null in a list": (pa.array([[1, None]]), "int64 list", "expected lists without null or NaN"),
    "NaN in a list": (pa.array([[float("nan")]]), "float32 list", "without null or NaN"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_value_that_does_not_fit_is_named(case, tmp_path):
    column, kind, what = MISFITS[case]
    path = written(tmp_path, column)
    with pytest.raises(MfxError) as caught:
        read(path, kind)
    assert what in caught.value.what
    assert str(path) in caught.value.what


def test_values_become_what_the_schema_says(tmp_path):
    assert read(written(tmp_path, pa.array([1.0, None, 3.0])), "int64")[0] == [1, None, 3]
    assert read(written(tmp_path, pa.array([7, None])), "bytes")[0] == [b"7", None]
    assert read(written(tmp_path, pa.array(["7", " 8 ", None])), "int64")[0] == [7, 8, None]
    assert read(written(tmp_path, pa.array(["1.5"])), "float32")[0] == [1.5]


def test_what_float32_rounds_and_what_is_missing_is_counted(tmp_path):
    values, tally = read(written(tmp_path, pa.array([2**24 + 1, 2**63 - 1, 5])), "float32")
    assert values == [2.0**24, 2.0**63, 5.0]
    assert tally.rounded == {("x", "16777217"): 2}
    _, tally = read(written(tmp_path, pa.array([1.5, float("nan"), None])), "float32")
    assert tally.missing == {("x", "NaN"): 1}


def test_null_values_hold_for_all_types(tmp_path):
    columns = {"columns": {"x": ["-1", "NA", ""]}}
    for column, kind, expected in (
        (pa.array([-1, 5]), "int64", [None, 5]),
        (pa.array([-1.0, 5.5]), "float32", [None, 5.5]),
        (pa.array(["NA", "", "b"]), "bytes", [None, None, b"b"]),
    ):
        values, tally = read(written(tmp_path, column), kind, how(null_values=columns))
        assert values == expected
        assert sum(tally.missing.values()) == expected.count(None)
    texts = written(tmp_path, pa.array(["NA", ""]))
    assert read(texts, "bytes", how(null_values=["NA", ""]))[0] == [None, b""]


def test_notes_on_types_that_may_surprise(tmp_path):
    assert "beyond int64" in seen(written(tmp_path, pa.array([2**64 - 1], pa.uint64()))).note("x")
    assert "1 of them" in seen(written(tmp_path, pa.array([17031320100.0]))).note("x")
    assert seen(written(tmp_path, pa.array([1.5]))).note("x") == ""


def test_files_of_one_data_set_need_one_type(tmp_path):
    found = {}
    for number, column in enumerate((pa.nulls(1), pa.array([1.5]), pa.array([2], pa.int64()))):
        path = write(tmp_path / f"{number}.arrow", pa.table({"x": column}))
        arrow.look(path, how(), found)
    with pytest.raises(MfxError, match=r"2\.arrow: column 'x' is int64, but double in .*1\.arr"):
        _ = found["x"].kind


@pytest.mark.parametrize("titles", [["a", "a"], ["", "b"], [" a", "b"]])
def test_titles_are_checked(titles, tmp_path):
    path = write(tmp_path / "data.arrow", pa.table([[1], [2]], names=titles))
    with pytest.raises(MfxError, match="column name"):
        arrow.header(path, how())


def test_large_files_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("mfx.ingest.sources.typed.BATCH_BYTES", 1000)
    path = written(tmp_path, pa.array(range(10_000)))
    parts = list(arrow.batches(path, {"x": "int64"}, how(), Tally()))
    assert len(parts) > 50
    assert pa.Table.from_batches(parts).column(0).to_pylist() == list(range(10_000))


def test_avros_logical_types(tmp_path):
    kinds = {
        "date": ("int", "date", DAY.date(), "bytes", b"2024-02-29"),
        "ms": (
            "long",
            "timestamp-millis",
            DAY.replace(tzinfo=dt.timezone.utc),
            "int64",
            MICROSECONDS,
        ),
        "us": (
            "long",
            "timestamp-micros",
            DAY.replace(tzinfo=dt.timezone.utc),
            "int64",
            MICROSECONDS,
        ),
        "time": ("int", "time-millis", dt.time(0, 0, 1), "int64", 10**6),
        "local": ("long", "local-timestamp-micros", DAY, "int64", MICROSECONDS),
    }
    fields = [
        {"name": name, "type": ["null", {"type": stored, "logicalType": logical}]}
        for name, (stored, logical, *_) in kinds.items()
    ]
    decimal_type = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
    fields += [
        {"name": "price", "type": decimal_type},
        {"name": "color", "type": {"type": "enum", "name": "color", "symbols": ["red", "blue"]}},
    ]
    row = {name: given for name, (_, _, given, *_) in kinds.items()}
    rows = [row | {"price": D("1.25"), "color": "red"}]
    rows.append(dict.fromkeys(kinds) | {"price": D("-2.50"), "color": "blue"})
    path = tmp_path / "data.avro"
    with path.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "row", "fields": fields}, rows)
    found = {}
    avro.look(path, how(), found)
    types = {name: kind for name, (*_, kind, _) in kinds.items()}
    types |= {"price": "float32", "color": "bytes"}
    assert {name: column.kind for name, column in found.items()} == types
    (batch,) = avro.batches(path, types, how(), Tally())
    expected = {name: value for name, (*_, value) in kinds.items()}
    assert batch.to_pylist() == [
        expected | {"price": 1.25, "color": b"red"},
        dict.fromkeys(kinds) | {"price": -2.5, "color": b"blue"},
    ]
