"""What is asked: the label's column, and what kind of answer it needs; each with the reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa

from mfx.errors import MfxError, nearest
from mfx.new.profile import Profile

NAMES = (
    *("label", "target", "class", "y", "outcome", "result", "category", "species", "survived"),
    *("churn", "default", "fraud", "diagnosis", "sentiment", "price", "sales", "rating", "score"),
)
"""Titles that labels often have, the more telling first."""
MOST_CLASSES = 100
FEW = 20
"""Up to so many different whole numbers may be classes."""
WIDE = 20.0
"""A label whose largest value is this many times its median is on a log scale."""


@dataclass(frozen=True)
class Problem:
    """What the pipeline predicts.

    Args:
        column: The label's column.
        chosen: Why this one.
        kind: As `kind` under `[label]`.
        why: Why this kind.
        classes: Names of classes, where the label is text.
        above: The value that the label is above, for a label of two numbers that are not 0 and 1.
        drop: How many rows of the sample have no label.
        bars: Thresholds by metric: what a trivial answer reaches, as `lower` or `upper`.
    """

    column: str
    chosen: str
    kind: str
    why: str
    classes: list[str] = field(default_factory=list)
    above: float | None = None
    drop: int = 0
    bars: dict[str, tuple[str, float]] = field(default_factory=dict)


def label_of(profiles: Sequence[Profile], asked: str | None) -> tuple[str, str]:
    """The label's column, and why.

    Raises:
        MfxError: There is no such column.
    """
    names = [profile.name for profile in profiles]
    if asked is not None:
        if asked not in names:
            raise MfxError(
                f"--label: no column '{asked}'{nearest(asked, names)}",
                f"Columns: {', '.join(names)}",
            )
        return asked, "as asked"
    by_lower = {name.lower(): name for name in reversed(names)}
    for known in NAMES:
        if known in by_lower:
            return by_lower[known], "by its name"
    return names[-1], "the last column"


def problem_of(profile: Profile, column: pa.ChunkedArray, chosen: str) -> Problem:
    """What kind of answer a label's column needs.

    Raises:
        MfxError: Nothing can be learned from it.
    """
    where = f"column '{profile.name}'"
    if profile.distinct < 2:
        raise MfxError(
            f"{where}: {'all values are the same' if profile.distinct else 'no values'}",
            "Choose another label: --label COLUMN.",
        )
    values = column.drop_null()
    if profile.text:
        return _of_texts(profile, values, chosen)
    if profile.numeric:
        return _of_numbers(profile, values.to_numpy().astype(float), chosen)
    raise MfxError(
        f"{where}: {'images' if profile.images else 'lists'} cannot be a label",
        "Choose another label: --label COLUMN.",
    )


def _of_texts(profile: Profile, values: pa.ChunkedArray, chosen: str) -> Problem:
    if profile.distinct > MOST_CLASSES or profile.distinct > profile.present / 2:
        raise MfxError(
            f"column '{profile.name}': {profile.distinct:,} different texts in "
            f"{profile.present:,} rows are too many classes",
            "Choose another label: --label COLUMN.",
        )
    names = sorted({value.decode("utf-8", "replace") for value in values.unique().to_pylist()})
    kind = "binary" if len(names) == 2 else "classes"
    return Problem(
        profile.name,
        chosen,
        kind,
        f"{len(names)} different texts",
        classes=names,
        drop=profile.missing,
        bars=_bars_of_classes(kind, profile.top),
    )


def _of_numbers(profile: Profile, values: np.ndarray, chosen: str) -> Problem:
    made = partial(Problem, profile.name, chosen, drop=profile.missing)
    low, high, distinct = profile.low, profile.high, profile.distinct
    if distinct == 2:
        bars = _bars_of_classes("binary", profile.top)
        if (low, high) == (0, 1) and profile.kind == "int64":
            return made("binary", "only 0 and 1", bars=bars)
        return made("binary", f"only {low:g} and {high:g}", above=(low + high) / 2, bars=bars)
    if profile.kind == "int64" and distinct <= FEW and distinct <= profile.present / 10:
        bars = _bars_of_classes("classes", profile.top)
        return made("classes", f"{distinct} different whole numbers", bars=bars)
    why = f"numbers from {low:g} to {high:g}"
    if low >= 0 and high > WIDE * max(profile.middle, 1e-9):
        bar = float(np.var(np.log1p(values)))
        why = f"{why}, half of them below {profile.middle:g}"
        bars = {"mean_squared_logarithmic_error": ("upper", bar)}
        return made("log_regression", why, bars=bars)
    bars = {"root_mean_squared_error": ("upper", float(np.std(values)))}
    return made("regression", why, bars=bars)


def _bars_of_classes(kind: str, top: float) -> dict[str, tuple[str, float]]:
    """A class at random has an AUC of 0.5; the most frequent one for all has its share right."""
    if kind == "binary":
        return {"auc": ("lower", 0.5)}
    return {"sparse_categorical_accuracy": ("lower", math.ceil(top * 1000) / 1000)}
