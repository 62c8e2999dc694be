"""Which feature feeds which input, and what answers mean, in every form that Keras takes."""

from __future__ import annotations

import functools

import keras
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from mfx.errors import MfxError
from mfx.export import network
from mfx.train.input import TrainInput

FEATURES = {"a": 1.0, "b": 10.0, "c": 100.0, "A noise": 1e6, "text": "t"}
"""The features of each row. The network sums its inputs, each with a different weight."""


def given(name: str, **options):
    return keras.Input((), name=name, **options)


def weighed(a, b, c) -> keras.KerasTensor:
    joined = keras.layers.Concatenate()([keras.layers.Reshape((1,))(one) for one in (a, b, c)])
    weights = keras.initializers.Constant([[1.0], [2.0], [3.0]])
    return keras.layers.Dense(1, kernel_initializer=weights)(joined)


SUM = 1.0 + 2 * 10.0 + 3 * 100.0


class OfFunctions(keras.Model):
    """A user's own class around functions, with an extra argument."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.note = "mine"


def in_form(form: str) -> keras.Model:
    a, b, c = given("a"), given("b"), given("c")
    if form == "dict":
        return keras.Model({"c": c, "a": a, "b": b}, weighed(a, b, c))
    if form == "list":
        return keras.Model([c, a, b], weighed(a, b, c))
    if form == "tuple":
        return keras.Model((b, c, a), weighed(a, b, c))
    if form == "nested":
        return keras.Model({"z": [c, {"b": b}], "deep": (a,)}, weighed(a, b, c))
    if form == "class":
        return OfFunctions([c, a, b], weighed(a, b, c))
    # A key may be a name that keras.Input does not allow, such as one with a slash.
    odd = given("other")
    return keras.Model({"c": c, "a": odd, "b": b}, weighed(odd, b, c))


@pytest.fixture
def stored(tmp_path):
    rows = 6
    columns = {name: [value] * rows for name, value in FEATURES.items()}
    table = pa.table({**columns, "text": [b"t"] * rows, "label": [0.0] * rows})
    for place, name in enumerate(table.column_names):
        if table.schema.types[place] == pa.float64():
            table = table.set_column(place, name, table[name].cast(pa.float32()))
    pq.write_table(table, tmp_path / "train.parquet")
    return [tmp_path / "train.parquet"]


@pytest.mark.parametrize("form", ["dict", "list", "tuple", "nested", "class", "key"])
def test_each_input_gets_its_feature(form, stored):
    model = in_form(form)
    inputs = network.inputs_of(model, {**FEATURES, "label": 0}, "label")
    assert sorted(inputs.names) == ["a", "b", "c"]
    assert inputs.without(FEATURES) == ["A noise", "text"]
    served = model(inputs.of({name: tf.constant([FEATURES[name]]) for name in inputs.names}))
    assert served.numpy().tolist() == [[SUM]]
    # The same in training: the loss is the difference between the sum and the label.
    model.compile(keras.optimizers.SGD(0.0), "mse")
    trained = TrainInput(stored, "label", 1, inputs.names, inputs.of)
    history = model.fit(trained.dataset(2), steps_per_epoch=3, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(SUM**2)
    assert model.evaluate(trained.head(6, 4), verbose=0) == pytest.approx(SUM**2)


def test_a_single_input_and_a_sequence_of_layers():
    for model in (
        _single(),
        keras.Sequential([keras.Input((2,), name="b"), keras.layers.Dense(1)]),
    ):
        inputs = network.inputs_of(model, FEATURES)
        assert inputs.names == ("b",)
        assert inputs.of({"a": 1, "b": 2}) == 2


def _single() -> keras.Model:
    b = given("b")
    return keras.Model(b, keras.layers.Reshape((1,))(b))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs["a"]


@pytest.mark.parametrize(
    ("model", "features", "label", "said"),
    [
        (Subclassed, FEATURES, "", "a Subclassed without named inputs"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), FEATURES, "", "keras.Input"),
        (_single, {"a": 1, "bb": 1}, "", "no feature feeds the input 'b'; did you mean 'bb'?"),
        (_single, FEATURES, "b", "the input 'b' is the label"),
        (lambda: in_form("key"), {"other": 1, "b": 1, "c": 1}, "", "is named 'other'"),
        (
            lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
            *(FEATURES, "", "no feature feeds the input 'keras_tensor"),
        ),
    ],
)
def test_what_cannot_be_named_is_one_error(model, features, label, said):
    with pytest.raises(MfxError) as caught:
        network.inputs_of(model(), features, label)
    assert said in str(caught.value)
    assert caught.value.remedy


def of(loss, units: int = 1, activation: str | None = None) -> keras.Model:
    a = keras.Input((2,), name="a")
    model = keras.Model(a, keras.layers.Dense(units, activation)(a))
    model.compile("sgd", loss)
    return model


class Mine(keras.losses.BinaryCrossentropy):
    """A user's own loss that derives from one of Keras' losses."""


def own(y_true, y_pred, from_logits=True):
    return keras.losses.binary_crossentropy(y_true, y_pred, from_logits=from_logits)


LOGITS = {"from_logits": True}
SPARSE = keras.losses.SparseCategoricalCrossentropy
SPARSE_FUNCTION = keras.losses.sparse_categorical_crossentropy
CONFIG = {"class_name": "BinaryCrossentropy", "config": LOGITS}


@pytest.mark.parametrize(
    ("loss", "units", "kind", "activation"),
    [
        ("binary_crossentropy", 1, "binary", ""),
        ("bce", 1, "binary", ""),
        ("BinaryCrossentropy", 1, "binary", ""),
        (keras.losses.binary_crossentropy, 1, "binary", ""),
        (keras.losses.BinaryCrossentropy(), 1, "binary", ""),
        (keras.losses.BinaryCrossentropy(**LOGITS), 1, "binary", "sigmoid"),
        ([keras.losses.BinaryCrossentropy(**LOGITS)], 1, "binary", "sigmoid"),
        (keras.losses.BinaryFocalCrossentropy(**LOGITS), 1, "binary", "sigmoid"),
        (keras.losses.BinaryCrossentropy.from_config(LOGITS), 1, "binary", "sigmoid"),
        (keras.losses.get(CONFIG), 1, "binary", "sigmoid"),
        (CONFIG, 1, "binary", "sigmoid"),
        (functools.partial(keras.losses.binary_crossentropy, **LOGITS), 1, "binary", "sigmoid"),
        (Mine(**LOGITS), 1, "binary", "sigmoid"),
        (own, 1, "", "sigmoid"),
        (functools.partial(own, from_logits=False), 1, "", ""),
        (SPARSE(**LOGITS), 3, "classes", "softmax"),
        (SPARSE(), 3, "classes", ""),
        (functools.partial(SPARSE_FUNCTION, **LOGITS), 3, "classes", "softmax"),
        (keras.losses.CategoricalCrossentropy(**LOGITS), 3, "one-hot", "softmax"),
        (keras.losses.CategoricalFocalCrossentropy(), 3, "one-hot", ""),
        ("mse", 1, "", ""),
        (lambda y, p: (y - p) ** 2, 1, "", ""),
        (None, 1, "", ""),
    ],
)
def test_what_a_loss_takes_answers_for(loss, units, kind, activation):
    model = of(loss, units)
    assert network.loss_of(model).kind == kind
    assert network.probabilities(model) == activation


def test_a_class_that_does_not_count_is_known():
    assert network.loss_of(of(SPARSE(ignore_class=-1), 3)).ignored == -1
    assert network.loss_of(of(SPARSE(), 3)).ignored is None


def two_outputs() -> keras.Model:
    a = keras.Input((2,), name="a")
    model = keras.Model(a, [keras.layers.Dense(1)(a), keras.layers.Dense(1)(a)])
    model.compile("sgd", "mse")
    return model


def nested_end() -> keras.Model:
    a = keras.Input((2,), name="a")
    end = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model = keras.Model(a, end(a))
    model.compile("sgd", keras.losses.BinaryCrossentropy(**LOGITS))
    return model


def not_compiled() -> keras.Model:
    return keras.Sequential([keras.Input((2,), name="a"), keras.layers.Dense(1)])


WRONG_ENDS = [
    (lambda: of(keras.losses.BinaryCrossentropy(**LOGITS), 1, "sigmoid"), "ends in a sigmoid"),
    (lambda: of(SPARSE(**LOGITS), 3, "softmax"), "ends in a softmax, but its loss has from_logits"),
    (nested_end, "ends in a sigmoid"),
    (lambda: of("binary_crossentropy"), "has no activation, but its loss, a cross-entropy"),
    (lambda: of(SPARSE(), 3), "has no activation"),
    (two_outputs, "has 2 outputs"),
    (not_compiled, "is not compiled"),
]


@pytest.mark.parametrize(("model", "said"), WRONG_ENDS)
def test_what_does_not_go_together_is_one_error(model, said):
    with pytest.raises(MfxError, match=said) as caught:
        network.check(model())
    assert caught.value.remedy


@pytest.mark.parametrize(
    "model",
    [
        lambda: of("binary_crossentropy", 1, "sigmoid"),
        lambda: of(keras.losses.BinaryCrossentropy(**LOGITS)),
        lambda: of(SPARSE(), 3, "softmax"),
        lambda: of("mse"),
        lambda: of(lambda y, p: own(y, p)),
    ],
)
def test_what_goes_together_passes(model):
    network.check(model())


@pytest.mark.parametrize(
    ("shape", "width"), [((1,), 1), ((3,), 3), ((), 1), ((2, 2), 0), ((None,), 0)]
)
def test_width_is_of_a_vector(shape, width):
    a = keras.Input(shape, name="a")
    assert network.width(keras.Model(a, keras.layers.Activation("tanh")(a))) == width
