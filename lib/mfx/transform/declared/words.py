"""Texts and whole numbers as categories: by vocabularies, hashes, or their own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from mfx.config import features
from mfx.transform.declared.forms import Categories, SizeOf
from mfx.transform.declared.raw import Columns, categories, vocabulary_name

_NO_LETTERS = r"[^\p{L}\p{M}\p{N}]+"


def _by_vocabulary(texts: tf.SparseTensor, name: str, options: Any) -> tf.SparseTensor:
    return tft.compute_and_apply_vocabulary(
        texts,
        top_k=options.top_k,
        frequency_threshold=options.min_count,
        num_oov_buckets=options.oov,
        vocab_filename=vocabulary_name(name),
    )


def vocabulary(options: features.Vocabulary, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Vocabulary`."""
    column = columns[options.columns_of(name)[0]].texts()
    numbers = _by_vocabulary(column.sparse, name, options)
    return categories(numbers, column.lists, options.length)


def vocabulary_form(options: Any, name: str, lists: bool, size_of: SizeOf) -> Categories:
    """What a network gets from a vocabulary."""
    size = size_of(vocabulary_name(name)) + options.oov + 1
    return _form(options, size, lists)


def hashed(options: features.Hash, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Hash`."""
    column = columns[options.columns_of(name)[0]].texts()
    numbers = column.sparse.with_values(tft.hash_strings(column.sparse.values, options.buckets))
    return categories(numbers, column.lists, options.length)


def identity(options: features.Identity, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Identity`."""
    column = columns[options.columns_of(name)[0]]
    values = column.sparse.values
    known = (values >= 0) & (values < options.size)
    numbers = column.sparse.with_values(tf.where(known, values, -tf.ones_like(values)))
    return categories(numbers, column.lists, options.length)


def crossed(
    options: features.Crossed, name: str, columns: Columns, made: Mapping[str, tf.Tensor]
) -> tf.Tensor:
    """See `features.Crossed`.

    Args:
        options: The options.
        name: The feature's name.
        columns: The raw columns.
        made: The other features, as a network takes them.
    """
    texts = [
        tf.strings.as_string(made[one]) if one in made else columns[one].texts().dense("")
        for one in options.columns
    ]
    # A character that no text is likely to have, so that "a" and "bc" are not "ab" and "c".
    joined = tf.strings.join(texts, "\x1f")
    return tft.hash_strings(joined, options.buckets) + 1


def buckets_form(options: Any, name: str, lists: bool, size_of: SizeOf) -> Categories:
    """What a network gets from a hash."""
    return _form(options, options.buckets + 1, lists)


def identity_form(
    options: features.Identity, name: str, lists: bool, size_of: SizeOf
) -> Categories:
    """What a network gets from a category's own number."""
    return _form(options, options.size + 1, lists)


def _form(options: Any, size: int, lists: bool) -> Categories:
    length = options.length if lists else None
    return Categories(size, options.embedding, options.indicator, length)


def tokens(options: features.Tokens, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Tokens`."""
    texts = columns[options.columns_of(name)[0]].dense("")
    plain = tf.strings.regex_replace(tf.strings.lower(texts, "utf-8"), _NO_LETTERS, " ")
    words = tf.strings.split(plain).to_sparse()
    if options.ngrams > 1:
        words = tft.ngrams(words, (1, options.ngrams), " ")
    return categories(_by_vocabulary(words, name, options), True, options.length)


def tokens_form(options: features.Tokens, name: str, lists: bool, size_of: SizeOf) -> Categories:
    """What a network gets from words."""
    size = size_of(vocabulary_name(name)) + options.oov + 1
    return Categories(size, options.embedding, length=options.length)
