"""Check the label before training: rows without one, its values, whether they fit the network."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mfx.artifacts import Anomaly, LabelValues
from mfx.config import Label, LabelRows
from mfx.errors import MfxError

if TYPE_CHECKING:
    from mfx.export.network import Loss

MISSING = "LABEL_MISSING"
"""The name of the rule that rows without a label break."""

FEW = 50
"""Up to this many distinct values are counted. With more, the label is an amount, not a class."""
_SHOWN = 6

_CURE = "in preprocessing_fn"


def drop_missing(
    rows: pa.RecordBatch, options: LabelRows, split: str, left_out: dict[str, int]
) -> pa.RecordBatch:
    """Remove rows without a label, if `[label] missing` is "drop".

    Args:
        rows: Some raw rows of a split.
        options: The config's table `[label]`.
        split: The split's name, for the reason.
        left_out: Gets the number of removed rows, by reason.

    Returns:
        The rows that have a value in each of the label's columns; or all rows.
    """
    if options.missing != "drop" or not rows.num_rows:
        return rows
    columns = [rows.column(rows.schema.get_field_index(name)) for name in options.columns]
    present = np.all([np.asarray(column.is_valid()) for column in columns], axis=0)
    if count := int((~present).sum()):
        reason = f"no {' or '.join(options.columns)}, the label, in {split}"
        left_out[reason] = left_out.get(reason, 0) + count
    return rows.filter(pa.array(present))


def missing(
    statistics: Any, columns: Collection[str], options: LabelRows, split: str
) -> Iterator[Anomaly]:
    """Yield an error for each of the label's columns that lacks values in some rows.

    There are none if `[label] missing` is "fill".

    Args:
        statistics: TFDV's DatasetFeatureStatisticsList of the split.
        columns: The data's columns. (If one of the label's is missing, the run stops in `start`.)
        options: The config's table `[label]`.
        split: The split's name.
    """
    data = statistics.datasets[0]
    present = {
        feature.path.step[0]: getattr(feature, feature.WhichOneof("stats")).common_stats
        for feature in data.features
    }
    looked_at = [] if options.missing == "fill" else options.columns
    for name in (name for name in looked_at if name in columns):
        there = present[name].num_non_missing if name in present else 0
        if count := int(data.num_examples) - int(there):
            yield Anomaly(
                split=split,
                feature=name,
                rule=MISSING,
                severity="ERROR",
                expected="a label in each row",
                observed=f"none in {count:,} of {int(data.num_examples):,} rows",
                count=count,
                remedy='Fix the data. Or, under [label], set missing = "drop" to leave out such '
                'rows, or missing = "fill" if preprocessing_fn gives them a label.',
            )


class Counting:
    """Counts the label's values while rows are transformed.

    Args:
        options: The config's table `[label]`.
        splits: The names of the splits.
    """

    def __init__(self, options: Label, splits: Iterable[str]) -> None:
        self._options = options
        self._not_finite = dict.fromkeys(splits, 0)
        self._counts: dict[str, Counter] = {split: Counter() for split in self._not_finite}
        self._texts: dict[str, Counter] = {split: Counter() for split in self._not_finite}
        self._low, self._high, self._fractions = np.inf, -np.inf, 0

    def add(self, split: str, raw: pa.RecordBatch, made: pa.RecordBatch) -> None:
        """Count the labels of some rows. Labels that are no numbers are not counted.

        Args:
            split: The split's name.
            raw: The rows as ingested.
            made: The same rows after the transform graph.
        """
        column = made.column(made.schema.get_field_index(self._options.name))
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            return
        values = column.to_numpy(zero_copy_only=False)
        finite = values[np.isfinite(values)]
        self._not_finite[split] += len(values) - len(finite)
        if len(finite):
            self._low = min(self._low, float(finite.min()))
            self._high = max(self._high, float(finite.max()))
            self._fractions += int((finite != np.floor(finite)).sum())
        if len(self._counts[split]) <= FEW:
            found = zip(*map(np.ndarray.tolist, np.unique(finite, return_counts=True)), strict=True)
            self._counts[split].update(dict(found))
        self._add_texts(split, raw, values)

    def _add_texts(self, split: str, raw: pa.RecordBatch, values: np.ndarray) -> None:
        place = raw.schema.get_field_index(self._options.columns[0])
        if place < 0 or len(self._options.columns) > 1 or len(self._texts[split]) > FEW:
            return
        column = raw.column(place)
        if pa.types.is_binary(column.type):
            pairs = pa.table({"text": column, "value": values}).group_by(["text", "value"])
            for row in pairs.aggregate([("value", "count")]).to_pylist():
                self._texts[split][row["text"], row["value"]] += row["value_count"]

    def values(self) -> LabelValues:
        """The counts so far."""
        return LabelValues(
            name=self._options.name,
            counts=_few(self._counts),
            texts=_few(self._texts),
            not_finite=self._not_finite,
            low=self._low,
            high=self._high,
            fractions=self._fractions,
        )


def _few(counted: dict[str, Counter]) -> dict[str, dict]:
    if any(len(found) > FEW for found in counted.values()):
        return {}  # There were too many, so counting stopped.
    return {split: dict(found) for split, found in counted.items()}


def check(values: LabelValues) -> None:
    """Check that a network can be trained on the label.

    Raises:
        MfxError: Some labels are NaN or infinite, or all labels of the train split are equal.
    """
    if any(values.not_finite.values()):
        rows = _by_split(values, values.not_finite)
        raise MfxError(
            f"label '{values.name}': NaN or infinite in {rows} rows",
            f"Fix how it is computed {_CURE}, or fix the data. (The setting missing under [label] "
            "is for rows without a value in the label's columns.)",
        )
    train = values.counts.get("train", {})
    if len(train) == 1:
        raise MfxError(
            f"label '{values.name}' has one value in the train split: {_plain(next(iter(train)))}",
            f"A model needs examples of at least two. Check the data, and the label {_CURE}.",
        )


def describe(values: LabelValues | None) -> list[str]:
    """Describe the label's values in lines of text.

    If the label is made of text: which text became which value, in how many rows of each split. For
    any label: which of its classes are missing in a split.
    """
    if values is None:
        return []
    found: dict[Any, dict[str, int]] = {}
    for split, texts in values.texts.items():
        for (text, value), rows in texts.items():
            found.setdefault((value, text), {})[split] = rows
    shown = [
        f"{_text(text)} is {_plain(value)} ({_by_split(values, rows)})"
        for (value, text), rows in sorted(found.items(), key=lambda pair: (pair[0][0], str(pair)))
    ]
    lines = [f"label '{values.name}': {', '.join(shown)}"] if shown else []
    for split, counts in values.counts.items() if not values.fractions else ():
        others = {value for found in values.counts.values() for value in found} - set(counts)
        if others:
            lines.append(
                f"label '{values.name}': {_list(map(_plain, sorted(others)))} is in no {split} row"
            )
    return lines


def check_fits_network(values: LabelValues, loss: Loss, width: int) -> None:
    """Check that the label fits the network's output and its loss.

    Args:
        values: The label's values.
        loss: The network's loss.
        width: How many numbers the network answers per row; 0 if that is not known.

    Raises:
        MfxError: The loss cannot be computed for these labels, or would have another meaning.
    """
    rule = _RULES.get(loss.kind or loss.name)
    if fault := rule(values, loss, width) if rule else None:
        what, remedy = fault
        raise MfxError(f"label '{values.name}': {what}", remedy)


Fault = tuple[str, str]


def _binary(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    if width != 1:
        return (
            f"one number per row, but the network answers with {width}, and its loss, {loss.name}, "
            "compares one number with one number",
            "For several classes, use SparseCategoricalCrossentropy and a softmax. For two, use "
            "one output and a sigmoid.",
        )
    return _outside(
        values, 0, 1, f"{loss.name} takes 0 and 1", f"Map the two classes to 0 and 1 {_CURE}."
    )


def _classes(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    if width < 2:
        return (
            f"its loss, {loss.name}, needs an output for each class; the network has {width}",
            "Use BinaryCrossentropy with one output, or give the network one output per class.",
        )
    last = width - 1
    if values.fractions:
        return (
            f"{values.fractions:,} rows have fractions ({_shown(values, lambda v: v % 1 != 0)}), "
            f"but {loss.name} takes the number of a class, 0 to {last}",
            f"Turn it into whole numbers {_CURE}, or use a loss for regression.",
        )
    return _outside(
        values,
        *(0, last, f"a network with {width} outputs knows the classes 0 to {last}"),
        f"Number the classes from 0 {_CURE}, or give the network an output for each.",
        loss.ignored,
    )


def _one_hot(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    return (
        f"one number per row, but {loss.name} takes a vector with a place for each class",
        "Use its sparse form, SparseCategoricalCrossentropy: it takes the number of the class.",
    )


def _one_number(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    if width < 2:
        return None
    return (
        f"one number per row, but the network answers with {width}, and its loss, {loss.name}, "
        "would compare each of them with the label",
        "Give the network one output.",
    )


def _not_negative(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    return _one_number(values, loss, width) or _outside(
        values, 0, np.inf, f"{loss.name} takes 0 and more", "Use another loss, or fix the label."
    )


_RULES: dict[str, Callable[[LabelValues, Loss, int], Fault | None]] = {
    "binary": _binary,
    "classes": _classes,
    "one-hot": _one_hot,
    "poisson": _not_negative,
    "meansquaredlogarithmicerror": _not_negative,
    **dict.fromkeys(
        (
            "meansquarederror",
            "meanabsoluteerror",
            "meanabsolutepercentageerror",
            "huber",
            "logcosh",
        ),
        _one_number,
    ),
}
"""The rule for each loss, by `network.Loss.kind` or its name. Other losses are not checked."""


def _outside(
    values: LabelValues, low: float, high: float, why: str, remedy: str, ignored: Any = None
) -> Fault | None:
    """The fault if some values are not between `low` and `high`; None if all are."""

    def wrong(value: float) -> bool:
        return not low <= value <= high and value != ignored

    if values.counts:
        if not any(wrong(value) for split in values.counts.values() for value in split):
            return None
    elif low <= values.low and values.high <= high:
        return None
    return f"holds {_shown(values, wrong)}, but {why}", remedy


def _shown(values: LabelValues, wrong: Callable[[float], bool]) -> str:
    """Show the wrong values, each with the texts it was made from and its rows in each split."""
    if not values.counts:
        return f"values from {_plain(values.low)} to {_plain(values.high)}"
    rows: dict[float, dict[str, int]] = {}
    for split, counts in values.counts.items():
        for value, count in counts.items():
            if wrong(value):
                rows.setdefault(value, {})[split] = count
    texts: dict[float, set[str]] = {}
    for found in values.texts.values():
        for text, value in found:
            texts.setdefault(value, set()).add(_text(text))
    shown = [
        _plain(value)
        + (f" for {', '.join(sorted(texts[value])[:_SHOWN])}" if value in texts else "")
        + f" ({_by_split(values, rows[value])})"
        for value in sorted(rows)
    ]
    return _list(shown)


def _list(words: Iterable[str]) -> str:
    """The first few words, separated by commas; with "…" if there are more."""
    first = list(itertools.islice(words, _SHOWN + 1))
    return ", ".join(first[:_SHOWN]) + (", …" if len(first) > _SHOWN else "")


def _by_split(values: LabelValues, rows: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {rows.get(split, 0):,}" for split in values.not_finite)


def _plain(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"


def _text(text: bytes | None) -> str:
    return "a missing text" if text is None else repr(text.decode(errors="replace"))
