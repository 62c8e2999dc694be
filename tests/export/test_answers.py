"""Answers become probabilities, and values that are no probabilities are named."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mfx.export import answers

NUMBERS = st.floats(-1e4, 1e4, width=32)


@pytest.mark.parametrize(
    ("activation", "graph"), [("sigmoid", tf.sigmoid), ("softmax", tf.nn.softmax)]
)
@settings(max_examples=30, deadline=None)
@given(values=npst.arrays(np.float32, (4, 3), elements=NUMBERS))
def test_evaluated_is_what_the_graph_makes_of_it(tmp_path_factory, activation, graph, values):
    folder = tmp_path_factory.mktemp("model")
    answers.write(folder, activation)
    found = answers.as_evaluated(folder, values)
    assert found.dtype == np.float32
    assert found == pytest.approx(graph(values).numpy(), abs=1e-6)
    assert not answers.not_probabilities(found[:, :1], ["auc"])
    if activation == "softmax":
        assert not answers.not_probabilities(found, ["auc"])


def test_without_a_word_answers_are_evaluated_as_they_are(tmp_path):
    answers.write(tmp_path, "")
    assert not list(tmp_path.iterdir())
    assert answers.as_evaluated(tmp_path, np.array([[-2.0], [3.0]])).tolist() == [[-2.0], [3.0]]


def test_what_a_later_version_writes_is_not_guessed(tmp_path):
    answers.write(tmp_path, "sparsemax")
    with pytest.raises(ValueError, match="this version does not know the activation 'sparsemax'"):
        answers.as_evaluated(tmp_path, np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0.0], [1.0]], ""),
        ([[-1e-7], [1 + 1e-7]], ""),
        (
            [[0.5], [1.1]],
            "1 of 2 predictions are not between 0 and 1 (they go from 0.5 to 1.1), but",
        ),
        ([[0.2, 0.8]], ""),
        ([[0.2, 0.805]], ""),
        ([[0.2, 0.9], [0.5, 0.5]], "1 of 2 rows of predictions do not add up to 1 (their sums go"),
        ([[float("nan")]], "1 of 1 predictions are not between"),
    ],
)
def test_what_is_a_probability(values, said):
    found = answers.not_probabilities(np.array(values), ["auc"])
    assert found.startswith(said) and bool(found) == bool(said)
    assert not answers.not_probabilities(np.array(values), [])
