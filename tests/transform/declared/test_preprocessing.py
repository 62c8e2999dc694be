"""Each kind of declared feature gives what was worked out by hand, in training as when served."""

from __future__ import annotations

import functools
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from helpers.small_world import LINEAGE, World, save_examples
from helpers.storing import saving

from mfx import config
from mfx.artifacts import Schema
from mfx.columns.tf_examples import serialize
from mfx.config.features import KINDS as OPTIONS
from mfx.train.train import train
from mfx.transform.declared.kinds import KINDS
from mfx.transform.transform import transform

N = None
DAY = 86_400_000_000
"""Microseconds."""
RED = bytes(tf.io.encode_png(np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8)).numpy())
"""Two pixels: red, black."""


@dataclass(frozen=True)
class Case:
    """A feature of one column with six train rows and two eval rows, and what they become.

    Args:
        name: The feature's name; its column has the same name, unless the options say another.
        options: As the config declares it.
        kind: The column's type.
        raw: The column's values, train rows first.
        made: What becomes of them.
    """

    name: str
    options: Any
    kind: str
    raw: list[Any]
    made: list[Any]


def scores(values: list[float | None], fill: float, seen: int = 6) -> list[float]:
    """Z-scores by the mean and deviation of the values that the first rows have."""
    there = np.array([v for v in values[:seen] if v is not None])
    filled = [fill if v is None else v for v in values]
    return list((np.array(filled) - there.mean()) / there.std())


def circle(*shares: float) -> list[float]:
    """Points on circles, each this far around."""
    return [f(2 * math.pi * share) for share in shares for f in (math.sin, math.cos)]


