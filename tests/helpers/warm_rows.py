"""Rows enough for every size of warm-up requests."""

from __future__ import annotations

import pyarrow as pa

from helpers.exported import BATCH

MANY = pa.Table.from_batches([BATCH] * 10).combine_chunks().to_batches()[0]
"""60 rows, some values missing, so that every size has its rows."""
