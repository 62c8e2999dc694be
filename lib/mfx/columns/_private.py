"""The private parts of tfx-bsl in use: its decoders, and how Arrow columns become tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

CHECKED = {"tfx-bsl": ("1.16.1", "1.21.0")}


def example_decoder() -> Callable[[list[bytes]], pa.RecordBatch]:
    """A function from serialized tf.Examples to a batch with a row for each."""
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    return ExamplesToRecordBatchDecoder().DecodeBatch


def sequence_decoder(lists: str) -> Callable[[list[bytes]], pa.RecordBatch]:
    """A function from serialized tf.SequenceExamples to a batch with a row for each.

    Args:
        lists: The name of the column, a struct, that gets all feature lists.
    """
    from tfx_bsl.coders.sequence_example_coder import SequenceExamplesToRecordBatchDecoder

    return SequenceExamplesToRecordBatchDecoder(lists).DecodeBatch


def tensor_representations(schema: Any) -> dict[str, Any]:
    """How TFT represents each of a schema's features as a tensor.

    Args:
        schema: TFDV's `Schema`.

    Returns:
        A `TensorRepresentation` for each feature's name.
    """
    from tfx_bsl.tfxio import tensor_representation_util

    return tensor_representation_util.InferTensorRepresentationsFromMixedSchema(schema)
