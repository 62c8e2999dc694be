"""The default network takes every form of feature, and fits the label's kind from the start."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from mfx.errors import MfxError
from mfx.export import network
from mfx.train.networks import default
from mfx.train.networks.facts import Facts
from mfx.train.networks.heads import (
    HEADS,
    WeightedBinaryCrossentropy,
    WeightedSparseCategoricalCrossentropy,
    class_weights,
)
from mfx.train.networks.options import Options, checked
from mfx.transform.declared.forms import Categories, Numbers, Picture

FORMS = {
    "a number": Numbers(),
    "dense": Numbers(3),
    "company/name": Categories(7),
    "wide": Categories(5, embedding=2),
    "one": Categories(4, indicator=True),
    "words": Categories(9, length=4),
    "tags": Categories(6, indicator=True, length=3),
    "photo": Picture(9, 12, 3),
}
ROWS = 6


def rows(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "a number": random.normal(size=ROWS).astype("float32"),
        "dense": random.normal(size=(ROWS, 3)).astype("float32"),
        "company/name": random.integers(0, 7, ROWS),
        "wide": random.integers(0, 5, ROWS),
        "one": random.integers(0, 4, ROWS),
        "words": random.integers(0, 9, (ROWS, 4)),
        "tags": random.integers(0, 6, (ROWS, 3)),
        "photo": random.random((ROWS, 9 * 12 * 3)).astype("float32"),
    }


def facts(kind: str, **more) -> Facts:
    values = {"name": "label", "counts": (), "mean": 5.0, "deviation": 2.0, "log_mean": 1.5}
    return Facts(kind=kind, **{**values, **more})


KINDS = [
    (facts("binary", counts=(30, 10)), [0.25], "binary", [0, 1, 1, 0, 1, 0]),
    (facts("classes", counts=(10, 30, 60)), [0.1, 0.3, 0.6], "classes", [0, 1, 2, 2, 1, 0]),
    (facts("regression"), [5.0], "meansquarederror", [1.0, 2, 9, 5, 5, 8]),
    (facts("log_regression"), [np.expm1(1.5)], "meansquaredlogarithmicerror", [0.0, 2, 9, 5, 5, 8]),
    (facts("counts"), [5.0], "poisson", [0.0, 2, 9, 5, 5, 8]),
]


@pytest.mark.parametrize(("known", "expected", "loss", "labels"), KINDS, ids=list(HEADS))
def test_it_begins_with_the_average_and_learns(known, expected, loss, labels):
    keras.utils.set_random_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = default.build(FORMS, known, Options(dropout=0, learning_rate=0.01))
        network.check(model)
        found = network.loss_of(model)
        assert loss in (found.kind, found.name)
        assert set(network.inputs_of(model, FORMS).names) == set(FORMS)
        given, wanted = rows(), np.array(labels)
        np.testing.assert_allclose(model.predict(given, verbose=0), [expected] * ROWS, rtol=1e-5)
        before = model.evaluate(given, wanted, verbose=0, return_dict=True)["loss"]
        model.fit(given, wanted, epochs=60, batch_size=ROWS, verbose=0)
    after = model.evaluate(given, wanted, verbose=0, return_dict=True)["loss"]
    assert np.isfinite(after) and after < before - 0.1


def test_equal_seeds_give_equal_networks():
    def weights() -> list[np.ndarray]:
        keras.utils.set_random_seed(7)
        model = default.build(FORMS, KINDS[0][0], Options())
        model.fit(rows(), np.array(KINDS[0][3]), epochs=2, verbose=0, shuffle=False)
        return model.get_weights()

    for first, second in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_filling_of_a_bag_does_not_count():
    model = default.build({"words": FORMS["words"]}, KINDS[0][0], Options(dropout=0))
    for weight in model.trainable_variables:
        weight.assign(keras.random.normal(weight.shape, seed=3))
    answers = model.predict({"words": np.array([[3, 5, 0, 0], [3, 5, 3, 5], [0] * 4])}, verbose=0)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5)
    assert np.isfinite(answers).all()


def test_without_the_wide_part_and_without_blocks_it_is_a_plain_one():
    model = default.build({"x": Numbers()}, KINDS[0][0], Options(wide=False, blocks=0, units=3))
    assert model.count_params() == (1 + 1) * 3 + (3 + 1)


def test_weights_of_classes_weigh_the_loss_of_their_rows():
    answers = np.array([[0.5], [0.2], [0.9]], "float32")
    loss = WeightedBinaryCrossentropy([1.0, 3.0])(np.array([0, 1, 1]), answers)
    expected = -(np.log(0.5) + 3 * np.log(0.2) + 3 * np.log(0.9)) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    shares = np.array([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]], "float32")
    loss = WeightedSparseCategoricalCrossentropy([1.0, 3.0])(np.array([0, 1, 1]), shares)
    expected = -(np.log(0.5) + 3 * np.log(0.8) + 3 * np.log(0.1)) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_balanced_classes_have_equal_weight_in_all():
    known = facts("classes", counts=(10, 30, 60))
    assert class_weights(Options(class_weights="balanced"), known) == pytest.approx(
        [100 / 30, 100 / 90, 100 / 180]
    )
    assert class_weights(Options(class_weights=[1, 2, 3]), known) == [1, 2, 3]
    assert class_weights(Options(), known) is None
    for kind, counts in (("binary", (3, 1)), ("classes", (3, 1, 1))):
        model = default.build(
            {"x": Numbers()}, facts(kind, counts=counts), Options(class_weights="balanced")
        )
        network.check(model)
        assert network.loss_of(model).kind == kind


@pytest.mark.parametrize(
    ("known", "weights", "message"),
    [
        (facts("regression"), "balanced", "a label of the kind regression has no classes"),
        (facts("binary", counts=(1, 2)), [1, 2, 3], "3 weights, but the label has 2 classes"),
    ],
)
def test_weights_that_do_not_fit(known, weights, message):
    with pytest.raises(MfxError, match=message):
        default.build({"x": Numbers()}, known, Options(class_weights=weights))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"unit": 3}, "train.hyperparameters: unknown key 'unit'; did you mean 'units'?"),
        ({"units": "3"}, 'hyperparameters: units: expected a whole number, at least 1, found "3"'),
        ({"dropout": 1.0}, "train.hyperparameters: dropout: expected a number"),
    ],
)
def test_a_hyperparameter_that_it_does_not_have(given, message):
    with pytest.raises(MfxError) as caught:
        checked(given)
    assert message in caught.value.what
    assert "docs/how-to/declared-features.md" in caught.value.remedy
