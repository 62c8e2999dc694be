"""Turn a network's answers into probabilities.

How to do so is stored in each SavedModel, so that every run evaluates it in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

FILE = "assets.extra/answers.json"
"""The file in a SavedModel's folder. Without it, answers are evaluated unchanged."""

ROUNDING, SUM_ROUNDING = 1e-6, 1e-2
"""How far a probability may be outside [0, 1], and a row's sum from 1: float16 has 3 digits."""

CURE = (
    "End the network in a sigmoid (a softmax for several classes). Or use a Keras loss with "
    "from_logits=True: its answers are then turned into probabilities. For a label that is an "
    "amount, use regression metrics, such as MeanSquaredError."
)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}


def write(saved_model: Path, activation: str) -> None:
    """Store in a SavedModel how its answers become probabilities (see `network.probabilities`)."""
    if activation:
        (saved_model / FILE).parent.mkdir(parents=True, exist_ok=True)
        (saved_model / FILE).write_text(json.dumps({"probabilities": activation}), encoding="utf-8")


def as_evaluated(saved_model: Path, answers: np.ndarray) -> np.ndarray:
    """Turn a SavedModel's answers into the predictions that are evaluated.

    If its loss took logits, they become probabilities; otherwise they stay as they are.

    Args:
        saved_model: The SavedModel's folder.
        answers: Numbers of shape [rows, outputs].

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: The folder names an activation that this version does not know.
    """
    path = saved_model / FILE
    if not path.is_file():
        return answers.astype(np.float32)
    activation = json.loads(path.read_text(encoding="utf-8"))["probabilities"]
    if activation not in _ACTIVATIONS:
        raise ValueError(f"{FILE}: this version does not know the activation '{activation}'")
    return _ACTIVATIONS[activation](answers.astype(np.float64)).astype(np.float32)


def not_probabilities(values: np.ndarray, metrics: Sequence[str]) -> str:
    """Why predictions are no probabilities, or ''.

    With several outputs, each row must also add up to 1, since a row belongs to exactly one class.

    Args:
        values: Numbers of shape [rows, outputs].
        metrics: Names of the metrics that are only defined for probabilities. If there are none,
            any values are accepted.
    """
    if not metrics or not values.size:
        return ""
    outside = int((~((values >= -ROUNDING) & (values <= 1 + ROUNDING))).sum())  # Counts NaN too.
    need = "needs" if len(metrics) == 1 else "need"
    named = f"but {', '.join(metrics)} {need} probabilities"
    if outside:
        return (
            f"{outside} of {values.size} predictions are not between 0 and 1 (they go from "
            f"{values.min():.4g} to {values.max():.4g}), {named}"
        )
    if values.shape[1] > 1:
        sums = values.sum(axis=1, dtype=np.float64)
        if wrong := int((abs(sums - 1) > SUM_ROUNDING).sum()):
            return (
                f"{wrong} of {len(sums)} rows of predictions do not add up to 1 (their sums go "
                f"from {sums.min():.4g} to {sums.max():.4g}), {named}"
            )
    return ""
