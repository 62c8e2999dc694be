"""From a CSV file to typed examples by split; no row is lost."""

from __future__ import annotations

import csv
from collections import Counter
from decimal import Decimal

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import ingest as module
from mfx.ingest.ingest import ingest, merge
from mfx.ingest.sources import csv as read_csv

ROWS = [f"{n},{n / 4},w{n % 5}" for n in range(300)]


@pytest.fixture
def examples_of(tmp_path, settings, datastore):
    """Examples of CSV files with these lines: one file per list."""

    def make(*files: list[str], **data):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for number, lines in enumerate(files):
            (folder / f"{number:03d}.csv").write_text("\n".join(["n,x,w", *lines]) + "\n")
        given = settings.override(data__path=str(folder))
        given = given.override(**{f"data__{key}": value for key, value in data.items()})
        given = given.override(schema__path=str(folder / "none.pbtxt"))
        sources = start.resolve(given)
        return merge([ingest(shard, sources, given) for shard in sources.shards], sources)

    return make


def test_rows_of_each_span(tmp_path, settings, datastore):
    """Two spans have the same content: their shards are told apart by their place."""
    texts = {1: ROWS[:99], 2: ROWS[99:], 3: ROWS[:99]}
    for day, lines in texts.items():
        (tmp_path / f"day-{day}.csv").write_text("\n".join(["n,x,w", *lines]) + "\n")
    given = settings.override(data__path=str(tmp_path / "day-{SPAN}.csv"), data__window=3)
    given = given.override(schema__path=str(tmp_path / "none.pbtxt"))
    sources = start.resolve(given)
    parts = [ingest(shard, sources, given) for shard in sources.shards]
    whole = merge(parts[::-1], sources)
    assert [str(part.span) for part in whole.spans] == ["1", "2", "3"]
    by_span = whole.by_span()
    assert [sum(part.rows.values()) for part in by_span] == [99, 201, 99]
    assert by_span[0].digest == by_span[2].digest == parts[0].digest
    for split in ("train", "eval"):
        rows = [part.to_arrow(split) for part in by_span]
        assert pa.concat_tables(rows).equals(whole.to_arrow(split))
    moved = start.resolve(given.override(data__span=2))
    assert merge([parts[1], parts[0]], moved).digest != whole.digest


def test_the_order_in_which_shards_are_merged_changes_nothing(tmp_path, settings, datastore):
    """Step Functions does not keep the order of the tasks of a foreach."""
    for number, name in enumerate("cab"):
        (tmp_path / f"{name}.csv").write_text(
            "n,x,w\n" + "\n".join(f"{number},{n},w" for n in range(9)) + "\n"
        )
    given = settings.override(data__path=str(tmp_path), data__shard_mb=1e-6)
    given = given.override(schema__path=str(tmp_path / "none.pbtxt"))
    sources = start.resolve(given)
    parts = [ingest(shard, sources, given) for shard in sources.shards]
    whole = merge(parts, sources)
    for order in ((2, 0, 1), (1, 2, 0), (2, 1, 0)):
        assert merge([parts[n] for n in order], sources) == whole


def _values(examples, split):
    return sorted(examples.to_pandas(split).n.tolist())


def test_shards_do_not_change_the_split(examples_of):
    whole = examples_of(ROWS)
    parts = examples_of(ROWS[:7], ROWS[7:200], ROWS[200:], shard_mb=1e-6)
    assert len(parts.shards) == 3
    assert whole.rows == parts.rows
    assert whole.rows_in == 300
    for split in ("train", "eval"):
        assert _values(whole, split) == _values(parts, split)


@pytest.mark.parametrize("size", [1, 7, 300])
def test_small_files_are_the_bytes_of_one(examples_of, size):
    """So the statistics, the transform graph and the weights are the same too."""
    whole = examples_of(ROWS)
    parts = examples_of(*(ROWS[begin : begin + size] for begin in range(0, 300, size)))
    assert parts.digest == whole.digest
    assert (parts.rows, parts.rows_in) == (whole.rows, whole.rows_in)


