"""What the default network needs to know of the label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow_transform as tft

from mfx.artifacts import Examples
from mfx.config import Label
from mfx.transform.declared.labels import class_names


@dataclass(frozen=True)
class Facts:
    """What the default network needs to know of the label.

    Args:
        name: The label's name.
        kind: Its kind, as the config says.
        counts: For labels that are classes: how many rows of the train split each class has.
        mean: The mean of the train split's labels.
        deviation: Their standard deviation.
        log_mean: The mean of the logarithms of 1 plus the labels; 0 if some are below 0.
    """

    name: str
    kind: str
    counts: tuple[int, ...]
    mean: float
    deviation: float
    log_mean: float


def facts_of(label: Label, output: tft.TFTransformOutput, transformed: Examples) -> Facts:
    """Read them from the transformed train split."""
    column = transformed.to_arrow("train", [label.name]).column(0)
    values = np.asarray(column.to_numpy(), np.float64)
    kind, counts = label.kind or "", ()
    if kind in ("binary", "classes"):
        least = 2 if kind == "binary" else len(class_names(label, output))
        # A label that is no class is an error elsewhere, which names it.
        known = values[(values >= 0) & (values == np.floor(values))].astype(np.int64)
        counts = tuple(np.bincount(known, minlength=least).tolist())
        counts = counts[:2] if kind == "binary" else counts
    return Facts(
        name=label.name,
        kind=kind,
        counts=counts,
        mean=float(values.mean()),
        deviation=float(values.std()),
        log_mean=float(np.log1p(values).mean()) if values.min() >= 0 else 0.0,
    )
