"""Resolve a run's inputs and fix what they are: files, column types, hashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mfx import code, csv_files, registry, user_module
from mfx.artifacts import Shard, Sources
from mfx.config import Settings, from_dict
from mfx.deploy import check_seen_by_containers
from mfx.destination import is_denied
from mfx.environment import code_package
from mfx.errors import MfxError
from mfx.lineage import Lineage, hash_code, hash_file, hash_json
from mfx.read_csv import header, narrowest_types
from mfx.schema_file import column_types
from mfx.trial import is_trial


def settings(flow: Any) -> Settings:
    """The flow's config with its run-time parameters put in.

    Raises:
        MfxError: A parameter's value does not fit.
    """
    given = from_dict(flow.config.to_dict(), where="config")
    if code_package():
        check_seen_by_containers(
            {
                "data.path": flow.data or given.data.path,
                "push.destination": flow.destination or given.push.destination,
            }
        )
    return given.override(
        # Paths on the command line start where the command was given.
        data__path=flow.data and given.kept(flow.data),
        train__steps=flow.steps,
        train__batch_size=flow.batch_size,
        train__seed=flow.seed,
        push__destination=flow.destination and given.kept(flow.destination),
    )


def check_destination(settings: Settings, report: Callable[[str], object]) -> None:
    """Find out now, and not after the training, whether a model can be pushed.

    A run that is not to promote needs no right to write there; that it has none is said, and
    nothing more. A trial only reads.

    Args:
        settings: Where to push.
        report: Takes that line.

    Raises:
        MfxError: The destination cannot be read, or written: by nobody, or by a run that may
            promote.
    """
    place = registry.place.of(settings, registry.place.current_branch())
    destination = place.open()
    destination.versions()
    if is_trial():
        return
    try:
        destination.try_out()
    except MfxError as error:
        if settings.push.promote == "auto" or not is_denied(error):
            raise
        report(f"this run can read and not write {place}; whoever promotes must: {error.what}")


def resolve(settings: Settings) -> Sources:
    """Find the input files, check that they agree, and fix types and lineage.

    Columns have the types of the committed schema; those it does not name (all, when none is
    committed yet) have the narrowest type that all their values fit.

    Raises:
        MfxError: No file, an unreadable one, or files whose columns differ; `model.py` or the
            schema cannot be used.
    """
    user_module.check_syntax(settings)
    known = column_types(Path(settings.resolve(settings.schema_.path)))
    addresses = csv_files.find(settings.resolve(settings.data.path))
    names, shards = _look_at(addresses)
    unknown = [name for name in names if name not in known]
    inferred = _infer(addresses, settings.data.null_values) if unknown else {}
    _check_split_key(settings, names)
    if not (csv_files.is_remote(settings.data.path) or Path(settings.data.path).is_absolute()):
        shards = [replace(shard, path=settings.from_home(shard.path)) for shard in shards]
    return Sources(
        shards=tuple(shards),
        columns={name: known.get(name) or inferred[name] for name in names},
        lineage=Lineage(
            data=hash_json([shard.sha256 for shard in shards]),
            code=hash_code(code.files(settings)),
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
