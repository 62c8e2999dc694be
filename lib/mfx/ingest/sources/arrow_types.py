"""What becomes of the types of other worlds: one rule for each, for all formats that have types.

A rule makes int64, float64, float32 or binary of an Arrow type; `typed` brings these to the type
that a column is to have:

- bool: 0 and 1. Whole numbers: int64; those beyond int64, of uint64 and of decimals: the column is
  text, of their digits.
- float64 and decimals with a fraction: float32, and what that rounds is counted; but int64 where
  all values are whole and float32 would make other numbers of some (identifiers). Decimals without
  a fraction are whole numbers.
- date: its ISO text, `2024-02-29`. Timestamp, with a zone or without: microseconds since 1970 in
  UTC, int64. Time of day and duration: microseconds, int64.
- dictionary: its values. Lists of all these, of fixed length or not: lists.
- struct, map, and lists of lists have no place in a tf.Example: they are refused, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Made = tuple[pa.Array, "np.ndarray | None"]
"""Values, null where missing; and a mask of those that do not fit, or None if all do."""


@dataclass(frozen=True)
class Rule:
    """What becomes of some types.

    Args:
        fits: Whether an Arrow type is one of them.
        make: Their values as int64, float64, float32 or binary.
        expected: What a value is that fits, for messages.
    """

    fits: Callable[[pa.DataType], bool]
    make: Callable[[pa.Array], Made]
    expected: str


def rule_of(kind: pa.DataType) -> Rule | None:
    """The rule for values of an Arrow type that is no list; None if there is none."""
    return next((rule for rule in RULES if rule.fits(kind)), None)


def made(values: pa.Array) -> Made:
    """Values as int64, float64, float32 or binary, by the rule for their type."""
    rule = rule_of(values.type)
    assert rule is not None  # `typed.header` and `typed.look_at_rows` refuse such columns.
    return rule.make(values)


def value_type(kind: pa.DataType) -> tuple[pa.DataType, bool]:
    """The type of a column's values, without a list or dictionary around them; and whether each row
    has a list of them."""
    listed = False
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, listed = kind.value_type, True
    while pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind, listed


def why_refused(kind: pa.DataType, name: str) -> str:
    """How to bring a column of a type that has no rule to one that has."""
    if pa.types.is_struct(kind):
        inner = kind.field(0).name if kind.num_fields else "field"
        return (
            f"Flatten it: one column for each of its fields, such as {name}_{inner}; in pandas "
            f"pd.json_normalize, in Spark or SQL SELECT {name}.{inner} AS {name}_{inner}."
        )
    if pa.types.is_map(kind):
        return f"Flatten it: two columns of lists, {name}_key and {name}_value."
    if value_type(kind)[1]:
        return "Flatten it: one list of all values per row, and a column with their lengths."
    return "Write the column as numbers or text, or leave it out."


def _as(kind: pa.DataType) -> Callable[[pa.Array], Made]:
    return lambda values: (values if values.type == kind else values.cast(kind), None)


def _texts(values: pa.Array) -> Made:
    if pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type):
        values = values.cast(pa.large_binary()) if values.type != pa.large_binary() else values
    return values.cast(pa.binary()), None


def _unsigned(values: pa.Array) -> Made:
    largest = pc.max(values).as_py()
    if largest is None or largest < 2**63:
        return values.cast(pa.int64()), None
    return values.cast(pa.string()).cast(pa.binary()), None


def _decimals(values: pa.Array) -> Made:
    if values.type.scale > 0:
        return values.cast(pa.float64()), None
    numbers = [None if number is None else int(number) for number in values.to_pylist()]
    if all(number is None or -(2**63) <= number < 2**63 for number in numbers):
        return pa.array(numbers, pa.int64()), None
    return pa.array([None if n is None else str(n).encode() for n in numbers], pa.binary()), None


def _dates(values: pa.Array) -> Made:
    days = values.cast(pa.date32()).cast(pa.int32())
    number = np.asarray(days.fill_null(0))
    bad = (number < _FIRST_DAY) | (number > _LAST_DAY)
    fitting = pc.if_else(pa.array(bad), pa.scalar(None, pa.int32()), days)
    return fitting.cast(pa.date32()).cast(pa.string()).cast(pa.binary()), bad if bad.any() else None


_FIRST_DAY = int(np.datetime64("0001-01-01", "D").astype(int))
_LAST_DAY = int(np.datetime64("9999-12-31", "D").astype(int))


def _microseconds(values: pa.Array) -> Made:
    kind = values.type
    counts = (values.cast(pa.int32()) if pa.types.is_time32(kind) else values).cast(pa.int64())
    number = np.asarray(counts.fill_null(0))
    # Arrow 10 has no `unit` of times of day.
    unit = next(unit for unit in ("ns", "us", "ms", "s") if f"[{unit}" in str(kind))
    if unit == "us":
        return counts, None
    if unit == "ns":
        bad = number % 1000 != 0
        number = number // 1000
    else:
        factor = {"s": 10**6, "ms": 10**3}[unit]
        bad = abs(number) > (2**63 - 1) // factor
        number = np.where(bad, 0, number) * factor
    missing = bad | np.asarray(counts.is_null())
    return pa.array(number, pa.int64(), mask=missing), bad if bad.any() else None


def _is_time(kind: pa.DataType) -> bool:
    return any(of(kind) for of in (pa.types.is_timestamp, pa.types.is_time, pa.types.is_duration))


def _is_text(kind: pa.DataType) -> bool:
    return any(
        of(kind)
        for of in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_fixed_size_binary,
        )
    )


def _is_int64(kind: pa.DataType) -> bool:
    return pa.types.is_boolean(kind) or (pa.types.is_integer(kind) and kind != pa.uint64())


RULES: tuple[Rule, ...] = (
    Rule(_is_int64, _as(pa.int64()), "an integer"),
    Rule(lambda kind: kind == pa.uint64(), _unsigned, "an integer"),
    Rule(pa.types.is_float16, lambda values: (_halves(values), None), "a number"),
    Rule(pa.types.is_float32, _as(pa.float32()), "a number"),
    Rule(pa.types.is_float64, _as(pa.float64()), "a number"),
    Rule(pa.types.is_decimal, _decimals, "a number"),
    Rule(_is_text, _texts, "text"),
    Rule(pa.types.is_null, _as(pa.binary()), "nothing"),
    Rule(pa.types.is_date, _dates, "a date in the years 1 to 9999"),
    Rule(_is_time, _microseconds, "a whole number of microseconds that int64 holds"),
)


def _halves(values: pa.Array) -> pa.Array:
    # Arrow 10 has no cast from float16.
    numbers = np.asarray(values.to_numpy(zero_copy_only=False), np.float32)
    return pa.array(numbers, mask=np.asarray(values.is_null()))
