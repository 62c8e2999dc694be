"""Rows that a function of the user's own gives: `source = "my_source.py"` under `[data]`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pyarrow as pa

from mfx.config import Settings
from mfx.errors import MfxError
from mfx.ingest.outside.base import Piece, Place
from mfx.user_code import source
from mfx.user_code.failures import running


def pieces(settings: Settings) -> list[Piece]:
    """A piece for each value that the user's `shards()` returns; one if there is no such function.

    See `base.Outside`.
    """
    given = settings.data.source
    assert given is not None
    module, path = _load(settings.resolve(given))
    if not hasattr(module, "shards"):
        return [Piece(f"source://{given}", [given, None])]
    with running(path, "shards"):
        shards = module.shards()
    if not isinstance(shards, list) or not shards or not all(map(_is_json, shards)):
        raise MfxError(
            f"{path}: shards returns {shards!r:.80}",
            "Return a list of JSON values (texts, numbers, lists, dicts), one at least: each is "
            "what `batches` gets.",
        )
    return [Piece(f"source://{given}?{_word(shard)}", [given, shard]) for shard in shards]


def batches(told: Any, place: Place) -> Iterator[pa.RecordBatch]:
    """What the user's `batches(shard)` yields; see `base.Outside`."""
    given, shard = told
    module, path = _load(place.resolve(given))
    with running(path, "batches", about=f"Shard: {shard!r:.400}"):
        made = module.batches(shard)
        if not hasattr(made, "__iter__"):
            raise _not_a_batch(path, made)
        for batch in made:
            if isinstance(batch, pa.Table):
                yield from batch.to_batches()
            elif isinstance(batch, pa.RecordBatch):
                yield batch
            else:
                raise _not_a_batch(path, batch)


def _not_a_batch(path: str, found: Any) -> MfxError:
    return MfxError(
        f"{path}: batches gives {type(found).__name__}, not pyarrow.RecordBatch",
        "Write it with yield, such as: yield pa.RecordBatch.from_pydict({'fare': [1.5, 2.0]})",
    )


def _load(path: str) -> tuple[ModuleType, str]:
    module = source.load(path)
    if not callable(getattr(module, "batches", None)):
        raise MfxError(
            f"{path}: no function batches",
            "Define batches(shard) in this file; it yields pyarrow.RecordBatch.",
        )
    return module, path


def _is_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        return False


def _word(shard: Any) -> str:
    text = shard if isinstance(shard, str) else json.dumps(shard, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
