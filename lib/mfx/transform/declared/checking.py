"""Compare what the config declares with the columns of the data, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfx.columns.types import is_list, value_kind
from mfx.config import AnyFeature, Label
from mfx.config.features import KINDS, NUMBERS, TEXT, WHOLE, Crossed
from mfx.errors import MfxError, nearest

CROSSED = ("buckets", "vocabulary", "hash", "identity")
"""Kinds of features that can be crossed."""

_LABELS = {
    "binary": WHOLE,
    "classes": TEXT + WHOLE,
    "regression": NUMBERS,
    "log_regression": NUMBERS,
    "counts": NUMBERS,
}
"""Types of a column that a kind of label takes."""


def check(features: Mapping[str, AnyFeature], label: Label, columns: Mapping[str, str]) -> None:
    """Check declared features, and the label that goes with them. Without features, do nothing.

    Args:
        features: The table `[features]`.
        label: The table `[label]`.
        columns: Each raw column's type, a name in `columns.types.TYPES`.

    Raises:
        MfxError: A feature is of no column, of the label's column or has the label's name; a column
            is of a type that the kind does not take; or the label cannot be made.
    """
    for name, options in features.items():
        _check_feature(name, options, features, label, columns)
    if features:
        _check_label(label, columns)


def _check_feature(
    name: str,
    options: Any,
    features: Mapping[str, AnyFeature],
    label: Label,
    columns: Mapping[str, str],
) -> None:
    where = f"features.{name}"
    if name == label.name:
        raise MfxError(
            f"{where}: the label has this name",
            "Choose another name for the feature (and say its column), or another one under "
            "[label].",
        )
    crossed = isinstance(options, Crossed)
    for column in options.columns_of(name):
        if crossed and column in features:
            _check_crossed(where, column, features[column], columns)
            continue
        if column not in columns:
            raise MfxError(
                f"{where}: no column '{column}' in the data{nearest(column, columns)}",
                f"Columns: {', '.join(columns)}",
            )
        if column in label.columns:
            raise MfxError(
                f"{where}: the label is made from the column '{column}'",
                "A served model does not know it: remove this feature.",
            )
        _check_type(where, options, column, columns[column])


def _check_crossed(where: str, other: str, options: Any, columns: Mapping[str, str]) -> None:
    lists = any(is_list(columns.get(column, "")) for column in options.columns_of(other))
    if options.kind not in CROSSED or lists:
        what = "has lists" if lists else f"is of the kind {options.kind}"
        raise MfxError(
            f"{where}: the feature '{other}' {what}",
            f"What can be crossed are features of the kinds {', '.join(CROSSED)}, without lists, "
            "and columns that are no feature.",
        )


def _check_type(where: str, options: Any, column: str, kind: str) -> None:
    fits = value_kind(kind) in options.TAKES
    if fits and (options.LISTS or not is_list(kind)):
        return
    takes = " or ".join(options.TAKES) + (", also lists" if options.LISTS else "")
    others = [
        name
        for name, table in KINDS.items()
        if value_kind(kind) in table.TAKES and (table.LISTS or not is_list(kind))
    ]
    raise MfxError(
        f"{where}: {options.kind} takes {takes}, but the column '{column}' is {kind}",
        f"Kinds for such a column: {', '.join(others) or 'none'}. Or give the column another type "
        "in the schema.",
    )


def _check_label(label: Label, columns: Mapping[str, str]) -> None:
    if len(label.columns) != 1:
        raise MfxError(
            f"label.columns: {len(label.columns)} columns, but a declared label is made from one",
            "Name one column; or write a preprocessing_fn instead of [features].",
        )
    if label.missing == "fill":
        raise MfxError(
            'label.missing: "fill" is for labels that preprocessing_fn makes',
            'With [features], set "drop" or "stop".',
        )
    (column,) = label.columns
    kind = columns[column]
    takes = _LABELS[label.kind or ""]
    if label.above:
        takes = NUMBERS
        if other := label.above.column:
            _check_above(other, column, columns)
    elif label.kind == "binary" and label.classes:
        takes = TEXT + WHOLE
    if kind not in takes:
        remedy = "Choose another kind under [label], or give the column another type in the schema."
        if label.kind == "binary" and kind in TEXT:
            remedy = "Name the column's two values: classes = [<value for 0>, <value for 1>]."
        elif label.kind == "binary" and kind in NUMBERS:
            remedy = "Say what it must be above to count as 1: above = { value = … }."
        raise MfxError(
            f"label.kind: {label.kind} takes {' or '.join(takes)}, but the column '{column}' is "
            f"{kind}",
            remedy,
        )


def _check_above(other: str, column: str, columns: Mapping[str, str]) -> None:
    if other not in columns:
        raise MfxError(
            f"label.above.column: no column '{other}' in the data{nearest(other, columns)}",
            f"Columns: {', '.join(columns)}",
        )
    if columns[other] not in NUMBERS or other == column:
        what = "the label's own column" if other == column else columns[other]
        raise MfxError(
            f"label.above.column: '{other}' is {what}", "Name another column with a number per row."
        )
