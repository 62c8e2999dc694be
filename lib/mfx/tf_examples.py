"""Flat Arrow columns as serialized tf.Examples."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from mfx.replay import to_example


def serialize(batch: pa.RecordBatch) -> Iterator[bytes]:
    """One tf.Example a row, missing values left out, in row order."""
    for row in batch.to_pylist():
        yield to_example(row)
