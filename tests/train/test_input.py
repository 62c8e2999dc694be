"""The training order: each pass is a permutation, and any step can be started from."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.train import input as train_input
from mfx.train.input import TrainInput

SHAPES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 9)), min_size=1, max_size=3)
"""For each file: its rows, and its rows per row group."""


def write(folder: str, shapes) -> tuple[list[Path], int]:
    """Write files with a column `id` that numbers all rows; the other columns follow from it."""
    paths, begin = [], 0
    for number, (rows, group) in enumerate(shapes):
        ids = np.arange(begin, begin + rows)
        wide = pa.FixedSizeListArray.from_arrays(pa.array(np.repeat(ids * 2.0, 2)), 2)
        table = pa.table({"id": ids, "wide": wide, "label": ids * 10})
        paths.append(Path(folder, f"{number}.parquet"))
        pq.write_table(table, paths[-1], row_group_size=group)
        begin += rows
    return paths, begin


def blocks(examples: TrainInput, rows: int, skip: int = 0) -> np.ndarray:
    """The ids of the next rows, read without TensorFlow."""
    ids: list[int] = []
    for block in examples._blocks(skip):
        ids += block["id"].tolist()
        if len(ids) >= rows:
            return np.array(ids[:rows])
    raise AssertionError("passes are endless")


@settings(max_examples=60, deadline=None)
@given(shapes=SHAPES, seed=st.integers(0, 2**32))
def test_each_pass_visits_each_row_once(shapes, seed):
    with tempfile.TemporaryDirectory() as folder:
        paths, total = write(folder, shapes)
        ids = blocks(TrainInput(paths, "label", seed), 3 * total)
        for begin in range(0, 3 * total, total):
            assert sorted(ids[begin : begin + total]) == list(range(total))


@settings(max_examples=60, deadline=None)
@given(shapes=SHAPES, seed=st.integers(0, 99), skip=st.integers(0, 300))
def test_any_row_can_be_started_from(shapes, seed, skip):
    with tempfile.TemporaryDirectory() as folder:
        paths, total = write(folder, shapes)
        whole = blocks(TrainInput(paths, "label", seed), skip + 2 * total)
        tail = blocks(TrainInput(paths, "label", seed), 2 * total, skip)
        assert tail.tolist() == whole[skip:].tolist()


def first(dataset, count: int) -> list[tuple[dict, np.ndarray]]:
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


@settings(max_examples=8, deadline=None)
@given(
    shapes=SHAPES, batch_size=st.integers(1, 12), start=st.integers(0, 20), seed=st.integers(0, 9)
)
def test_batches_from_a_step_are_the_tail_of_those_from_the_first(shapes, batch_size, start, seed):
    with tempfile.TemporaryDirectory() as folder:
        paths, _ = write(folder, shapes)
        examples = TrainInput(paths, "label", seed)
        whole = first(examples.dataset(batch_size), start + 4)
        tail = first(examples.dataset(batch_size, start), 4)
        for (features, label), (expected, expected_label) in zip(tail, whole[start:], strict=True):
            assert len(label) == batch_size
            assert features.keys() == expected.keys() == {"id", "wide"}
            assert features["id"].tolist() == expected["id"].tolist()
            assert label.tolist() == expected_label.tolist()
            # The values of one row stay together.
            assert (label == features["id"] * 10).all()
            assert (features["wide"] == features["id"][:, None] * 2.0).all()


def test_seed_and_pass_change_the_order(tmp_path):
    paths, total = write(str(tmp_path), [(40, 5), (30, 7)])
    orders = [blocks(TrainInput(paths, "label", seed), 2 * total) for seed in (1, 1, 2)]
    assert orders[0].tolist() == orders[1].tolist() != orders[2].tolist()
    assert orders[0][:total].tolist() != orders[0][total:].tolist()
    # The first window has rows from far parts of the file, not from one part alone.
    assert len({i // 7 for i in orders[0][:20]}) > 3


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [(1, 1), (9, 9), (10, 10), (11, 11), (22, 22), (23, 23), (40, 23), (9999, 23)],
)
def test_validation_is_the_first_rows_once(wanted, rows, tmp_path):
    paths, _ = write(str(tmp_path), [(12, 5), (11, 4)])
    seen = list(TrainInput(paths, "label", 3).head(wanted, 4).as_numpy_iterator())
    assert np.concatenate([f["id"] for f, _ in seen]).tolist() == list(range(rows))
    assert Counter(len(label) for _, label in seen)[4] == rows // 4


def test_no_more_than_a_window_of_row_groups_is_read_at_once(tmp_path, monkeypatch):
    paths, total = write(str(tmp_path), [(90, 5), (60, 5)])
    read, seen = train_input._read, []

    def count(groups):
        seen.append(len(groups))
        return read(groups)

    monkeypatch.setattr(train_input, "_read", count)
    passes = TrainInput(paths, "label", 0)._blocks(0)
    for _ in range(3 * total // 5 // train_input.WINDOW):
        next(passes)
    assert max(seen) == train_input.WINDOW
    assert len(seen) == 3 * total // 5 // train_input.WINDOW, "one reading a block, none ahead"


def test_windows_that_are_skipped_are_not_read(tmp_path, monkeypatch):
    paths, total = write(str(tmp_path), [(80, 5)])
    read, seen = train_input._read, []
    monkeypatch.setattr(train_input, "_read", lambda groups: seen.append(1) or read(groups))
    next(TrainInput(paths, "label", 0)._blocks(50 * total + 70))
    assert len(seen) == 1
