"""The taxi pipeline's features and model: will the rider tip more than 20 % of the fare?"""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_transform as tft

from mfx.features import fill_missing

FARE, TIPS, LABEL = "fare", "tips", "big_tipper"
NUMBERS = ["trip_miles", "fare", "trip_seconds"]
COORDINATES = ["pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"]
WORDS = ["payment_type", "company"]
CODES = {"trip_start_hour": 24, "trip_start_day": 8, "trip_start_month": 13}
AREAS = {"pickup_community_area": 78, "dropoff_community_area": 78}
VOCABULARY, OOV_BUCKETS, BUCKETS = 1000, 10, 10


def preprocessing_fn(inputs: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Turn raw features into model inputs, by one graph for training, evaluation and serving."""
    outputs = {}
    for name in NUMBERS:
        # Scaled first, then filled: a missing value becomes the mean and does not change it.
        outputs[name] = fill_missing(tft.scale_to_z_score(inputs[name]))
    for name in COORDINATES:
        outputs[name] = tft.bucketize(fill_missing(inputs[name]), BUCKETS)
    for name in WORDS:
        outputs[name] = tft.compute_and_apply_vocabulary(
            fill_missing(inputs[name]), top_k=VOCABULARY, num_oov_buckets=OOV_BUCKETS
        )
    for name, size in (CODES | AREAS).items():
        outputs[name] = tf.clip_by_value(fill_missing(inputs[name]), 0, size - 1)
    tip, fare = fill_missing(inputs[TIPS]), fill_missing(inputs[FARE])
    outputs[LABEL] = tf.cast(tip > 0.2 * fare, tf.int64)
    return outputs


def build_model(hidden_units: list[int], learning_rate: float) -> keras.Model:
    """Build and compile a wide and deep model on transformed features, each of shape [batch]."""
    sizes = (
        dict.fromkeys(COORDINATES, BUCKETS)
        | dict.fromkeys(WORDS, VOCABULARY + OOV_BUCKETS)
        | CODES
        | AREAS
    )
    inputs = {name: keras.Input((), name=name, dtype="float32") for name in NUMBERS}
    inputs |= {name: keras.Input((), name=name, dtype="int64") for name in sizes}

    deep = keras.layers.Concatenate()([keras.layers.Reshape((1,))(inputs[n]) for n in NUMBERS])
    for units in hidden_units:
        deep = keras.layers.Dense(units, activation="relu")(deep)
    # An embedding of width one holds the wide part's weights, without one-hot tensors.
    wide = [
        keras.layers.Embedding(size, 1, embeddings_initializer="zeros", name=f"wide_{name}")(
            inputs[name]
        )
        for name, size in sizes.items()
    ]
    logit = keras.layers.Add()([keras.layers.Dense(1)(deep), *wide])
    output = keras.layers.Activation("sigmoid", dtype="float32", name=LABEL)(logit)
    model = keras.Model(inputs, output)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")],
    )
    return model
