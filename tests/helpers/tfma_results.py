"""When TFMA's result files of two engines say the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf import json_format

EXACT = 1e-9
FLOAT32 = {
    "binary_crossentropy": 1e-6,
    "root_mean_squared_error": 1e-6,
    "logcosh": 1e-6,
    "categorical_crossentropy": 1e-6,
    "categorical_accuracy": 1e-6,
    "mean_squared_logarithmic_error": 1e-6,
}
"""Keras sums these in float32, in batches of other sizes. And the last bit of NumPy's float32
logarithm depends on whether it gets one number or many."""
if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
    # TFMA adds float32 weights to 0.0; in NumPy 2 the sum stays float32.
    FLOAT32["example_count"] = 1e-6


def sliced(folder: Path, kind: str) -> dict[Any, Any]:
    load = tfma.load_metrics if kind == "metrics" else tfma.load_plots
    found = {}
    for record in load(str(folder)):
        key = json_format.MessageToJson(record.slice_key)
        assert key not in found, "one record a slice"
        # On Beam, a slice without plots has a record too.
        if kind == "metrics" or record.plots or record.plot_keys_and_values:
            found[key] = record
    return found


def values_of(record: Any) -> dict[str, dict[str, Any]]:
    """Each metric's value by its full key: model, name, whether it is a difference."""
    return {
        json_format.MessageToJson(entry.key, sort_keys=True): json_format.MessageToDict(entry.value)
        for entry in record.metric_keys_and_values
    }


def close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two JSON values are equal except for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        # In JSON, zero is left out.
        return all(close(a.get(k, 0), b.get(k, 0), tolerance) for k in {*a, *b})
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    try:
        x, y = float(a), float(b)
    except (TypeError, ValueError):
        return a == b
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    return math.isclose(x, y, rel_tol=tolerance, abs_tol=tolerance)


def same_metrics(expected: Path, found: Path) -> int:
    """Asserts that both folders have the same slices and metrics; how many values there are."""
    beam, local = (sliced(folder, "metrics") for folder in (expected, found))
    assert beam.keys() == local.keys()
    compared = 0
    for key, record in beam.items():
        theirs, ours = values_of(record), values_of(local[key])
        assert ours.keys() == theirs.keys(), key
        for name, value in theirs.items():
            tolerance = next((t for n, t in FLOAT32.items() if n in name), EXACT)
            assert close(ours[name], value, tolerance), (key, name, value, ours[name])
            compared += 1
    return compared


def same_plots(expected: Path, found: Path) -> int:
    """Asserts that both folders have the same plots; how many slices have some."""
    beam, local = (sliced(folder, "plots") for folder in (expected, found))
    assert beam.keys() == local.keys()
    for key, record in beam.items():
        assert close(
            json_format.MessageToDict(local[key]), json_format.MessageToDict(record), EXACT
        ), key
    return len(beam)