X = [1.0, 2.0, 3.0, N, 6.0, 0.0, N, 4.0]
MEAN = 12 / 5
LOGS = [N if x is None else math.log1p(x) for x in X]
LOG_MEAN = float(np.mean([v for v in LOGS[:6] if v is not None]))
BIG = [17_031_000_000 + n for n in (0, 7, 100, 950, 51, 3, 4, 99)]
WORDS = [b"a", b"b", b"b", b"c", b"b", b"a", N, b"zebra"]
SECONDS = [0, 10, 20, N, 30, 40, N, 50]
CASES = [
    Case("z", "zscore", "float32", X, scores(X, MEAN)),
    # Whole numbers keep digits that float32 does not hold.
    Case("big", "zscore", "int64", BIG, scores(BIG, 0)),
    Case("z_of_5", {"kind": "zscore", "missing": 5}, "float32", X, scores(X, 5)),
    Case(
        "flagged",
        {"kind": "zscore", "missing": "flag"},
        "float32",
        X,
        [[v, float(x is None)] for v, x in zip(scores(X, MEAN), X, strict=True)],
    ),
    Case("constant", "zscore", "float32", [3.0] * 8, [0.0] * 8),
    Case("never", "zscore", "float32", [N] * 8, [0.0] * 8),
    Case("log", "log", "float32", X, scores(LOGS, LOG_MEAN)),
    Case(
        "range",
        "minmax",
        "int64",
        [1, 2, 3, N, 6, 0, N, 12],
        [1 / 6, 2 / 6, 3 / 6, MEAN / 6, 1, 0, MEAN / 6, 1],
    ),
    Case(
        "edges",
        {"kind": "buckets", "boundaries": [2, 4]},
        "float32",
        X,
        [1, 2, 2, 0, 3, 1, 0, 3],
    ),
    # In thirds: 0 1 | 2 3 | 6 7.
    Case(
        "thirds",
        {"kind": "buckets", "count": 3},
        "int64",
        [1, 2, 3, 7, 6, 0, N, -5],
        [1, 2, 2, 3, 3, 1, 0, 1],
    ),
    # b occurs three times, a twice, c once; the next category is for all others.
    Case("word", "vocabulary", "bytes", WORDS, [2, 1, 1, 3, 1, 2, 0, 4]),
    Case(
        "frequent",
        {"kind": "vocabulary", "min_count": 2},
        "bytes",
        WORDS,
        [2, 1, 1, 3, 1, 2, 0, 3],
    ),
    Case(
        "best",
        {"kind": "vocabulary", "top_k": 1},
        "int64",
        [7, 7, 8, 9, 7, N, N, 7],
        [1, 1, 2, 2, 1, 0, 0, 1],
    ),
    Case(
        "tags",
        {"kind": "vocabulary", "length": 3},
        "bytes list",
        [[b"x", b"y"], [b"x"], [], N, [b"y", b"x", b"x", b"x"], [b"x"], [b"q"], N],
        [[1, 2, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [2, 1, 1], [1, 0, 0], [3, 0, 0], [0, 0, 0]],
    ),
    Case(
        "code",
        {"kind": "identity", "size": 3},
        "int64",
        [0, 1, 2, N, 3, -1, 2, N],
        [1, 2, 3, 0, 0, 0, 3, 0],
    ),
    Case(
        "codes",
        {"kind": "identity", "size": 3, "length": 2},
        "int64 list",
        [[0, 2], [1], [], N, [7, 1], [0], [2], [2, 2, 2]],
        [[1, 3], [2, 0], [0, 0], [0, 0], [0, 2], [1, 0], [3, 0], [3, 3]],
    ),
    Case(
        "time",
        {"kind": "date", "parts": ["hour", "weekday", "yearday"]},
        "int64",
        # 1970 began on a Thursday; 1972 is a leap year, and 1969 ends a year too.
        [0, DAY // 4, 4 * DAY, N, 365 * DAY, (365 + 365 + 60) * DAY, -1, 10 * DAY + DAY // 2],
        [
            circle(0, 3 / 7, 0),
            circle(0.25, 3 / 7, 0),
            circle(0, 0, 4 / 365),
            [0.0] * 6,
            circle(0, 4 / 7, 0),
            circle(0, 2 / 7, 60 / 366),
            circle(1 - 1 / 86400, 2 / 7, 364 / 365),
            circle(0.5, 6 / 7, 10 / 365),
        ],
    ),
    Case(
        "second",
        {"kind": "date", "parts": ["trend", "hour"], "unit": "s"},
        "int64",
        SECONDS,
        [
            [0.0] * 3 if second is N else [*circle(second / 86400), score]
            for second, score in zip(SECONDS, scores(SECONDS, 0), strict=True)
        ],
    ),
    # No row of train has a time: those of eval are neither early nor late.
    Case("later", {"kind": "date", "parts": ["trend"]}, "int64", [N] * 6 + [7, DAY], [[0.0]] * 8),
    Case(
        "day",
        {"kind": "date", "parts": ["hour", "day", "month"]},
        "bytes",
        [
            b"2024-02-29",
            b"2023-02-28T18:00",
            b"1969-12-31 06:00:00",
            N,
            b"31.12.1969",
            b"2000-01-01T23:59:59.25Z",
            b"0001-03-01",
            b"2024-12-16",
        ],
        [
            circle(0, 28 / 29, 1 / 12),
            circle(0.75, 27 / 28, 1 / 12),
            circle(0.25, 30 / 31, 11 / 12),
            [0.0] * 6,
            [0.0] * 6,
            circle(86399 / 86400, 0, 0),
            circle(0, 0, 2 / 12),
            circle(0, 15 / 31, 11 / 12),
        ],
    ),
    Case(
        "review",
        {"kind": "tokens", "length": 4},
        "bytes",
        # good: 4, film: 3, été: 2, bad: 1
        [
            b"Good, GOOD film!",
            b"bad film",
            "été -- ÉTÉ".encode(),
            N,
            b"good\nfilm",
            b"good",
            b"dull film",
            b"good good good good bad",
        ],
        [
            [1, 1, 2, 0],
            [4, 2, 0, 0],
            [3, 3, 0, 0],
            [0, 0, 0, 0],
            [1, 2, 0, 0],
            [1, 0, 0, 0],
            [5, 2, 0, 0],
            [1, 1, 1, 1],
        ],
    ),
    Case(
        "pairs",
        {"kind": "tokens", "ngrams": 2, "length": 3, "min_count": 2},
        "bytes",
        [b"not good", b"not good", b"not not", b"", b"good not", b"not", b"not good", b"x"],
        # not: 6, good: 3, "not good": 2; all others are one category
        [[1, 3, 2], [1, 3, 2], [1, 4, 1], [0, 0, 0], [2, 4, 1], [1, 0, 0], [1, 3, 2], [4, 0, 0]],
    ),
    Case(
        "photo",
        {"kind": "image", "height": 1, "width": 2},
        "bytes",
        [RED, N, RED, RED, RED, RED, RED, N],
        [[1.0, 0, 0, 0, 0, 0] if there else [0.0] * 6 for there in (1, 0, 1, 1, 1, 1, 1, 0)],
    ),
]
HASHED = {
    "hashed": {"kind": "hash", "column": "word", "buckets": 50},
    "hashes": {"kind": "hash", "column": "tags", "buckets": 50, "length": 2},
    "crossed": {"kind": "crossed", "columns": ["edges", "word"], "buckets": 5000},
}
LABEL = [b"no", b"yes", b"no", b"maybe", b"no", b"yes", b"yes", b"no"]
TEXT = """
[pipeline]
name = "declared"
[data]
path = "none.csv"
[label]
name = "answer"
columns = ["said"]
kind = "classes"
[train]
steps = 4
batch_size = 3
epochs = 2
[push]
destination = "pushed"
"""


@dataclass(frozen=True)
class Made(World):
    """A transformed data set, and the values of all its features, train rows first."""

    made: dict[str, list[Any]]


@functools.cache
def world() -> tuple[Made, str]:
    """All cases as the features of one pipeline, transformed once; and its folder."""
    folder = tempfile.mkdtemp(prefix="mfx-tests-")
    columns = {case.name: case.kind for case in CASES} | {"said": "bytes"}
    raw = {case.name: case.raw for case in CASES} | {"said": LABEL}
    declared = {case.name: case.options for case in CASES} | HASHED
    text = (
        TEXT
        + "[features]\n"
        + "".join(f"{name} = {config.keys.toml(options)}\n" for name, options in declared.items())
    )
    settings = config.parse(text, Path(folder, "config.toml"))
    kinds = {"int64": "INT", "float32": "FLOAT", "bytes": "BYTES"}
    schema = "".join(
        f'feature {{ name: "{name}" type: {kinds[kind.removesuffix(" list")]} '
        + ("value_count { min: 0 } }\n" if kind.endswith(" list") else "}\n")
        for name, kind in columns.items()
    )
    with saving(Path(folder, "datastore")):
        examples = save_examples(
            Path(folder, "raw"),
            columns,
            train={name: values[:6] for name, values in raw.items()},
            eval={name: values[6:] for name, values in raw.items()},
        )
        found = transform(examples, Schema(schema, "schema.pbtxt", False, "", LINEAGE), settings)
        tables = []
        for split in ("train", "eval"):
            with found[1].files(split) as files:
                tables += [pq.read_table(file) for file in files]
    made = pa.concat_tables(tables).to_pydict()
    return Made(settings, examples, *found, made), folder


def made(name: str) -> list[Any]:
    """What became of a feature: of the train rows, then of the eval rows."""
    return world()[0].made[name]


def test_every_kind_has_options_operations_and_a_case():
    tried = {
        options if isinstance(options, str) else options["kind"]
        for options in [case.options for case in CASES] + list(HASHED.values())
    }
    assert list(OPTIONS) == list(KINDS)
    assert tried == set(KINDS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kind_gives_what_was_worked_out(case):
    np.testing.assert_allclose(np.array(made(case.name)), np.array(case.made), atol=2e-6)


def test_a_hash_gives_equal_values_one_category_and_0_means_missing():
    found = made("hashed")
    by_word = {}
    for word, category in zip(WORDS, found, strict=True):
        assert by_word.setdefault(word, category) == category
    assert by_word.pop(None) == 0
    assert all(1 <= category <= 50 for category in by_word.values())
    assert len(set(by_word.values())) > 1
    bags = made("hashes")
    assert bags[0][0] == bags[1][0] == bags[4][1] != bags[0][1] == bags[4][0]
    assert bags[2] == bags[3] == [0, 0] and bags[1][1] == 0


def test_crossed_is_a_category_of_its_own_for_each_pair():
    pairs = list(zip(made("edges"), WORDS, strict=True))
    found = dict(zip(pairs, made("crossed"), strict=True))
    assert len(set(found.values())) == len(set(pairs))
    assert all(1 <= category <= 5000 for category in found.values())


def test_classes_are_sorted_whatever_their_frequency():
    assert made("answer") == [1, 2, 1, 0, 1, 2, 2, 1]


def test_what_is_served_is_what_was_trained_on(tmp_path):
    """One graph: raw rows as tf.Examples give the features that the training had, and the answers
    of both signatures are equal. The default network takes all kinds."""
    small, folder = world()

    class Kept:
        directory, is_loaded = str(tmp_path), False

        def save(self):
            pass

    lines = []
    with saving(Path(folder, "datastore")):
        given = (small.graph, small.transformed, small.settings, 0, Kept(), lines.append)
        model = train(*given)
        (rows,) = small.examples.batches("eval", 10)
        with model.payload.files() as files:
            loaded = tf.saved_model.load(str(files))
            answers = loaded.signatures
            texts = tf.constant(list(serialize(rows)))
            served = answers["transform_features"](examples=texts)
            whole = answers["serving_default"](examples=texts)["outputs"].numpy()
            classified = answers["classify"](inputs=texts)
    for name in small.graph.features:
        np.testing.assert_array_equal(served[name].numpy().tolist(), made(name)[6:], err_msg=name)
    assert whole.shape == (2, 3)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-6)
    assert classified["classes"].numpy().tolist() == [[b"maybe", b"no", b"yes"]] * 2
    np.testing.assert_array_equal(classified["scores"].numpy(), whole)
    assert len(model.history["val_accuracy"]) == 2
    assert not [line for line in lines if "does not use" in line]
