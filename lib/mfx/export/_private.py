"""What this room and `transform` take of TFT and Keras beside their public API."""

from __future__ import annotations

from typing import Any

CHECKED = {"tensorflow-transform": ("1.16.0", "1.21.0"), "keras": ("3.12.4", "3.15.1")}


def transform_loader(directory: str) -> tuple[Any, Any]:
    """TFT's SavedModel in this folder.

    TFT's own layer is a Keras 2 model, which would be traced anew, with AutoGraph, when saved.

    Returns:
        A function from raw to transformed features, by name; and what TensorFlow has to track of
        it, which owns the vocabulary tables.
    """
    from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

    loader = SavedModelLoader(directory)
    return loader.apply_transform_model, loader._imported


def write_metadata(metadata: Any, directory: str) -> None:
    """Write a `tft.DatasetMetadata` as TFT's transform output holds it."""
    from tensorflow_transform.tf_metadata import metadata_io

    metadata_io.write_metadata(metadata, directory)


def last_operation(model: Any) -> Any:
    """The layer or operation that makes a network's first output."""
    return model.outputs[0]._keras_history.operation
