"""Dates and times: parts as points on circles, and the whole as a number."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf
import tensorflow_transform as tft

from mfx.config import features
from mfx.transform.declared.forms import Numbers, SizeOf
from mfx.transform.declared.raw import Column, Columns, or_zero

DAY = 86400
TREND = "trend"
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000}
_ISO = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d*)?)?(Z|\+00:00)?)?"


def date(options: features.Date, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Date`.

    Returns:
        float32 [batch, width]: sine and cosine of each part, then the trend if it is asked for.
    """
    column = columns[options.columns_of(name)[0]]
    if column.sparse.dtype == tf.string:
        seconds, there = _seconds_of_text(column)
    else:
        seconds = tf.math.floordiv(column.dense(0), _PER_SECOND[options.unit])
        there = column.present()
    numbers = []
    for part in options.parts:
        if part == TREND:
            continue
        angle = _TURNS[part](seconds) * 2 * math.pi
        numbers += [tf.sin(angle), tf.cos(angle)]
    if TREND in options.parts:
        numbers.append(_trend(seconds, there))
    return tf.where(there[:, None], tf.cast(tf.stack(numbers, axis=1), tf.float32), 0.0)


def _trend(seconds: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """Z-scores of times; where there is none, any number."""
    given = tf.cast(seconds, tf.float64)
    rows = tf.where(there[:, None])
    known = tf.SparseTensor(rows, tf.boolean_mask(given, there), [tf.size(given, tf.int64), 1])
    mean, deviation = or_zero(tft.mean(known)), tf.sqrt(or_zero(tft.var(known)))
    return tf.math.divide_no_nan(given - mean, deviation)


def date_form(options: features.Date, name: str, lists: bool, size_of: SizeOf) -> Numbers:
    """What a network gets from a date."""
    return Numbers(sum(1 if part == TREND else 2 for part in options.parts))


def _seconds_of_text(column: Column) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds since 1970 of ISO dates and times, int64 [batch]; and which rows have one."""
    given = column.dense("")
    there = tf.strings.regex_full_match(given, _ISO)
    # A date alone is its midnight.
    whole = tf.strings.join([tf.where(there, given, "1970-01-01"), "T00:00:00"])

    def number(begin: int, length: int) -> tf.Tensor:
        return tf.strings.to_number(tf.strings.substr(whole, begin, length), tf.int64)

    has_seconds = tf.strings.regex_full_match(given, r".{16}:\d{2}.*")
    seconds = tf.where(has_seconds, number(17, 2), 0)
    clock = number(11, 2) * 3600 + number(14, 2) * 60 + seconds
    return _days(number(0, 4), number(5, 2), number(8, 2)) * DAY + clock, there


def _days(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Days since 1970 of a date in the Gregorian calendar (Howard Hinnant's `days_from_civil`)."""
    year = year - tf.cast(month <= 2, tf.int64)  # Years begin in March, so that they end in leaps.
    era, in_era = tf.math.floordiv(year, 400), tf.math.floormod(year, 400)
    in_year = tf.math.floordiv(153 * tf.math.floormod(month + 9, 12) + 2, 5) + day - 1
    return era * 146097 + in_era * 365 + in_era // 4 - in_era // 100 + in_year - 719468


def _civil(seconds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Year, month and day of a time (Howard Hinnant's `civil_from_days`)."""
    days = tf.math.floordiv(seconds, DAY) + 719468
    era, in_era = tf.math.floordiv(days, 146097), tf.math.floormod(days, 146097)
    years = (in_era - in_era // 1460 + in_era // 36524 - in_era // 146096) // 365
    in_year = in_era - (365 * years + years // 4 - years // 100)
    shifted = (5 * in_year + 2) // 153
    month = tf.math.floormod(shifted + 2, 12) + 1
    day = in_year - (153 * shifted + 2) // 5 + 1
    return years + era * 400 + tf.cast(month <= 2, tf.int64), month, day


def _share(part: tf.Tensor, whole: tf.Tensor | int) -> tf.Tensor:
    return tf.cast(part, tf.float64) / tf.cast(whole, tf.float64)


def _hour(seconds: tf.Tensor) -> tf.Tensor:
    return _share(tf.math.floormod(seconds, DAY), DAY)


def _weekday(seconds: tf.Tensor) -> tf.Tensor:
    return _share(tf.math.floormod(tf.math.floordiv(seconds, DAY) + 3, 7), 7)  # 0 is Monday.


def _length_of_month(year: tf.Tensor, month: tf.Tensor) -> tf.Tensor:
    one = tf.ones_like(month)
    last = tf.cast(month == 12, tf.int64)
    following = _days(year + last, tf.math.floormod(month, 12) + 1, one)
    return following - _days(year, month, one)


def _day(seconds: tf.Tensor) -> tf.Tensor:
    year, month, day = _civil(seconds)
    return _share(day - 1, _length_of_month(year, month))


def _month(seconds: tf.Tensor) -> tf.Tensor:
    return _share(_civil(seconds)[1] - 1, 12)


def _yearday(seconds: tf.Tensor) -> tf.Tensor:
    year, _, _ = _civil(seconds)
    one = tf.ones_like(year)
    first = _days(year, one, one)
    return _share(tf.math.floordiv(seconds, DAY) - first, _days(year + 1, one, one) - first)


_TURNS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "hour": _hour,
    "weekday": _weekday,
    "day": _day,
    "month": _month,
    "yearday": _yearday,
}
"""How far around its circle a time is, from 0 to 1, by the part's name; of seconds since 1970."""
