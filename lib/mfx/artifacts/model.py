"""Of `transform` and `train`: the transform graph and the model behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfx.artifacts.lineage import Lineage, hash_json
from mfx.artifacts.store import Payload


@dataclass(frozen=True)
class LabelValues:
    """What the transformed label holds.

    Args:
        name: The label.
        counts: By split, each finite value and its rows; empty where there are too many values.
        texts: By split, where the label is made of one column of text: text and value, and rows.
        not_finite: By split, rows with NaN or infinity.
        low: The lowest finite value of all splits.
        high: The highest.
        fractions: Rows whose value is not whole.
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
        engine: What analysed the train split.
        label: What the label holds; None in runs of older versions.
    """

    payload: Payload
    features: dict[str, str]
    lineage: Lineage
    engine: str = ""
    label: LabelValues | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over the graph's files."""
        return self.payload.digest

    def save_to(self, directory: str | Path) -> Path:
        """Write TFT's folder; `tft.TFTransformOutput(directory)` reads it."""
        return self.payload.save_to(directory)


@dataclass(frozen=True)
class Model:
    """A SavedModel that holds transform graph and network, and how it was made.

    Args:
        payload: The SavedModel's files.
        logs: TensorBoard's event files.
        candidate: Its place in `train.candidates`.
        hyperparameters: What `build_model` got.
        history: Loss and metrics, one entry an epoch, validation ones as `val_…`.
        weights: SHA-256 of the trained variables' bytes.
        steps: Training steps taken.
        device: What it was trained on, such as `1 CPU` or `2 GPU`.
        resumed_from: Epochs that were taken over from a checkpoint, 0 if none.
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
        """SHA-256 over the trained variables and the transform graph they were trained behind."""
        return hash_json([self.weights, *self.lineage.parents])

    def save_to(self, directory: str | Path) -> Path:
        """Write the SavedModel; `tf.saved_model.load(directory)` reads it."""
        return self.payload.save_to(directory)
