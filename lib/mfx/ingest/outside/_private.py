"""The private names of ADBC's drivers and of pyarrow that queries need."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pyarrow as pa

CHECKED = {
    "adbc-driver-manager": ("1.12.0", "1.13.0"),
    "adbc-driver-sqlite": ("1.12.0", "1.13.0"),
    "adbc-driver-postgresql": ("1.12.0", "1.13.0"),
    "pyarrow": ("10.0.1", "25.0.1"),
}


def driver_path(driver: ModuleType) -> str:
    """Where a driver's library is. DuckDB's package says so by a public name."""
    return (getattr(driver, "driver_path", None) or driver._driver_path)()


def reader_of(statement: Any) -> pa.RecordBatchReader:
    """The rows of a statement, as a stream.

    It is taken by the address of Arrow's C stream. The public way, `RecordBatchReader.from_stream`,
    came with pyarrow 14.
    """
    handle, _ = statement.execute_query()
    return pa.RecordBatchReader._import_from_c(handle.address)
