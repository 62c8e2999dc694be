"""The script that stands for a server: tf.Examples from rows, answers from a SavedModel."""

from __future__ import annotations

import ast
import base64
import json
import math
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from mfx import replay


def test_an_example_holds_what_is_there():
    example = tf.train.Example.FromString(
        replay.to_example({"i": 3, "f": 2.0, "b": b"\xff", "none": None, "zero": 0})
    )
    features = example.features.feature
    assert sorted(features) == ["b", "f", "i", "zero"]
    assert list(features["i"].int64_list.value) == [3]
    assert list(features["f"].float_list.value) == [2.0]
    assert list(features["b"].bytes_list.value) == [b"\xff"]
    assert list(features["zero"].int64_list.value) == [0]


def test_equal_rows_are_equal_bytes_in_any_order():
    assert replay.to_example({"a": 1, "b": 2.5}) == replay.to_example({"b": 2.5, "a": 1})


def test_rows_are_answered_in_order(tmp_path):
    spec = {
        "x": tf.io.FixedLenFeature([], tf.float32, -1.0),
        "word": tf.io.FixedLenFeature([], tf.string, ""),
    }

    def serve(examples):
        parsed = tf.io.parse_example(examples, spec)
        lengths = tf.cast(tf.strings.length(parsed["word"]), tf.float32)
        return {"outputs": tf.stack([parsed["x"], lengths], axis=1)}

    module = tf.Module()
    signature = tf.function(serve, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(tmp_path / "model"), {"serving_default": signature})
    word = {"b64": base64.b64encode(b"ab\xc3").decode()}
    rows = [{"x": 1.5, "word": word}, {"x": None, "word": None}, {}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    replay.main(*(str(tmp_path / name) for name in ("model", "rows.json", "out.json")))
    answer = json.loads((tmp_path / "out.json").read_text())
    assert answer["outputs"] == [[1.5, 3.0], [-1.0, 0.0], [-1.0, 0.0]]
    assert answer["load_seconds"] > 0 and math.isfinite(answer["load_seconds"])


def test_it_needs_nothing_but_tensorflow():
    names = set()
    for node in ast.walk(ast.parse(Path(replay.__file__).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names - set(sys.stdlib_module_names) == {"tensorflow"}


@pytest.mark.parametrize("row", [{"x": "text"}, {"x": [1.0]}])
def test_other_values_are_not_taken_in_silence(row):
    with pytest.raises(TypeError):
        replay.to_example(row)
