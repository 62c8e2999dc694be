"""TFT's analysis of several spans: what it gathers of each is kept, and put together for a window.

There are two kinds of pipelines. The first gathers what is not known of a span yet, each span by
itself; the second makes the graph from what is known of all. Whether an earlier run kept it or this
one gathers it, the second reads the same bytes in the same order. So the graph is the same with and
without earlier runs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tfx_bsl.public.tfxio import TensorAdapter, TensorAdapterConfig

from mfx.artifacts import Examples
from mfx.artifacts.span_cache import SpanCache
from mfx.artifacts.store import Payload
from mfx.beam import runner, source
from mfx.columns.types import as_lists
from mfx.config import Beam
from mfx.export import _private
from mfx.export._private import counted_from

__all__ = ["Analysis", "counted_from"]

ENTRIES = "entries.json"
"""The names of a span's entries; entry n is in the file `<n>`."""
DatasetCache = tft_beam.analyzer_cache.DatasetCache
DatasetKey = tft_beam.analyzer_cache.DatasetKey
_SIZE = struct.Struct("<Q")


@dataclass(frozen=True)
class Analysis:
    """What TFT analyses.

    Args:
        function: The user's `preprocessing_fn`.
        config: How Arrow columns become tensors.
        options: The config's table `[beam]`.
    """

    function: Any
    config: TensorAdapterConfig
    options: Beam

    def of_spans(self, examples: Examples, cache: SpanCache, work: str, write: Any) -> int:
        """Analyse the train split of several spans.

        Args:
            examples: Rows of several spans.
            cache: Gets what is gathered of each, and has what earlier runs gathered.
            work: A folder that workers can write to.
            write: A `beam.PTransform` that writes the transform function.

        Returns:
            The first number in names of its functions.
        """
        parts = {f"{n:03d}": part for n, part in enumerate(examples.by_span())}
        with runner.folder(Beam()) as here:
            root = Path(here)

            def make(missing: Mapping[str, Examples], folder: Path) -> None:
                for name, part in missing.items():
                    # By itself: what else a pipeline does may change the last bits of a sum.
                    self._gather(name, part, f"{work}/gathered")
                    runner.fetch(f"{work}/gathered/{name}", folder / name)

            cache.fill(parts, ["analysis", self._text()], make, _entries, root)
            begin = _private.count_on()
            self._put_together(parts, root, work, write)
            return begin

    def _text(self) -> str:
        return str(self.config.arrow_schema) + str(self.config.tensor_representations)

    def _context(self, work: str) -> tft_beam.Context:
        return tft_beam.Context(temp_dir=f"{work}/tmp")

    def _gather(self, name: str, part: Examples, target: str) -> None:
        """Write what TFT gathers of a span into the folder `name` below `target`."""
        key = DatasetKey("span")
        with runner.pipeline(self.options) as pipeline, self._context(target):
            data = {key: pipeline | "Rows" >> source.Read(_files(part), as_lists)}
            _, found = (data, {}, self.config) | tft_beam.AnalyzeDatasetWithCache(self.function)
            entries = found[key].cache_dict if key in found else {}
            names = sorted(entries)
            for number, entry in enumerate(names):
                _ = (
                    entries[entry]
                    | f"All{number}" >> beam.combiners.ToList()
                    | f"Write{number}" >> beam.Map(_write, f"{target}/{name}/{number}")
                )
            _write_text(f"{target}/{name}/{ENTRIES}", json.dumps([n.hex() for n in names]))

    def _put_together(
        self, parts: Mapping[str, Examples], root: Path, work: str, write: Any
    ) -> None:
        entries = {DatasetKey(name): _entries(root / name) for name in parts}
        specs = TensorAdapter(self.config).OriginalTypeSpecs()
        known = {key: DatasetCache(dict.fromkeys(of, ()), None) for key, of in entries.items()}
        needed = _private.datasets_needed(self.function, specs, entries, known)
        with runner.pipeline(self.options) as pipeline, self._context(work):
            data = {
                key: pipeline | f"Rows{name}" >> source.Read(_files(parts[name]), as_lists)
                if key in needed
                else None
                for key, name in zip(entries, parts, strict=True)
            }
            caches = {
                key: DatasetCache(
                    {
                        entry: pipeline | f"Known{key.key}-{number}" >> beam.Create(values, False)
                        for number, (entry, values) in enumerate(of.items())
                    },
                    None,
                )
                for key, of in entries.items()
            }
            analyse = tft_beam.AnalyzeDatasetWithCache(self.function, pipeline=pipeline)
            transform_fn, _ = (data, caches, self.config) | analyse
            _ = transform_fn | write


def _files(part: Examples) -> Sequence[Payload]:
    return [payload.only("train.parquet") for payload in part.shards]


def _write(values: Sequence[bytes], path: str) -> None:
    """Write values in a fixed order: what is gathered of a key is one value, and order says
    nothing."""
    content = b"".join(_SIZE.pack(len(value)) + value for value in sorted(values))
    folder = path.rpartition("/")[0]
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)


def _write_text(path: str, text: str) -> None:
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(text)


def _entries(folder: Path) -> dict[bytes, list[bytes]]:
    """What TFT gathered of a span, by TFT's names."""
    names = json.loads((folder / ENTRIES).read_text(encoding="utf-8"))
    return {
        bytes.fromhex(name): [*_values((folder / str(number)).read_bytes())]
        for number, name in enumerate(names)
    }


def _values(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        (size,) = _SIZE.unpack_from(content, at)
        at += _SIZE.size
        if at + size > len(content):
            raise ValueError("the file ends too early")
        yield content[at : at + size]
        at += size
