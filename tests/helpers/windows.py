"""Examples of several spans, and what earlier runs kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mfx.artifacts import Examples
from mfx.artifacts.span_cache import Found, SpanCache
from mfx.artifacts.spans import Span, SpanRows


def window(parts: Mapping[int, Examples]) -> Examples:
    """The examples of spans, by their numbers, as one."""
    each = [*parts.values()]
    rows = {split: sum(part.rows[split] for part in each) for split in each[0].rows}
    return replace(
        each[0],
        shards=tuple(payload for part in each for payload in part.shards),
        rows=rows,
        rows_in=sum(rows.values()),
        spans=tuple(
            SpanRows(Span(number), len(part.shards), part.rows, part.hashes or {})
            for number, part in parts.items()
        ),
    )


def no_cache(step: str) -> SpanCache:
    """A cache that knows no earlier runs and reports nothing."""
    return SpanCache(step, "", (), lambda line: None)


class Runs:
    """Runs of a step one after the other; each knows what those before it kept."""

    def __init__(self, step: str) -> None:
        self._step = step
        self.found: list[Found] = []
        self.said: list[str] = []

    def cache(self, code: str = "code") -> SpanCache:
        """For the next run; call `end` after it."""
        self.said = []
        return SpanCache(self._step, code, tuple(self.found), self.said.append)

    def end(self, cache: SpanCache) -> None:
        """Keep what this run kept."""
        self.found.insert(0, Found(str(len(self.found) + 1), tuple(cache.kept)))


def damage(found: Sequence[Found], number: int) -> None:
    """Change a byte of a file that was kept of a span."""
    from pathlib import Path

    (kept,) = (kept for kept in found[0].kept if kept.span.number == number)
    key = kept.payload.blobs[0].keys[0]
    (path,) = Path(kept.payload.root).rglob(key)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
