"""The default network's first layers: each turns a feature into numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from mfx.transform.declared.forms import Categories, Form, Numbers, Picture

MOST_NUMBERS = 32
"""How many numbers are learned for a category at most, if the config does not say."""
SMALL = 8
"""Pictures are brought to at most this height and width before they are laid out as numbers."""


def keras_input(form: Form) -> Any:
    """The `keras.Input` of a feature, `inputs[name]` of the network."""
    if isinstance(form, Categories):
        return keras.Input(() if form.length is None else (form.length,), dtype="int64")
    if isinstance(form, Picture):
        return keras.Input((form.height * form.width * form.channels,), dtype="float32")
    return keras.Input(() if form.width is None else (form.width,), dtype="float32")


def encode(given: Any, form: Form) -> Any:
    """Turn a feature into numbers, [batch, any width]."""
    return _ENCODERS[type(form)](given, form)


def wide(given: Any, form: Form, width: int) -> Any | None:
    """What a feature's categories add to each of `width` answers, [batch, width]; None if it has
    no categories."""
    if not isinstance(form, Categories):
        return None
    # An embedding holds these weights without one-hot tensors.
    return _mean(given, keras.layers.Embedding(form.size, width, "zeros")(given), form)


def _numbers(given: Any, form: Numbers) -> Any:
    return keras.layers.Reshape((1,))(given) if form.width is None else given


def _categories(given: Any, form: Categories) -> Any:
    if form.indicator:
        return _mean(given, ops.one_hot(given, form.size), form)
    width = form.embedding or min(MOST_NUMBERS, round(1.6 * form.size**0.56))
    return _mean(given, keras.layers.Embedding(form.size, width)(given), form)


def _mean(given: Any, vectors: Any, form: Categories) -> Any:
    """The mean of a bag's vectors, without its filling; a single category's vector as it is."""
    if form.length is None:
        return vectors
    there = ops.expand_dims(ops.cast(ops.greater(given, 0), vectors.dtype), -1)
    return ops.sum(vectors * there, axis=1) / ops.maximum(ops.sum(there, axis=1), 1)


def _picture(given: Any, form: Picture) -> Any:
    seen = keras.layers.Reshape((form.height, form.width, form.channels))(given)
    filters, side = 32, max(form.height, form.width)
    while True:
        seen = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(seen)
        if side <= SMALL:
            break
        seen = keras.layers.MaxPooling2D(2, padding="same")(seen)
        filters, side = min(2 * filters, 128), -(-side // 2)
    return keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(seen))


_ENCODERS: dict[type, Callable[[Any, Any], Any]] = {
    Numbers: _numbers,
    Categories: _categories,
    Picture: _picture,
}
