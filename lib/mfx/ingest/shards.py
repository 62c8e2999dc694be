"""Group input files into shards. One task reads one shard.

So there is neither one process for each small file, nor one process for all files.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mfx.artifacts import Part, Shard, SourceFile
from mfx.artifacts.lineage import hash_file, hash_ranges

SHARDS = 64
"""The most shards of a run. Each shard costs a process."""


LEAST = 2**20
"""The least bytes of a part of a file, whatever `shard_mb` is: less is not worth a process."""


def cut(path: Path, address: str, parts: Sequence[Part]) -> list[SourceFile]:
    """A file, or its parts, with hashes.

    Args:
        path: The file on disk.
        address: Where it lies.
        parts: What its source said that may be read by itself; with one or none it stays whole.
    """
    size = path.stat().st_size
    if len(parts) < 2:
        return [SourceFile(address, hash_file(path), size)]
    whole, of_parts = hash_ranges(path, [part.end for part in parts])
    return [
        SourceFile(address, whole, size, part._replace(sha256=sha256))
        for part, sha256 in zip(parts, of_parts, strict=True)
    ]


def group(
    files: Sequence[SourceFile], weights: Sequence[float], size: float, window: int = 1
) -> tuple[Shard, ...]:
    """Group files, and parts of files, into shards, in order.

    Only names and sizes decide, so every machine makes the same shards. Whether a shard ends after
    a file depends mostly on that file, not on how many files came before. So a file that is added
    or removed changes only the shards near it; the others can be reused from earlier runs.

    No shard has files of several spans, and how a span is cut does not depend on the other spans.

    Args:
        files: The files, in order; those of a span follow each other.
        weights: For each about how many bytes its rows take when they are not packed.
        size: A shard may end when it has this many such bytes. Doubled until there are at most
            SHARDS shards. A file of this size or more is a shard of its own, and files that are
            smaller than this together are one shard. Other shards have twice this size on average,
            and five times at most.
        window: How many spans there may be. Each gets an equal share of the SHARDS shards.
    """
    found: list[Shard] = []
    pairs = zip(files, weights, strict=True)
    for _, span in itertools.groupby(pairs, lambda pair: pair[0].span):
        here, of = zip(*span, strict=True)
        found += _at_most(SHARDS // window or 1, here, of, size)
    return tuple(found)


def _at_most(
    most: int, files: Sequence[SourceFile], weights: Sequence[float], size: float
) -> list[Shard]:
    while len(found := _cut(files, weights, size)) > most:
        size *= 2
    return found


def _cut(files: Sequence[SourceFile], weights: Sequence[float], size: float) -> list[Shard]:
    found: list[list[SourceFile]] = [[]]
    held = 0.0
    for file, bytes_of in zip(files, weights, strict=True):
        if found[-1] and bytes_of >= size:
            found.append([])
            held = 0.0
        found[-1].append(file)
        held += bytes_of
        if held >= 4 * size or (held >= size and _draw(file) < bytes_of / size):
            found.append([])
            held = 0.0
    return [Shard(tuple(part)) for part in found if part]


def _draw(file: SourceFile) -> float:
    """A pseudorandom number from 0 to 1, by the file's name and keys and the part's place."""
    name = "".join(f"{name}={text}/" for name, text in file.keys)
    name += PurePosixPath(file.path.replace("\\", "/")).name
    name += f" {file.part.begin}" if file.part else ""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
