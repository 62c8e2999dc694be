"""Resolve a run's inputs and fix what they are: files, column types, hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfx.artifacts import Shard, Sources
from mfx.config import Settings, from_dict
from mfx.errors import MfxError
from mfx.lineage import Lineage, hash_code, hash_file, hash_json
from mfx.read_csv import header, infer_types
from mfx.schema_file import column_types


def settings(flow: Any) -> Settings:
    """The flow's config with its run-time parameters put in.

    Raises:
        MfxError: A parameter's value does not fit.
    """
    return from_dict(flow.config.to_dict(), where="config").override(
        # Paths on the command line start where the command was given.
        data__path=flow.data and str(Path(flow.data).absolute()),
        train__steps=flow.steps,
        train__batch_size=flow.batch_size,
        train__seed=flow.seed,
        push__destination=flow.destination and _absolute(flow.destination),
    )


def _absolute(destination: str) -> str:
    return destination if "://" in destination else str(Path(destination).absolute())


def resolve(settings: Settings) -> Sources:
    """Find the input files, check that they agree, and fix types and lineage.

    Columns have the types of the committed schema; those it does not name (all, when none is
    committed yet) have the narrowest type that all their values fit.

    Raises:
        MfxError: No file, an unreadable one, or files whose columns differ.
    """
    paths = _files(Path(settings.resolve(settings.data.path)))
    names = _common_header(paths)
    known = column_types(Path(settings.resolve(settings.schema_.path)))
    unknown = [name for name in names if name not in known]
    inferred = infer_types(paths, settings.data.null_values) if unknown else {}
    shards = tuple(Shard(str(p), hash_file(p), p.stat().st_size) for p in paths)
    _check_split_key(settings, names)
    return Sources(
        shards=shards,
        columns={name: known.get(name) or inferred[name] for name in names},
        lineage=Lineage(
            data=hash_json([shard.sha256 for shard in shards]),
            code=hash_code([Path(settings.resolve(settings.pipeline.module))]),
            config=hash_json({k: v for k, v in settings.to_dict().items() if k != "home"}),
        ),
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.csv"))
    elif any(character in path.name for character in "*?["):
        found = sorted(path.parent.glob(path.name))
    else:
        found = [path]
    if not found:
        raise MfxError(
            f"{path}: no CSV file found",
            "Give a CSV file, a folder of *.csv or a pattern: --data, or path under [data].",
        )
    if not found[0].exists():
        raise MfxError(
            f"{path}: no such file", "Give a CSV file that exists: --data, or path under [data]."
        )
    return found


def _common_header(paths: list[Path]) -> list[str]:
    names = header(paths[0])
    for path in paths[1:]:
        if (other := header(path)) != names:
            differing = sorted(set(names) ^ set(other)) or "their order"
            raise MfxError(
                f"{path}: columns differ from those of {paths[0]}: {differing}",
                "All files of one data set need the same header.",
            )
    return names


def _check_split_key(settings: Settings, names: list[str]) -> None:
    for name in settings.data.split.key:
        if name not in names:
            raise MfxError(
                f"data.split.key: no column '{name}' in the data", f"Columns: {', '.join(names)}"
            )
