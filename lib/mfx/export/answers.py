"""Probabilities from what a network answers: how is kept inside each SavedModel, so that whoever
evaluates it, in whichever run, evaluates the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

FILE = "assets.extra/answers.json"
"""Where in a SavedModel's folder it stands; without it answers are evaluated as they are."""

ROUNDING, SUM_ROUNDING = 1e-6, 1e-2
"""How far a probability may lie outside [0, 1], and a row's sum from 1: float16 has 3 digits."""

CURE = (
    "End the network in a sigmoid (a softmax for several classes), or give its loss as one of "
    "Keras' with from_logits=True: then probabilities are made of its answers. For a label that is "
    "an amount take metrics of regression, such as MeanSquaredError."
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
    """Keep with a SavedModel what makes probabilities of its answers (`network.probabilities`)."""
    if activation:
        (saved_model / FILE).parent.mkdir(parents=True, exist_ok=True)
        (saved_model / FILE).write_text(json.dumps({"probabilities": activation}), encoding="utf-8")


def as_evaluated(saved_model: Path, answers: np.ndarray) -> np.ndarray:
    """What a SavedModel's answers are evaluated as: probabilities where its loss took logits.

    Args:
        saved_model: Its folder.
        answers: Numbers of shape [rows, outputs].

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: The folder names something that this version does not know.
    """
    path = saved_model / FILE
    if not path.is_file():
        return answers.astype(np.float32)
    activation = json.loads(path.read_text(encoding="utf-8"))["probabilities"]
    if activation not in _ACTIVATIONS:
        raise ValueError(f"{FILE}: probabilities by '{activation}', which this version cannot make")
    return _ACTIVATIONS[activation](answers.astype(np.float64)).astype(np.float32)


def not_probabilities(values: np.ndarray, metrics: Sequence[str]) -> str:
    """Why predictions are no probabilities, or ''.

    Rows of several outputs must add up to 1 too: a label here is one class, so classes exclude each
    other.

    Args:
        values: Numbers of shape [rows, outputs].
        metrics: Metrics that are only defined on probabilities; if none, any values do.
    """
    if not metrics or not values.size:
        return ""
    outside = int((~((values >= -ROUNDING) & (values <= 1 + ROUNDING))).sum())  # NaN too
    named = f"but {', '.join(metrics)} {'is' if len(metrics) == 1 else 'are'} of probabilities"
    if outside:
        return (
            f"{outside} of {values.size} predictions are not within [0, 1] (they go from "
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
