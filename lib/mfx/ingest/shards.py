"""Group input files into shards. One task reads one shard.

So there is neither one process for each small file, nor one process for all files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from mfx.artifacts import Shard, SourceFile

SHARDS = 64
"""The most shards of a run. Each shard costs a process."""


def group(files: Sequence[SourceFile], size: float) -> tuple[Shard, ...]:
    """Group files into shards, in order.

    Only names and sizes decide, so every machine makes the same shards. Whether a shard ends after
    a file depends mostly on that file, not on how many files came before. So a file that is added
    or removed changes only the shards near it; the others can be reused from earlier runs.

    Args:
        files: The files, in order.
        size: A shard may end when it has this many bytes. Doubled until there are at most SHARDS
            shards. A file of this size or more is a shard of its own, and files that are smaller
            than this together are one shard. Other shards have twice this size on average, and
            five times at most.
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
    """A pseudorandom number from 0 to 1, computed from the file's name."""
    name = PurePosixPath(file.path.replace("\\", "/")).name
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
