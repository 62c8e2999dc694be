"""Rows without a label, and labels that do not fit the network or its loss, are found early."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfx import label
from mfx.config import Label
from mfx.errors import MfxError
from mfx.export.network import Loss

NAN = float("nan")


def options(missing: str = "stop", columns: tuple[str, ...] = ("y",)) -> Label:
    return Label(name="label", columns=list(columns), missing=missing)


def rows(**columns) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {n: v if isinstance(v, pa.Array) else pa.array(v) for n, v in columns.items()}
    )


@given(st.lists(st.tuples(st.none() | st.integers(0, 1), st.none() | st.integers(0, 1))))
def test_dropped_and_kept_rows_add_up(pairs):
    batch = rows(
        n=pa.array(range(len(pairs)), pa.int64()),
        y=pa.array([a for a, _ in pairs], pa.int64()),
        z=pa.array([b for _, b in pairs], pa.int64()),
    )
    left_out: dict[str, int] = {}
    kept = label.drop_missing(batch, options("drop", ("y", "z")), "train", left_out)
    whole = [n for n, pair in enumerate(pairs) if None not in pair]
    assert kept.column(0).to_pylist() == whole
    assert kept.num_rows + sum(left_out.values()) == len(pairs)
    assert set(left_out) <= {"no y or z, the label, in train"}


@pytest.mark.parametrize("missing", ["stop", "fill"])
def test_nothing_is_dropped_unasked(missing):
    left_out: dict[str, int] = {}
    batch = rows(y=[1, None])
    assert label.drop_missing(batch, options(missing), "eval", left_out).num_rows == 2
    assert left_out == {}


def counted(train, evaluated, texts=None, columns=("y",)) -> label.LabelValues:
    counting = label.Counting(options(columns=columns), ("train", "eval"))
    for place, (split, values) in enumerate((("train", train), ("eval", evaluated))):
        raw = rows(y=pa.array(texts[place], pa.binary()) if texts else [0] * len(values))
        half = len(values) // 2
        for part in (slice(0, half), slice(half, None)):
            made = rows(label=np.array(values)[part])
            counting.add(split, raw.slice(part.start, len(made)), made)
    return counting.values()


def test_values_are_counted_by_split():
    found = counted([0, 1, 1, 3], [0, 0])
    assert found.counts == {"train": {0: 1, 1: 2, 3: 1}, "eval": {0: 2}}
    assert (found.low, found.high, found.fractions) == (0, 3, 0)
    assert found.texts == {"train": {}, "eval": {}}


def test_amounts_are_not_counted_one_by_one():
    found = counted(np.arange(200) / 7, [1.0, 2.0])
    assert found.counts == {}
    assert found.fractions == 200 - len(range(0, 200, 7))
    assert found.high == pytest.approx(199 / 7)
    label.check(found)
    assert label.describe(found) == []


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_labels_that_are_no_numbers_are_counted(value):
    with pytest.raises(MfxError, match="NaN or infinite in train 2, eval 1 rows") as caught:
        label.check(counted([0.0, 1.0, value, value], [value, 1.0]))
    assert "preprocessing_fn" in caught.value.remedy


def test_one_value_cannot_be_learned():
    with pytest.raises(MfxError, match="'label' has one value in the train split: 0"):
        label.check(counted([0, 0, 0], [0, 1]))


def test_text_says_which_class_it_is():
    texts = [[b"NORMAL"] * 3 + [b"BROKEN", b"ODD"], [b"NORMAL", b"ODD", None]]
    found = counted([0, 0, 0, 2, -1], [0, -1, -1], texts)
    assert label.describe(found) == [
        "label 'label': a missing text is -1 (train 0, eval 1), 'ODD' is -1 (train 1, eval 1), "
        "'NORMAL' is 0 (train 3, eval 1), 'BROKEN' is 2 (train 1, eval 0)",
        "label 'label': 2 is in no eval row",
    ]


def test_a_class_of_one_split_is_said():
    assert label.describe(counted([0, 1, 1], [1, 1, 2])) == [
        "label 'label': 2 is in no train row",
        "label 'label': 0 is in no eval row",
    ]
    assert label.describe(counted([0, 1], [1, 0])) == []
    assert label.describe(None) == [], "of a run of an older version"


BINARY = Loss("binarycrossentropy", "binary", False, None)
CLASSES = Loss("sparsecategoricalcrossentropy", "classes", True, None)
IGNORING = Loss("sparsecategoricalcrossentropy", "classes", True, -1)
ONE_HOT = Loss("categoricalcrossentropy", "one-hot", False, None)
SQUARED = Loss("meansquarederror", "", False, None)
POISSON = Loss("poisson", "", False, None)
OWN = Loss("<lambda>", "", False, None)
MANY = np.arange(100).tolist()

FITS = [
    ([0, 1], BINARY, 1),
    ([0.25, 1.0], BINARY, 1),
    ([0, 1, 2], CLASSES, 3),
    ([0.0, 2.0], CLASSES, 3),
    ([-1, 0, 1], IGNORING, 2),
    (MANY, CLASSES, 100),
    ([-3.5, 7.0], SQUARED, 1),
    ([0, 3], POISSON, 1),
    ([-3.5, 7.0], OWN, 2),
]


@pytest.mark.parametrize(("values", "loss", "width"), FITS)
def test_what_fits(values, loss, width):
    label.check_fits_network(counted(values, values), loss, width)


WRONG = [
    ([1, 2], BINARY, 1, "holds 2 (train 1, eval 1), but binarycrossentropy takes 0 and 1"),
    ([-1, 1], BINARY, 1, "holds -1 (train 1, eval 1)"),
    ([0, 1], BINARY, 3, "the network answers with 3"),
    ([1, 2, 3], CLASSES, 3, "holds 3 (train 1, eval 1), but a network with 3 outputs knows"),
    ([-1, 0, 1], CLASSES, 2, "holds -1 (train 1, eval 1)"),
    ([0.5, 1.0, 1.5], CLASSES, 3, "4 rows have fractions (0.5 (train 1, eval 1), 1.5"),
    ([0, 1], CLASSES, 1, "needs an output for each class; the network has 1"),
    (MANY, CLASSES, 99, "holds values from 0 to 99, but a network with 99 outputs"),
    ([0, 1], ONE_HOT, 2, "takes a vector with a place for each class"),
    ([0.5, 1.5], SQUARED, 2, "the network answers with 2"),
    ([-1, 4], POISSON, 1, "holds -1"),
]


@pytest.mark.parametrize(("values", "loss", "width", "said"), WRONG)
def test_what_does_not_fit_is_one_line_with_a_cure(values, loss, width, said):
    with pytest.raises(MfxError) as caught:
        label.check_fits_network(counted(values, values), loss, width)
    assert said in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.remedy


def test_a_wrong_class_names_its_text():
    texts = [[b"NORMAL", b"ODD"], [b"NORMAL", b"ODD"]]
    with pytest.raises(MfxError, match=r"holds -1 for 'ODD' \(train 1, eval 1\)"):
        label.check_fits_network(counted([0, -1], [0, -1], texts), CLASSES, 3)


def statistics(rows: int, **present: int) -> SimpleNamespace:
    features = [
        SimpleNamespace(
            path=SimpleNamespace(step=[name]),
            WhichOneof=lambda _: "num_stats",
            num_stats=SimpleNamespace(common_stats=SimpleNamespace(num_non_missing=count)),
        )
        for name, count in present.items()
    ]
    return SimpleNamespace(datasets=[SimpleNamespace(num_examples=rows, features=features)])


def test_rows_without_a_label_are_an_error_of_the_data():
    (found,) = label.missing(statistics(1027, y=834, x=1000), ["x", "y"], options(), "train")
    assert (found.severity, found.split, found.feature, found.count) == ("ERROR", "train", "y", 193)
    assert found.observed == "none in 193 of 1,027 rows"
    assert 'missing = "drop"' in found.remedy
    (found,) = label.missing(statistics(10), ["x", "y"], options(), "eval")
    assert found.count == 10, "a column of which nothing is there at all"


def test_what_is_filled_on_purpose_is_none():
    assert not list(label.missing(statistics(1027, y=834), ["y"], options("fill"), "train"))
    assert not list(label.missing(statistics(1027, y=1027), ["y"], options(), "train"))
