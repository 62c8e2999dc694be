"""Chance hardly ever exceeds its bounds, at any size; real differences do."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from helpers.small_world import save_examples

from mfx.artifacts import Examples, SourceFile
from mfx.columns.types import TYPES
from mfx.config import Split
from mfx.ingest.split import by_split
from mfx.validate import chance

SPLIT = Split(train=2, eval=1)
FILE = SourceFile("a.csv", "", 0)


def examples(folder, columns: dict[str, tuple[str, list]], split: Split = SPLIT) -> Examples:
    """Split the rows as a run would."""
    arrays = [pa.array(values, TYPES[kind]) for kind, values in columns.values()]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(columns))
    parts = {
        name: pa.Table.from_batches([part]).to_pydict()
        for name, part in by_split(batch, split, FILE, {}).items()
    }
    kinds = {name: kind for name, (kind, _) in columns.items()}
    return save_examples(folder / "raw", kinds, **parts)


def distance(value: np.ndarray, in_eval: np.ndarray) -> float:
    train, evaluated = (
        np.bincount(part, minlength=value.max() + 1) / len(part)
        for part in (value[~in_eval], value[in_eval])
    )
    return float(np.abs(train - evaluated).max())


def rows_apart(rows: int, values: int, features: int = 1):
    return lambda random: (
        np.arange(rows),
        [random.integers(0, values, rows) for _ in range(features)],
    )


def rows_again(random: np.random.Generator):
    """Rows that occur up to 40 times: the hash keeps equal rows together."""
    times = np.minimum(random.zipf(1.6, 400), 40)
    value = random.integers(0, 4, len(times))
    return np.repeat(np.arange(len(times)), times), [np.repeat(value, times)]


def rows_of_keys(random: np.random.Generator):
    """20 keys with 50 rows each; every key has another mix of values."""
    key = np.repeat(np.arange(20), 50)
    mixes = random.dirichlet(np.ones(4), 20)
    return key, [np.concatenate([random.choice(4, 50, p=mix) for mix in mixes])]


@pytest.mark.parametrize(
    "make",
    [
        rows_apart(30, 2),
        rows_apart(150, 3),
        rows_apart(300, 4),
        rows_apart(1500, 3),
        rows_apart(1000, 5, features=10),
        rows_again,
        rows_of_keys,
    ],
    ids=["30 rows", "150 rows", "300 rows", "1500 rows", "ten features", "rows again", "keys"],
)
def test_chance_exceeds_its_bound_hardly_ever_and_a_fixed_one_often(make):
    random, alarms, fixed, draws = np.random.default_rng(0), 0, 0, 200
    for _ in range(draws):
        groups, values = make(random)
        in_eval = (random.random(groups.max() + 1) < 1 / 3)[groups]
        found = [distance(value, in_eval) for value in values]
        bounds = [
            chance._bound(
                pa.chunked_array([pa.array(value)]),
                groups,
                in_eval,
                1 / 3,
                chance.FALSE_ALARMS / 2 / len(values),
            )
            for value in values
        ]
        alarms += any(d > b for d, b in zip(found, bounds, strict=True))
        fixed += max(found) > 0.05
    assert alarms <= 0.01 * draws
    assert fixed > 0.05 * draws


def test_the_bound_is_bernsteins(tmp_path, datastore):
    """Computed by hand: 100 different rows, half of them with each of two values."""
    made = examples(
        tmp_path,
        {"n": ("int64", list(range(100))), "word": ("bytes", [b"a", b"b"] * 50)},
    )
    train, evaluated = made.rows["train"], made.rows["eval"]
    log = math.log(2 * 2 / (0.01 / 2))
    third = 0.5 * 2 / 3 * log / 3
    spread = 2 / 9 * 100 * 0.25
    expected = (third + math.sqrt(third**2 + 2 * spread * log)) * 100 / (train * evaluated)
    assert chance.distance_bounds(made, SPLIT, ["word"]) == {"word": pytest.approx(expected)}


def test_equal_rows_count_once(tmp_path, datastore):
    """Four copies of each row tell no more than one, so the bound is no smaller."""
    word = [b"a", b"b", b"c"] * 100
    once = examples(tmp_path / "1", {"n": ("int64", list(range(300))), "word": ("bytes", word)})
    again = examples(
        tmp_path / "4", {"n": ("int64", list(range(300)) * 4), "word": ("bytes", word * 4)}
    )
    (single,) = chance.distance_bounds(once, SPLIT, ["word"]).values()
    (repeated,) = chance.distance_bounds(again, SPLIT, ["word"]).values()
    assert repeated == pytest.approx(single)


def test_a_split_without_a_value_is_not_compared(tmp_path, datastore):
    made = save_examples(
        tmp_path / "raw",
        {"word": "bytes", "x": "int64"},
        train={"word": [b"a", b"b"], "x": [1, 2]},
        eval={"word": [None], "x": [3]},
    )
    assert chance.distance_bounds(made, SPLIT, ["word"]) == {"word": math.inf}


def test_absence_is_as_likely_as_that_no_group_falls_there(tmp_path, datastore):
    made = save_examples(
        tmp_path / "raw",
        {"a": "bytes", "b": "int64", "key": "int64"},
        train={"a": [b"x", b"x", b"y", None], "b": [None] * 4, "key": [1, 1, 2, 3]},
        eval={"a": [None], "b": [5], "key": [4]},
    )
    missing = {"a": "eval", "b": "train"}
    by_key = Split(train=2, eval=1, key=["key"])
    found = chance.chance_of_absence(made, by_key, missing)
    assert found == {"a": pytest.approx((2 / 3) ** 2), "b": pytest.approx(1 / 3)}
