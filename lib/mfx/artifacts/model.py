"""The results of `transform` and `train`: the transform graph and the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfx.artifacts.lineage import Lineage, hash_json
from mfx.artifacts.store import Payload


@dataclass(frozen=True)
class LabelValues:
    """The values of the transformed label.

    Args:
        name: The label's name.
        counts: For each split, the number of rows for each finite value; empty if there are too
            many values.
        texts: For each split, the number of rows for each pair of text and value; empty if the
            label is not made from one column of text, or there are too many pairs.
        not_finite: For each split, the number of rows with NaN or infinity.
        low: The lowest finite value in all splits.
        high: The highest finite value in all splits.
        fractions: The number of rows whose value is not a whole number.
    """

    name: str
    counts: dict[str, dict[float, int]]
    texts: dict[str, dict[tuple[bytes | None, float], int]]
    not_finite: dict[str, int]
    low: float
    high: float
    fractions: int


@dataclass(frozen=True)
class TransformGraph:
    """TFT's transform output: the graph, its vocabularies, the transformed features' types.

    Args:
        payload: TFT's files.
        features: The type of each transformed feature, by name.
        lineage: What the result was made from.
        engine: What analysed the train split.
        label: The label's values; None in runs of older versions.
    """

    payload: Payload
    features: dict[str, str]
    lineage: Lineage
    engine: str = ""
    label: LabelValues | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the graph's files."""
        return self.payload.digest

    def save_to(self, directory: str | Path) -> Path:
        """Write TFT's folder; `tft.TFTransformOutput(directory)` reads it."""
        return self.payload.save_to(directory)


@dataclass(frozen=True)
class Model:
    """A SavedModel with the transform graph and the network, and how it was trained.

    Args:
        payload: The SavedModel's files.
        logs: TensorBoard's event files.
        candidate: Its index in `train.candidates`.
        hyperparameters: The arguments of `build_model`.
        history: Loss and metrics by name, with one value per epoch. Validation metrics begin with
            `val_`.
        weights: SHA-256 of the trained variables' values.
        steps: The number of training steps.
        device: What it was trained on, such as `CPU` or `2 GPU`.
        resumed_from: How many epochs came from a checkpoint; 0 if none.
        lineage: What the result was made from.
    """

    payload: Payload
    logs: Payload
    candidate: int
    hyperparameters: dict[str, Any]
    history: dict[str, list[float]]
    weights: str
    steps: int
    device: str
    resumed_from: int
    lineage: Lineage

    @property
    def digest(self) -> str:
        """SHA-256 of the trained variables, the transform graph and the transformed examples."""
        return hash_json([self.weights, *self.lineage.parents])

    def save_to(self, directory: str | Path) -> Path:
        """Write the SavedModel; `tf.saved_model.load(directory)` reads it."""
        return self.payload.save_to(directory)