def test_an_error_names_the_file_and_not_the_shard(examples_of):
    with pytest.raises(
        MfxError, match=r"001\.csv, line 3: 2 cells, expected 3 as in the header"
    ) as caught:
        examples_of(ROWS[:5], ["1,2,a", "1,2"], ROWS[5:])
    assert "set tolerate under [data]" in caught.value.remedy


def test_rejected_rows_are_counted_over_the_files_of_a_shard(examples_of):
    examples = examples_of([*ROWS, "1,2"], ["1", "1,2", "5,1,w"], tolerate=3)
    assert len(examples.shards) == 1
    assert examples.rows_in == 304
    assert examples.rejected == {"2 cells, expected 3": 2, "1 cells, expected 3": 1}


def test_types_agree_over_files(examples_of):
    examples = examples_of(ROWS[:150], ["5,1,", ",2.5,a", *ROWS[150:]])
    assert examples.columns == {"n": "int64", "x": "float32", "w": "bytes"}


def test_rejected_rows_are_counted(examples_of):
    examples = examples_of([*ROWS, "1,2", "1"], tolerate=3)
    assert examples.rows_in == 302
    assert examples.rejected == {"2 cells, expected 3": 1, "1 cells, expected 3": 1}
    assert sum(examples.rows.values()) == 300


def test_batches_do_not_change_the_split(examples_of, monkeypatch):
    whole = examples_of(ROWS)
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 500)
    parts = examples_of(ROWS)
    for split in ("train", "eval"):
        assert parts.to_arrow(split).equals(whole.to_arrow(split))


def test_a_key_keeps_an_entity_in_one_split(tmp_path, settings, datastore):
    (tmp_path / "a.csv").write_text("\n".join(["n,x,w", *ROWS]) + "\n")
    given = settings.override(
        data__path=str(tmp_path / "a.csv"), schema__path=str(tmp_path / "none.pbtxt")
    )
    split = given.data.split.model_copy(update={"key": ["w"]})
    data = given.data.model_copy(update={"split": split})
    given = given.model_copy(update={"data": data})
    sources = start.resolve(given)
    examples = merge([ingest(shard, sources, given) for shard in sources.shards], sources)
    train, held = (set(examples.to_pandas(split).w) for split in ("train", "eval"))
    assert not train & held
    assert train | held == {f"w{n}" for n in range(5)}


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_header_without_rows_stops_the_run(tmp_path, settings, datastore, end):
    path = tmp_path / "a.csv"
    path.write_text("n,x,w" + end)
    given = settings.override(data__path=str(path), schema__path=str(tmp_path / "none.pbtxt"))
    sources = start.resolve(given)
    with pytest.raises(MfxError, match=r"a\.csv: a header but no rows"):
        merge([ingest(shard, sources, given) for shard in sources.shards], sources)


def test_an_empty_split_stops_the_run(examples_of):
    with pytest.raises(MfxError, match=r"the (train|eval) split is empty: 3 rows in"):
        examples_of([ROWS[0]] * 3)


def test_lineage_names_file_and_parts(examples_of, tmp_path):
    examples = examples_of(ROWS[:100], ROWS[100:], shard_mb=1e-6)
    assert len(examples.lineage.parents) == 2
    assert examples_of(ROWS[:100], ROWS[100:], shard_mb=1e-6).digest == examples.digest


def test_a_lost_row_stops_the_run(examples_of, monkeypatch):
    def losing(*arguments):
        parts = by_split(*arguments)
        return parts | {"train": parts["train"].slice(1)}

    by_split = module.by_split
    monkeypatch.setattr(module, "by_split", losing)
    with pytest.raises(MfxError, match="300 rows in, but 299 rows out and 0 rejected"):
        examples_of(ROWS)


def test_files_whose_columns_differ_are_named(tmp_path, settings):
    (tmp_path / "a.csv").write_text("n,x\n1,2\n")
    (tmp_path / "b.csv").write_text("n,y\n1,2\n")
    with pytest.raises(MfxError, match=r"b\.csv: columns differ .*\['x', 'y'\]"):
        start.resolve(settings.override(data__path=str(tmp_path)))


