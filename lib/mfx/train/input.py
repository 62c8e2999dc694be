"""Transformed examples as a `tf.data.Dataset`. Its order depends only on the seed and the step."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from mfx.columns.tensors import to_numpy

WINDOW = 4
"""Row groups shuffled together, from random places of the split. This bounds the memory."""

BLOCK = 16384
"""Rows passed to TensorFlow at a time: few enough that the first batch comes quickly."""

Arrays = dict[str, np.ndarray]


class TrainInput:
    """Endless shuffled passes over Parquet files. They can start at any row.

    Args:
        paths: Parquet files with the same columns.
        label: The column with the label.
        seed: Equal seeds give equal orders.
        features: The feature columns; by default all columns but the label.
        form: Turns features by name into the network's input; by default they stay a dict.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        label: str,
        seed: int,
        features: Sequence[str] | None = None,
        form: Callable[[dict[str, Any]], Any] = dict,
    ) -> None:
        self._label, self._seed, self._form = label, seed, form
        there = pq.read_schema(paths[0])
        wanted = there.names if features is None else {*features, label}
        self._columns = [field for field in there if field.name in wanted]
        names = [field.name for field in self._columns]
        files = [pq.ParquetFile(path, memory_map=True) for path in paths]
        groups = [(file, i) for file in files for i in range(file.num_row_groups)]
        self._groups = [partial(file.read_row_group, i, names) for file, i in groups]
        self._sizes = [file.metadata.row_group(i).num_rows for file, i in groups]
        # The next epoch mostly starts where this one ended.
        self._last: tuple[tuple[int, ...], Arrays] = ((), {})

    def dataset(self, batch_size: int, start_step: int = 0) -> tf.data.Dataset:
        """Endless batches `(features, label)`, from training step `start_step` on."""
        signature = {f.name: _spec(f.type) for f in self._columns}
        # The label is split off per block: doing it per batch would take a tenth of the time.
        dataset = tf.data.Dataset.from_generator(
            lambda: map(self._split_label, self._blocks(start_step * batch_size)),
            output_signature=self._split_label(signature),
        )
        return dataset.rebatch(batch_size).prefetch(tf.data.AUTOTUNE)

    def labels(self, rows: int) -> np.ndarray:
        """The distinct labels of the first `rows` rows, in file order; sorted."""
        found: list[np.ndarray] = []
        for group in self._groups:
            found.append(_read([group])[self._label])
            if sum(map(len, found)) >= rows:
                break
        return np.unique(np.concatenate(found)[:rows])

    def head(self, rows: int, batch_size: int, devices: int = 1) -> tf.data.Dataset:
        """One pass over the first rows, in file order, as batches that devices can share equally.

        Args:
            rows: How many rows; rounded down to a multiple of `devices`.
            batch_size: Rows per batch; rounded down to a multiple of `devices`.
            devices: How many devices share each batch.
        """
        arrays: list[Arrays] = []
        read = 0
        for group, size in zip(self._groups, self._sizes, strict=True):
            arrays.append(_read([group]))
            read += size
            if read >= rows:
                break
        rows = min(rows, read) // devices * devices
        joined = {name: np.concatenate([a[name] for a in arrays])[:rows] for name in arrays[0]}
        rows_of = tf.data.Dataset.from_tensor_slices(self._split_label(joined))
        return rows_of.batch(batch_size // devices * devices).cache()

    def not_finite(self) -> dict[str, int]:
        """How many rows have NaN or infinity, for each column that has any."""
        found: Counter[str] = Counter()
        for group in self._groups:
            for name, values in _read([group]).items():
                if values.dtype.kind == "f":
                    wrong = ~np.isfinite(values).reshape(len(values), -1)
                    found[name] += int(wrong.any(axis=1).sum())
        return dict(+found)

    @property
    def rows(self) -> int:
        """The number of rows in the files."""
        return sum(self._sizes)

    def _split_label(self, columns: dict[str, Any]) -> tuple[Any, Any]:
        features = dict(columns)
        label = features.pop(self._label)
        return self._form(features), label

    def _blocks(self, skip: int) -> Iterator[Arrays]:
        total = sum(self._sizes)
        for number in itertools.count(skip // total):
            random = np.random.default_rng([self._seed, number])
            order = random.permutation(len(self._groups))
            to_skip, skip = skip - number * total if skip else 0, 0
            for begin in range(0, len(order), WINDOW):
                window = order[begin : begin + WINDOW]
                rows = sum(self._sizes[i] for i in window)
                # Drawn for skipped windows too, so that later windows have the same order.
                shuffled = random.permutation(rows)
                if to_skip < rows:
                    arrays = self._window(tuple(window))
                    for first in range(to_skip, rows, BLOCK):
                        chosen = shuffled[first : first + BLOCK]
                        yield {name: values[chosen] for name, values in arrays.items()}
                to_skip = max(0, to_skip - rows)

    def _window(self, groups: tuple[int, ...]) -> Arrays:
        if self._last[0] != groups:
            self._last = ((), {})  # Freed before the next one is read.
            self._last = (groups, _read([self._groups[i] for i in groups]))
        return self._last[1]


def _read(groups: Sequence[Callable[[], pa.Table]]) -> Arrays:
    (batch,) = pa.concat_tables([read() for read in groups]).combine_chunks().to_batches()
    return to_numpy(batch)


def _spec(kind: pa.DataType) -> tf.TensorSpec:
    if pa.types.is_fixed_size_list(kind):
        return tf.TensorSpec([None, kind.list_size], kind.value_type.to_pandas_dtype())
    return tf.TensorSpec([None], kind.to_pandas_dtype())
