"""The default network: wide and deep, with residual blocks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras

from mfx.train.networks.encoders import encode, keras_input, wide
from mfx.train.networks.facts import Facts
from mfx.train.networks.heads import HEADS, class_weights
from mfx.train.networks.options import Options
from mfx.transform.declared.forms import Form


def build(forms: Mapping[str, Form], facts: Facts, options: Options) -> keras.Model:
    """Build and compile it.

    The deep part turns each feature into numbers (categories by embeddings, bags by the mean of
    their embeddings, pictures by convolutions), and sends them through a layer and residual
    blocks. The wide part adds a weight for each category. At first the network answers what is
    right on average.

    Args:
        forms: What the network gets, by the features' names.
        facts: What it needs to know of the label.
        options: The hyperparameters.

    Raises:
        MfxError: The class weights do not fit the label.
    """
    head = HEADS[facts.kind]
    bias = head.bias(facts)
    inputs = {name: keras_input(form) for name, form in forms.items()}
    parts = [encode(inputs[name], form) for name, form in forms.items()]
    deep = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    deep = keras.layers.Dense(options.units, activation="relu")(deep)
    for _ in range(options.blocks):
        deep = keras.layers.Add()([deep, _block(deep, options)])
    deep = keras.layers.Dropout(options.dropout)(deep)
    answers = keras.layers.Dense(len(bias), kernel_initializer="zeros")
    sums = [answers(deep)]
    answers.bias.assign(bias)
    if options.wide:
        found = (wide(inputs[name], form, len(bias)) for name, form in forms.items())
        sums += [weights for weights in found if weights is not None]
    total: Any = keras.layers.Add()(sums) if len(sums) > 1 else sums[0]
    with warnings.catch_warnings():
        # Keras warns that the inputs' names are not the keys. They cannot be: a feature's name may
        # have a "/", or be that of a layer.
        warnings.filterwarnings("ignore", "When providing `inputs` as a dict")
        model = keras.Model(inputs, head.answer(total, facts))
    model.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss=head.loss(class_weights(options, facts)),
        metrics=head.metrics(),
    )
    return model


def _block(given: Any, options: Options) -> Any:
    made = keras.layers.LayerNormalization()(given)
    made = keras.layers.Dense(options.units, activation="relu")(made)
    made = keras.layers.Dropout(options.dropout)(made)
    return keras.layers.Dense(options.units)(made)
