"""Resolve a run's inputs and fix what they are: files, column types, hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfx import code, csv_files, registry, shards, user_module
from mfx.artifacts import SourceFile, Sources
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
    files, columns = _look_at(addresses, known, settings)
    if not (csv_files.is_remote(settings.data.path) or Path(settings.data.path).is_absolute()):
        files = [file._replace(path=settings.from_home(file.path)) for file in files]
    return Sources(
        shards=shards.group(files, settings.data.shard_mb * 2**20),
        columns=columns,
        lineage=Lineage(
            data=hash_json([file.sha256 for file in files]),
            code=hash_code(code.files(settings)),
            config=hash_json(
                {k: v for k, v in settings.to_dict().items() if k not in ("home", "deploy")}
            ),
        ),
    )


def _look_at(
    addresses: list[str], known: dict[str, str], settings: Settings
) -> tuple[list[SourceFile], dict[str, str]]:
    """The files themselves and the type of each column that all of them have.

    Each file is brought to disk and gone through once.
    """
    _check_headers_on_disk(addresses)
    names: list[str] = []
    files: list[SourceFile] = []
    found: dict[str, str | None] = {}
    for address, opened in csv_files.each_on_disk(addresses):
        with opened as path:
            here = header(path)
            if not names:
                names = here
                _check_split_key(settings, names)
            _check_header(address, here, addresses[0], names)
            if not known.keys() >= set(names):
                found = narrowest_types(path, settings.data.null_values, found)
            files.append(SourceFile(address, hash_file(path), path.stat().st_size))
    return files, {name: known.get(name) or found[name] or "bytes" for name in names}


def _check_headers_on_disk(addresses: list[str]) -> None:
    """On disk a header costs nothing: all of them are looked at before all the rows."""
    names: list[str] = []
    for address in addresses:
        if not csv_files.is_remote(address):
            here = header(Path(address))
            names = names or here
            _check_header(address, here, addresses[0], names)


def _check_header(address: str, here: list[str], first: str, names: list[str]) -> None:
    if here != names:
        differing = sorted(set(names) ^ set(here)) or "their order"
        raise MfxError(
            f"{address}: columns differ from those of {first}: {differing}",
            "All files of one data set need the same header.",
        )


def _check_split_key(settings: Settings, names: list[str]) -> None:
    for name in settings.data.split.key:
        if name not in names:
            raise MfxError(
                f"data.split.key: no column '{name}' in the data", f"Columns: {', '.join(names)}"
            )
