"""For clients an input may have any title; TensorFlow gets a name that Python allows."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfx.columns import input_names

TITLES = ["two words", "a.b", "a/b", "a_b", "a b", "1st", "class", "None", "self", "größe", "价格"]
TITLES += ["é", "e\u0301", "🚕", "Case", "case", "_x", "x" * 200, "a\nb", "\x01", "args", "kwargs"]
TITLES += ["body", "tensors", "examples", "inputs", "name", "b64", '"', "'", "\\", "..", " ", "-"]


@given(st.sets(st.text(min_size=1) | st.sampled_from(TITLES), max_size=20))
def test_each_title_has_an_argument_of_its_own(titles):
    found = input_names.arguments(titles)
    assert set(found) == titles
    assert len({name.lower() for name in found.values()}) == len(titles)
    for name in found.values():
        assert name.isidentifier() and name.isascii() and name[0].isalpha()
        assert not keyword.iskeyword(name) and name != "self"
    assert input_names.arguments(sorted(titles, reverse=True)) == found


def test_usual_titles_stay():
    titles = ["trip_miles", "fare", "Age", "x1"]
    assert input_names.arguments(titles) == {title: title for title in titles}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A SavedModel whose signature sums its inputs, each with the weight of its position."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("saved") / "model"
    names = input_names.arguments(TITLES)
    specs = {name: tf.TensorSpec([None], tf.float32, name=name) for name in names.values()}
    weigh = tf.function(
        lambda **t: {"outputs": tf.add_n([i * t[names[x]] for i, x in enumerate(TITLES)])},
        autograph=False,
    )
    tf.saved_model.save(tf.Module(), str(folder), {"predict": weigh.get_concrete_function(**specs)})
    input_names.put_titles(folder, "predict", names)
    return folder


def test_the_arguments_are_read_back(saved):
    import tensorflow as tf

    names = input_names.read(saved)
    assert names == input_names.arguments(TITLES)
    signature = tf.saved_model.load(str(saved)).signatures["predict"]
    values = {title: float(number % 7) for number, title in enumerate(TITLES)}
    given = {names[title]: tf.constant([value]) for title, value in values.items()}
    expected = sum(number * values[title] for number, title in enumerate(TITLES))
    assert signature(**given)["outputs"].numpy() == [expected]


def test_servers_go_by_the_titles(saved):
    import numpy as np

    from mfx.serve.model import ServedModel
    from mfx.serve.parameters import BatchingParameters

    model = ServedModel(saved, 1, BatchingParameters())
    try:
        assert set(model.signatures["predict"].inputs) == set(TITLES)
        values = {title: float(number % 7) for number, title in enumerate(TITLES)}
        given = {title: np.array([value], np.float32) for title, value in values.items()}
        expected = sum(number * values[title] for number, title in enumerate(TITLES))
        assert model.run("predict", given)["outputs"] == [expected]
    finally:
        model.close()
