"""The private parts of TFT and Keras that `export` and `transform` use."""

from __future__ import annotations

from typing import Any

CHECKED = {"tensorflow-transform": ("1.16.0", "1.21.0"), "keras": ("3.12.4", "3.15.1")}


def transform_loader(directory: str) -> tuple[Any, Any]:
    """Load TFT's SavedModel from a folder.

    TFT's own layer is not used: it is a Keras 2 model, which is traced again, with AutoGraph, when
    it is saved.

    Returns:
        A function from raw to transformed features (both dicts by name); and the object that
        TensorFlow must track, which owns the vocabulary tables.
    """
    from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

    loader = SavedModelLoader(directory)
    return loader.apply_transform_model, loader._imported


def write_metadata(metadata: Any, directory: str) -> None:
    """Write a `tft.DatasetMetadata` in the form that TFT's transform output has."""
    from tensorflow_transform.tf_metadata import metadata_io

    metadata_io.write_metadata(metadata, directory)


def last_operation(model: Any) -> Any:
    """The layer or operation that computes a network's first output."""
    return model.outputs[0]._keras_history.operation
