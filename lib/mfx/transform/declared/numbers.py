"""Numbers: scaled by the train split, or put into ranges."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from mfx.config import features
from mfx.transform.declared.forms import Categories, Numbers, SizeOf
from mfx.transform.declared.raw import Column, Columns, categories, or_zero


def zscore(options: features.Zscore, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Zscore`."""
    return _standard(columns[options.columns_of(name)[0]].numbers(), options.missing, tf.identity)


def log(options: features.Log, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Log`."""

    def symmetric(values: tf.Tensor) -> tf.Tensor:
        return tf.sign(values) * tf.math.log1p(tf.abs(values))

    return _standard(columns[options.columns_of(name)[0]].numbers(), options.missing, symmetric)


def minmax(options: features.Minmax, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Minmax`."""
    column = columns[options.columns_of(name)[0]].numbers()
    least, greatest = tft.min(column.sparse), tft.max(column.sparse)
    if isinstance(options.missing, str):
        fill = or_zero(tft.mean(column.sparse))
    else:
        fill = tf.constant(options.missing, tf.float64)
    filled = _filled(column, fill)
    scaled = tf.math.divide_no_nan(filled - least, greatest - least)
    return _with_flag(tf.clip_by_value(scaled, 0.0, 1.0), column, options.missing)


def _standard(column: Column, missing: float | str, form: Any) -> tf.Tensor:
    """Z-scores of numbers in some form.

    Mean and deviation are those of the values that are there: what stands for a missing value does
    not change them.
    """
    formed = Column(column.sparse.with_values(form(column.sparse.values)), False)
    mean = or_zero(tft.mean(formed.sparse))
    deviation = tf.sqrt(or_zero(tft.var(formed.sparse)))
    fill = mean if isinstance(missing, str) else form(tf.constant(missing, tf.float64))
    scores = tf.math.divide_no_nan(_filled(formed, fill) - mean, deviation)
    return _with_flag(scores, column, missing)


def _filled(column: Column, value: tf.Tensor) -> tf.Tensor:
    """float64 [batch], with `value` where there is none."""
    there = column.dense(0)
    return tf.where(column.present(), there, tf.cast(value, tf.float64) + tf.zeros_like(there))


def _with_flag(values: tf.Tensor, column: Column, missing: float | str) -> tf.Tensor:
    """float32 [batch], or [batch, 2] with 1 beside each value that was missing."""
    single = tf.cast(values, tf.float32)
    if missing != "flag":
        return single
    return tf.stack([single, tf.cast(~column.present(), tf.float32)], axis=1)


def number_form(options: Any, name: str, lists: bool, size_of: SizeOf) -> Numbers:
    """What a network gets from a scaled number."""
    return Numbers(2 if options.missing == "flag" else None)


def buckets(options: features.Buckets, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Buckets`."""
    column = columns[options.columns_of(name)[0]].numbers()
    numbers = column.sparse.with_values(tf.cast(column.sparse.values, tf.float32))
    if options.boundaries is None:
        found = tft.bucketize(numbers, options.count)
    else:
        edges = tf.constant([options.boundaries], tf.float32)
        found = numbers.with_values(tft.apply_buckets(numbers.values, edges))
    return categories(found, False, 0)


def buckets_form(options: features.Buckets, name: str, lists: bool, size_of: SizeOf) -> Categories:
    """What a network gets from ranges."""
    given = options.boundaries
    ranges = options.count if given is None else len(given) + 1
    return Categories(ranges + 1, options.embedding, options.indicator)
