"""The label, looked at before anything is trained on it: which rows have none, what it holds, and
whether network and loss can take that."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mfx.artifacts import SPLITS, Anomaly, LabelValues
from mfx.config import Label, LabelRows
from mfx.errors import MfxError

if TYPE_CHECKING:
    from mfx.export.network import Loss

MISSING = "LABEL_MISSING"
"""The rule that a row without a label breaks."""

FEW = 50
"""Most values that are counted one by one: beyond, the label is an amount, not a class."""
_SHOWN = 6

_CURE = "in preprocessing_fn"


def drop_missing(
    rows: pa.RecordBatch, options: LabelRows, split: str, left_out: dict[str, int]
) -> pa.RecordBatch:
    """Where `[label] missing` is "drop": the rows that have a value in each of the label's columns.

    Args:
        rows: Some raw rows of a split.
        options: The config's `[label]`.
        split: The split, for the reason.
        left_out: Counts the other rows, by reason.
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
    """An error for each of the label's columns that lacks values, unless they are to be filled.

    Args:
        statistics: TFDV's of the split, a DatasetFeatureStatisticsList.
        columns: Those of the data. Where the label's is none of them, a run stops in `start`.
        options: The config's `[label]`.
        split: The split.
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
                remedy='Fix the data; or, under [label], missing = "drop" leaves such rows out '
                'everywhere, and missing = "fill" trusts preprocessing_fn to give each its label.',
            )


class Counting:
    """Counts a label's values while rows are transformed.

    Args:
        options: The config's `[label]`.
    """

    def __init__(self, options: Label) -> None:
        self._options = options
        self._counts: dict[str, Counter] = {split: Counter() for split in SPLITS}
        self._texts: dict[str, Counter] = {split: Counter() for split in SPLITS}
        self._not_finite = dict.fromkeys(SPLITS, 0)
        self._low, self._high, self._fractions = np.inf, -np.inf, 0

    def add(self, split: str, raw: pa.RecordBatch, made: pa.RecordBatch) -> None:
        """Count some rows: as they were read, and as the transform graph makes them; a label that
        is no number is left to others."""
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
        """What was counted."""
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
        return {}  # Counting stopped on the way.
    return {split: dict(found) for split, found in counted.items()}


def check(values: LabelValues) -> None:
    """Look for what no network can be trained on.

    Raises:
        MfxError: Labels are NaN or infinite, or all of the train split have one value.
    """
    if any(values.not_finite.values()):
        raise MfxError(
            f"label '{values.name}': NaN or infinite in {_by_split(values.not_finite)} rows",
            f"Fix its rule {_CURE}, or the data. (missing under [label] is about rows without a "
            "value in the label's columns.)",
        )
    train = values.counts.get("train", {})
    if len(train) == 1:
        raise MfxError(
            f"label '{values.name}' has one value in the train split: {_plain(next(iter(train)))}",
            "A model needs examples of at least two; check the data and the label's rule.",
        )


def describe(values: LabelValues | None) -> list[str]:
    """Lines on a label made of text: which text is which value, in how many rows of each split; of
    any label: which of its classes are in one split only."""
    if values is None:
        return []
    found: dict[Any, dict[str, int]] = {}
    for split, texts in values.texts.items():
        for (text, value), rows in texts.items():
            found.setdefault((value, text), {})[split] = rows
    shown = [
        f"{_text(text)} is {_plain(value)} ({_by_split(rows)})"
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
    """Hold a label to what a network answers and its loss takes.

    Args:
        values: The label's.
        loss: What the network was compiled with.
        width: Numbers that it answers each row with; 0 if that is not known.

    Raises:
        MfxError: The loss cannot be computed of them, or would mean something else.
    """
    rule = _RULES.get(loss.kind or loss.name)
    if fault := rule(values, loss, width) if rule else None:
        what, remedy = fault
        raise MfxError(f"label '{values.name}': {what}", remedy)


Fault = tuple[str, str]


def _binary(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    if width != 1:
        return (
            f"one number a row, but the network answers with {width}, and its loss, {loss.name}, "
            "compares number with number",
            "For several classes take SparseCategoricalCrossentropy and a softmax; for two, one "
            "output and a sigmoid.",
        )
    return _outside(
        values, 0, 1, f"{loss.name} takes 0 and 1", f"Map the two classes to 0 and 1 {_CURE}."
    )


def _classes(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    if width < 2:
        return (
            f"its loss, {loss.name}, needs an output for each class; the network has {width}",
            "Take BinaryCrossentropy for a network with one output, or give it one a class.",
        )
    last = width - 1
    if values.fractions:
        return (
            f"{values.fractions:,} rows hold fractions ({_shown(values, lambda v: v % 1 != 0)}), "
            f"but {loss.name} takes the number of a class, 0 to {last}",
            f"Make whole numbers of it {_CURE}, or take a loss of regression.",
        )
    return _outside(
        values,
        *(0, last, f"a network with {width} outputs tells the classes 0 to {last} apart"),
        f"Number the classes from 0 {_CURE}, or give the network an output for each.",
        loss.ignored,
    )


def _one_hot(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    return (
        f"one number a row, but {loss.name} takes a vector with a place for each class",
        "Take its sparse form, SparseCategoricalCrossentropy: it takes the number of the class.",
    )


def _one_number(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    if width < 2:
        return None
    return (
        f"one number a row, but the network answers with {width}, and its loss, {loss.name}, "
        "would compare each of them with it",
        "Give the network one output.",
    )


def _not_negative(values: LabelValues, loss: Loss, width: int) -> Fault | None:
    return _one_number(values, loss, width) or _outside(
        values, 0, np.inf, f"{loss.name} takes 0 and more", "Take another loss, or fix the label."
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
"""By `network.Loss.kind`, or its name; of other losses nothing is known."""


def _outside(
    values: LabelValues, low: float, high: float, why: str, remedy: str, ignored: Any = None
) -> Fault | None:
    """The fault of values that are not from `low` to `high`."""

    def wrong(value: float) -> bool:
        return not low <= value <= high and value != ignored

    if values.counts:
        if not any(wrong(value) for split in values.counts.values() for value in split):
            return None
    elif low <= values.low and values.high <= high:
        return None
    return f"holds {_shown(values, wrong)}, but {why}", remedy


def _shown(values: LabelValues, wrong: Callable[[float], bool]) -> str:
    """The values of a kind, each with what it was made from and its rows by split."""
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
        + f" ({_by_split(rows[value])})"
        for value in sorted(rows)
    ]
    return _list(shown)


def _list(words: Iterable[str]) -> str:
    """The first few."""
    first = list(itertools.islice(words, _SHOWN + 1))
    return ", ".join(first[:_SHOWN]) + (", …" if len(first) > _SHOWN else "")


def _by_split(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {rows.get(split, 0):,}" for split in SPLITS)


def _plain(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"


def _text(text: bytes | None) -> str:
    return "a missing text" if text is None else repr(text.decode(errors="replace"))
