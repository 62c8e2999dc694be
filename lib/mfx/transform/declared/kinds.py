"""The kinds of features: for each, its TFT operations and what a network gets from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from mfx.transform.declared import dates, images, numbers, words
from mfx.transform.declared.forms import Form, SizeOf


class Kind(NamedTuple):
    """One kind.

    Args:
        make: Makes the feature of its options, its name and the raw `Columns`.
        form: What a network gets, of its options, its name, whether its column has lists, and the
            sizes of vocabularies.
    """

    make: Callable[..., tf.Tensor]
    form: Callable[[Any, str, bool, SizeOf], Form]


CROSSED = "crossed"
"""The kind that is made from other features; its `make` takes them too."""

KINDS: dict[str, Kind] = {
    "zscore": Kind(numbers.zscore, numbers.number_form),
    "log": Kind(numbers.log, numbers.number_form),
    "minmax": Kind(numbers.minmax, numbers.number_form),
    "buckets": Kind(numbers.buckets, numbers.buckets_form),
    "vocabulary": Kind(words.vocabulary, words.vocabulary_form),
    "hash": Kind(words.hashed, words.buckets_form),
    "identity": Kind(words.identity, words.identity_form),
    CROSSED: Kind(words.crossed, words.buckets_form),
    "date": Kind(dates.date, dates.date_form),
    "tokens": Kind(words.tokens, words.tokens_form),
    "image": Kind(images.image, images.image_form),
}
"""By the name that the config gives it; `mfx.config.features.KINDS` has the options of the same."""
