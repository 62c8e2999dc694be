"""Lineage: what a result was made from, as hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Lineage:
    """SHA-256 hashes of what a result was made from.

    Args:
        data: The input files' contents.
        code: The library's and the pipeline's Python files.
        config: The effective config, with the parameters of the run.
        parents: Digests of the results that it was made from.
    """

    data: str
    code: str
    config: str
    parents: tuple[str, ...] = ()

    def derived(self, *digests: str) -> Lineage:
        """The lineage of a result made from results with these digests."""
        return replace(self, parents=digests)


def hash_bytes(*parts: bytes) -> str:
    """SHA-256 of several parts. Each part's length counts too: other boundaries, another hash."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a value as JSON with sorted keys."""
    return hash_bytes(json.dumps(value, sort_keys=True, default=str).encode())


def hash_file(path: Path, begin: int = 0, end: int | None = None) -> str:
    """SHA-256 of a file's content, read in blocks: of all, or from `begin` until before `end`."""
    digest = hashlib.sha256()
    for block in _blocks(path, begin, end):
        digest.update(block)
    return digest.hexdigest()


def hash_ranges(path: Path, ends: Sequence[int]) -> tuple[str, list[str]]:
    """SHA-256 of a file's content, and of each of its parts, in one go.

    Args:
        path: The file.
        ends: The place after each part's last byte, in order; the last is the file's size.
    """
    whole, of_parts, begin = hashlib.sha256(), [], 0
    with ThreadPoolExecutor(1) as beside:  # Python hashes without its lock.
        for end in ends:
            part = hashlib.sha256()
            for block in _blocks(path, begin, end):
                done = beside.submit(whole.update, block)
                part.update(block)
                done.result()
            of_parts.append(part.hexdigest())
            begin = end
    return whole.hexdigest(), of_parts


def _blocks(path: Path, begin: int, end: int | None) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        while block := file.read(2**20 if end is None else min(2**20, end - file.tell())):
            yield block


def hash_code(files: Mapping[str, Path]) -> str:
    """SHA-256 of files of code: the given names and the contents."""
    return hash_json({name: hash_file(path) for name, path in files.items()})