def test_a_split_key_must_be_a_column(tmp_path, settings):
    (tmp_path / "a.csv").write_text("n,x\n1,2\n")
    given = settings.override(data__path=str(tmp_path))
    split = given.data.split.model_copy(update={"key": ["cab"]})
    data = given.data.model_copy(update={"split": split})
    with pytest.raises(MfxError, match="no column 'cab' in the data"):
        start.resolve(given.model_copy(update={"data": data}))


def test_tfrecords_hold_the_same_rows(examples_of, tmp_path):
    import tensorflow as tf

    examples = examples_of([*ROWS, ",,"])
    counts = [examples.to_tfrecord(s, tmp_path / s) for s in ("train", "eval")]
    assert counts == [examples.rows["train"], examples.rows["eval"]]
    records = tf.data.TFRecordDataset([str(tmp_path / "train"), str(tmp_path / "eval")])
    spec = {
        "n": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
        "x": tf.io.FixedLenFeature([], tf.float32, default_value=-1.0),
        "w": tf.io.FixedLenFeature([], tf.string, default_value=""),
    }
    rows = [tf.io.parse_single_example(record, spec) for record in records]
    found = sorted((int(r["n"]), float(r["x"]), r["w"].numpy().decode()) for r in rows)
    expected = [(n, n / 4, f"w{n % 5}") for n in range(300)]
    assert found == [(-1, -1.0, ""), *expected]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TITLE = TEXT.filter(lambda text: text and text == text.strip())
CELLS = {
    "integers": st.integers(-(2**70), 2**70).map(str),
    "codes": st.from_regex(r"[+-]?0*[0-9]{1,12}", fullmatch=True),
    "large": st.integers(2**24 - 4, 2**24 + 4).map(lambda n: f"{n}.0"),
    "floats": st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    "texts": TEXT,
    "awkward": st.sampled_from(['"', '""', "a\nb", "a\r\nb", "\r", ",", ";", "\t", " x ", "nan"]),
}
WRITTEN = [
    # Python's writer quotes a cell with a line end only if that is its own line end.
    {"lineterminator": "\r\n", "quoting": csv.QUOTE_MINIMAL},
    *({"lineterminator": end, "quoting": csv.QUOTE_ALL} for end in ("\n", "\r\n", "\r")),
]


@st.composite
def tables(draw):
    """Column names, and rows of cells as texts. An empty cell is missing."""
    titles = draw(st.lists(TITLE, min_size=1, max_size=5, unique=True))
    kinds = [CELLS[draw(st.sampled_from(sorted(CELLS)))] | st.just("") for _ in titles]
    return titles, draw(st.lists(st.tuples(*kinds), min_size=1, max_size=30))


@hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    table=tables(),
    written=st.sampled_from(WRITTEN),
    delimiter=st.sampled_from(",;\t|"),
    bom=st.booleans(),
)
def test_every_row_and_value_comes_back(
    table, written, delimiter, bom, settings, datastore, tmp_path
):
    titles, rows = table
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, **written)
        writer.writerows([titles, *rows])
    given = settings.override(data__path=str(path), data__delimiter=delimiter)
    given = given.override(schema__path=str(tmp_path / "none.pbtxt"))
    sources = start.resolve(given)
    assert list(sources.columns) == titles
    (shard,) = sources.shards
    examples = ingest(shard, sources, given)
    assert (examples.rows_in, sum(examples.rows.values())) == (len(rows), len(rows))
    kinds = list(sources.columns.values())
    expected = Counter(
        tuple(_value(cell, kind) for cell, kind in zip(row, kinds, strict=True)) for row in rows
    )
    found = Counter(
        tuple(row.values())
        for split in ("train", "eval")
        for batch in examples.batches(split)
        for row in batch.to_pylist()
    )
    assert found == expected


def _value(cell: str, kind: str):
    """The type of a cell. A text has no type that would change it."""
    if cell == "":
        return None
    if kind == "bytes":
        return cell.encode()
    if cell.strip("-").lower() == "nan":
        return None
    if kind == "int64":
        assert Decimal(cell) == int(Decimal(cell))
        return int(Decimal(cell))
    value = float(np.float32(cell))
    assert Decimal(cell) != int(Decimal(cell)) or value == float(cell) or abs(value) > 2**53
    return value
