"""A declared label is made from its column."""

from __future__ import annotations

import pytest
import tensorflow as tf

from mfx.config import Label
from mfx.transform.declared.labels import label, sort_classes
from mfx.transform.declared.raw import Columns

NUMBERS = {"tips": [1.0, 2.0, 3.0], "fare": [5.0, 10.0, 10.0], "tip": [0, 1, 1]}
TEXTS = {"said": ["no", "yes", "perhaps"]}


@pytest.mark.parametrize(
    ("options", "expected", "kind"),
    [
        ({"columns": ["tip"], "kind": "binary"}, [0, 1, 1], tf.int64),
        (
            {"columns": ["tips"], "kind": "binary", "above": {"column": "fare", "times": 0.2}},
            [0, 0, 1],  # 2 is not above a fifth of 10
            tf.int64,
        ),
        ({"columns": ["tips"], "kind": "binary", "above": {"value": 1}}, [0, 1, 1], tf.int64),
        (
            {"columns": ["fare"], "kind": "binary", "above": {"column": "tips", "value": 7}},
            [0, 1, 0],  # 8, 9, 10 are the bars
            tf.int64,
        ),
        ({"columns": ["said"], "kind": "binary", "classes": ["yes", "no"]}, [1, 0, -1], tf.int64),
        ({"columns": ["tip"], "kind": "classes", "classes": ["a", "b"]}, [0, 1, 1], tf.int64),
        ({"columns": ["tips"], "kind": "regression"}, [1, 2, 3], tf.float32),
        ({"columns": ["tip"], "kind": "counts"}, [0, 1, 1], tf.float32),
    ],
)
def test_a_label_is_made(options, expected, kind):
    inputs = {
        name: tf.SparseTensor([[0, 0], [1, 0], [2, 0]], values, [3, 1])
        for name, values in {**NUMBERS, **TEXTS}.items()
    }
    columns = Columns(inputs, dict.fromkeys(inputs, "any"))
    made = label(Label(name="label", **options), columns)
    assert (made.numpy().tolist(), made.dtype) == (expected, kind)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (b"b\nc\na\n", b"a\nb\nc\n"),
        (b"10\n9\n-1\n", b"-1\n9\n10\n"),
        (b"10\n9\nx\n", b"10\n9\nx\n"),
    ],
)
def test_classes_are_put_into_order(found, expected, tmp_path):
    assets = tmp_path / "transform_fn" / "assets"
    sort_classes(tmp_path)  # There are none, which is fine.
    assets.mkdir(parents=True)
    (assets / "label_classes").write_bytes(found)
    sort_classes(tmp_path)
    assert (assets / "label_classes").read_bytes() == expected
