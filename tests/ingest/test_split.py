"""Each row is in one split, which depends on the values of the row alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.artifacts import SourceFile
from mfx.config import Split
from mfx.config.split import RESERVED
from mfx.ingest.split import by_split, row_hash

CELLS = {
    "number": st.none() | st.integers(-(2**63), 2**63 - 1),
    "amount": st.none() | st.floats(width=32, allow_nan=False),
    "word": st.none() | st.binary(max_size=5),
    "ids": st.none() | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    "words": st.none() | st.lists(st.binary(max_size=2), max_size=3),
}
TYPES = {
    "number": pa.int64(),
    "amount": pa.float32(),
    "word": pa.binary(),
    "ids": pa.list_(pa.int64()),
    "words": pa.list_(pa.binary()),
}
ROWS = st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=30)
FILE = SourceFile("trips.csv", "", 0)


def batch(rows) -> pa.RecordBatch:
    names = [name for name in TYPES if name in rows[0]]
    columns = [pa.array([row[name] for row in rows], TYPES[name]) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=names)


def divided(rows, split: Split) -> dict[str, pa.RecordBatch]:
    return by_split(batch(rows), split, FILE, {})


SHARES = st.dictionaries(
    st.from_regex("[a-z][a-z0-9_]{3,6}", fullmatch=True).filter(lambda name: name not in RESERVED),
    st.integers(1, 9),
    max_size=3,
).map(lambda further: Split.model_validate({**further, "train": 5, "eval": 2}))


@given(ROWS, SHARES)
@settings(max_examples=50, deadline=None)
def test_every_row_is_in_exactly_one_split(rows, split):
    parts = divided(rows, split)
    assert tuple(parts) == split.names
    hashes = [row_hash(part) for part in parts.values()]
    assert sorted(np.concatenate(hashes)) == sorted(row_hash(batch(rows)))


@given(ROWS, st.integers(0, 30))
@settings(max_examples=50, deadline=None)
def test_batch_boundaries_do_not_matter(rows, cut):
    whole = row_hash(batch(rows))
    pieces = [row_hash(batch(part)) for part in (rows[:cut], rows[cut:]) if part]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert np.array_equal(row_hash(batch(rows).slice(1)), whole[1:])


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_column_order_does_not_matter(rows):
    made = batch(rows)
    order = ["word", "ids", "number", "words", "amount"]
    columns = [made.column(made.schema.get_field_index(name)) for name in order]
    turned = pa.RecordBatch.from_arrays(columns, names=order)
    assert np.array_equal(row_hash(made), row_hash(turned))


@given(ROWS, SHARES)
@settings(max_examples=50, deadline=None)
def test_no_key_is_in_two_splits(rows, split):
    parts = divided(rows, split.model_copy(update={"key": ["word", "number"]}))
    keys = [
        {(row["word"], row["number"]) for row in pa.Table.from_batches([part]).to_pylist()}
        for part in parts.values()
    ]
    assert sum(map(len, keys)) == len(set().union(*keys))


def test_the_key_keeps_an_entity_together():
    rows = [{"number": n, "amount": None, "word": b"taxi %d" % (n % 7)} for n in range(700)]
    parts = divided(rows, Split(key=["word"]))
    train, held = ({w.as_py() for w in part.column(2)} for part in parts.values())
    assert not train & held
    assert len(train | held) == 7


def test_further_splits_take_the_end_of_the_hash():
    """So train and eval stay where they are if a split is added and the sum of shares is kept."""
    rows = [{"number": n, "amount": n / 7, "word": b"x"} for n in range(30_000)]
    two = divided(rows, Split(train=8, eval=2))
    three = divided(rows, Split.model_validate({"train": 8, "eval": 1, "test": 1}))
    assert three["train"].equals(two["train"])
    assert [part.num_rows / 30_000 for part in three.values()] == pytest.approx(
        [0.8, 0.1, 0.1], abs=0.01
    )


def test_buckets_are_in_order_train_eval_and_the_others_by_name():
    """Worked by hand: the hash's remainder by 7 is below 2, 5, 6 and 7."""
    rows = [{"number": n, "amount": None, "word": None} for n in range(500)]
    given = Split.model_validate({"test": 1, "eval": 3, "dev": 1, "train": 2})
    rest = row_hash(batch(rows)) % 7
    parts = divided(rows, given)
    assert tuple(parts) == ("train", "eval", "dev", "test")
    for part, low, high in zip(parts.values(), (0, 2, 5, 6), (2, 5, 6, 7), strict=True):
        assert part.column(0).to_pylist() == np.flatnonzero((low <= rest) & (rest < high)).tolist()


def test_missing_zero_and_empty_are_three_things():
    rows = [
        {"number": None, "amount": None, "word": None},
        {"number": 0, "amount": None, "word": None},
        {"number": None, "amount": 0.0, "word": None},
        {"number": None, "amount": None, "word": b""},
    ]
    assert len(set(row_hash(batch(rows)))) == 4


def test_lists_differ_by_their_values_order_and_length():
    lists = [None, [], [0], [0, 0], [1], [1, 2], [2, 1], [1, 2, 0], [1, 2, 3], [2, 1, 3]]
    assert len(set(row_hash(batch([{"ids": ids} for ids in lists])))) == len(lists)


def test_texts_need_not_be_utf_8():
    assert len(set(row_hash(batch([{"word": word} for word in (b"\xff", b"\xfe", b"")])))) == 3


def test_minus_zero_is_zero():
    rows = [{"number": 1, "amount": value, "word": b"a"} for value in (0.0, -0.0)]
    assert len(set(row_hash(batch(rows)))) == 1


def test_shares_are_as_asked():
    rows = [{"number": n, "amount": n / 7, "word": b"x"} for n in range(30_000)]
    parts = divided(rows, Split(train=2, eval=1))
    assert parts["eval"].num_rows / 30_000 == pytest.approx(1 / 3, abs=0.01)


def test_minus_zero_is_zero_in_lists():
    lists = pa.array([[0.0, 1.0], [-0.0, 1.0]], pa.list_(pa.float32()))
    assert len(set(row_hash(pa.RecordBatch.from_arrays([lists], ["x"])))) == 1


def test_hashes_stay_what_they_are():
    """Fixed hashes: no upgrade may move rows between splits without this test failing."""
    rows = [
        {"number": 1, "amount": 12.5, "word": b"Cash"},
        {"number": None, "amount": -0.25, "word": b""},
        {"number": -7, "amount": None, "word": None},
    ]
    assert row_hash(batch(rows)).tolist() == [
        1737760017408424661,
        135617873774684485,
        17280433005882348235,
    ]
    lists = [{"ids": [1, 2]}, {"ids": []}, {"ids": None}]
    assert row_hash(batch(lists)).tolist() == [
        12698882293817287922,
        10417342739281038054,
        8250379398772269017,
    ]
