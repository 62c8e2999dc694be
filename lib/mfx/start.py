"""Resolve a run's inputs and fix what they are: files, column types, hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfx import csv_files
from mfx.artifacts import Shard, Sources
from mfx.config import Settings, from_dict
from mfx.errors import MfxError, nearest
from mfx.lineage import Lineage, hash_code, hash_file, hash_json
from mfx.read_csv import header, narrowest_types
from mfx.schema_file import column_types


def settings(flow: Any) -> Settings:
    """The flow's config with its run-time parameters put in.

    Raises:
        MfxError: A parameter's value does not fit.
    """
    return from_dict(flow.config.to_dict(), where="config").override(
        # Paths on the command line start where the command was given.
        data__path=flow.data and _absolute(flow.data),
        train__steps=flow.steps,
        train__batch_size=flow.batch_size,
        train__seed=flow.seed,
        push__destination=flow.destination and _absolute(flow.destination),
    )


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())


def resolve(settings: Settings) -> Sources:
    """Find the input files, check that they agree, and fix types and lineage.

    Columns have the types of the committed schema; those it does not name (all, when none is
    committed yet) have the narrowest type that all their values fit.

    Raises:
        MfxError: No file, an unreadable one, or files whose columns differ.
    """
    known = column_types(Path(settings.resolve(settings.schema_.path)))
    addresses = csv_files.find(settings.resolve(settings.data.path))
    names, shards = _look_at(addresses)
    unknown = [name for name in names if name not in known]
    inferred = _infer(addresses, settings.data.null_values) if unknown else {}
    _check_split_key(settings, names)
    return Sources(
        shards=tuple(shards),
        columns={name: known.get(name) or inferred[name] for name in names},
        lineage=Lineage(
            data=hash_json([shard.sha256 for shard in shards]),
            code=hash_code([Path(settings.resolve(settings.pipeline.module))]),
            config=hash_json(
                {k: v for k, v in settings.to_dict().items() if k not in ("home", "deploy")}
            ),
        ),
    )


def _look_at(addresses: list[str]) -> tuple[list[str], list[Shard]]:
    """The columns that all files have, and the files themselves."""
    names: list[str] = []
    shards: list[Shard] = []
    for address in addresses:
        with csv_files.on_disk(address) as path:
            found = header(path)
            if shards and found != names:
                differing = sorted(set(names) ^ set(found)) or "their order"
                raise MfxError(
                    f"{address}: columns differ from those of {shards[0].path}: {differing}",
                    "All files of one data set need the same header.",
                )
            names = found
            shards.append(Shard(address, hash_file(path), path.stat().st_size))
    return names, shards


def _infer(addresses: list[str], null_values: list[str]) -> dict[str, str]:
    found: dict[str, str | None] = {}
    for address in addresses:
        with csv_files.on_disk(address) as path:
            found = narrowest_types(path, null_values, found)
    return {name: kind or "bytes" for name, kind in found.items()}


def _check_split_key(settings: Settings, names: list[str]) -> None:
    for name in settings.data.split.key:
        if name not in names:
            raise MfxError(
                f"data.split.key: no column '{name}' in the data", f"Columns: {', '.join(names)}"
            )


def check_label(settings: Settings, sources: Sources) -> None:
    """Look for the label's columns.

    Raises:
        MfxError: One is not in the data.
    """
    for name in settings.label.columns:
        if name not in sources.columns:
            raise MfxError(
                f"label.columns: no column '{name}' in the data{nearest(name, sources.columns)}",
                f"Columns: {', '.join(sources.columns)}",
            )
