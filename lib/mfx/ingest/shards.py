"""Which input files one task reads together: neither a process for each small file, nor one for
all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from mfx.artifacts import Shard, SourceFile

SHARDS = 64
"""Most shards of a run: each is a process."""


def group(files: Sequence[SourceFile], size: float) -> tuple[Shard, ...]:
    """Files as shards, in order.

    Only names and sizes decide, so every machine makes the same shards. Where a shard ends is a
    matter of the file that it ends with, and not of how many came before: a file that comes or goes
    changes the shards next to it, and the others can be taken over from earlier runs.

    Args:
        files: The files.
        size: Bytes from which on a shard may end, doubled until there are at most SHARDS. A file
            so large is a shard of its own, files that are smaller together are one shard. Others
            are twice as large on average, and at most five times.
    """
    while len(found := _cut(files, size)) > SHARDS:
        size *= 2
    return tuple(found)


def _cut(files: Sequence[SourceFile], size: float) -> list[Shard]:
    found: list[list[SourceFile]] = [[]]
    held = 0
    for file in files:
        if found[-1] and file.size >= size:
            found.append([])
            held = 0
        found[-1].append(file)
        held += file.size
        if held >= 4 * size or (held >= size and _draw(file) < file.size / size):
            found.append([])
            held = 0
    return [Shard(tuple(part)) for part in found if part]


def _draw(file: SourceFile) -> float:
    """A number from 0 to 1 that the file's name decides."""
    name = PurePosixPath(file.path.replace("\\", "/")).name
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
