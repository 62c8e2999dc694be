"""Resolve a run's inputs and fix what they are: files, column types, hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfx import registry
from mfx.artifacts import SourceFile, Sources
from mfx.artifacts.lineage import Lineage, hash_code, hash_file, hash_json
from mfx.artifacts.trial import is_trial
from mfx.config import Reading, Settings, from_dict
from mfx.deploy.decorators import check_seen_by_containers
from mfx.destinations.base import is_denied
from mfx.environment import code_package
from mfx.errors import MfxError, nearest
from mfx.flow import code
from mfx.ingest import input_files, shards, sources
from mfx.ingest.infer_types import Column
from mfx.storage.address import is_absolute, on_s3
from mfx.validate.schema_file import column_types


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
    place = registry.place.for_settings(settings, registry.place.current_branch())
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


def resolve(settings: Settings, report: Callable[[str], None] = lambda line: None) -> Sources:
    """Find the input files, check that they agree, and fix types and lineage.

    Columns have the types of the committed schema; those it does not name (all, when none is
    committed yet) have the narrowest type that all their values fit. `report` gets a line on each
    of those that is text though nearly all of it is numbers.

    Raises:
        MfxError: No file, an unreadable one, or files whose columns differ; `model.py` or the
            schema cannot be used.
    """
    files_of_code = code.files(settings)  # first: a mistake in one needs no look at the data
    known = column_types(Path(settings.resolve(settings.schema_.path)))
    addresses = input_files.find(settings.resolve(settings.data.path))
    files, found = _look_at(addresses, known, settings.data)
    notes = [
        note for name, column in found.items() if name not in known and (note := column.note(name))
    ]
    for note in notes:
        report(note)
    if notes:
        report("(null_values under [data] names texts that mean missing; a schema gives the type.)")
    if not is_absolute(settings.data.path):
        files = [file._replace(path=settings.from_home(file.path)) for file in files]
    return Sources(
        shards=shards.group(files, settings.data.shard_mb * 2**20),
        columns={name: known.get(name) or column.kind or "bytes" for name, column in found.items()},
        lineage=Lineage(
            data=hash_json([file.sha256 for file in files]),
            code=hash_code(files_of_code),
            config=hash_json(
                {k: v for k, v in settings.to_dict().items() if k not in ("home", "deploy")}
            ),
        ),
        notes=tuple(notes),
    )


def _look_at(
    addresses: list[str], known: dict[str, str], how: Reading
) -> tuple[list[SourceFile], dict[str, Column]]:
    """The files themselves, and what is known of each column that all of them have.

    Each file is brought to disk and gone through once; its rows only for types that no schema
    gives.
    """
    _check_headers_on_disk(addresses, how)
    kind, names = "", list[str]()
    files: list[SourceFile] = []
    found: dict[str, Column] = {}
    for address, opened in input_files.each_on_disk(addresses):
        with opened as path:
            source = sources.source_of(path)
            kind = kind or source.TITLE
            _check_kind(address, source.TITLE, addresses[0], kind)
            here = source.header(path, how)
            if not names:
                names = here
                _check_columns(how, names)
            _check_header(address, here, addresses[0], names)
            if not known.keys() >= set(names):
                source.look(path, how, found)
            files.append(SourceFile(address, hash_file(path), path.stat().st_size))
    return files, {name: found.get(name) or Column() for name in names}


def _check_headers_on_disk(addresses: list[str], how: Reading) -> None:
    """On disk a header costs nothing: all of them are looked at before all the rows."""
    names: list[str] = []
    for address in addresses:
        if not on_s3(address):
            here = sources.source_of(Path(address)).header(Path(address), how)
            names = names or here
            _check_header(address, here, addresses[0], names)


def _check_kind(address: str, here: str, first: str, kind: str) -> None:
    if here != kind:
        raise MfxError(
            f"{address}: {here}, but {first} is {kind}",
            "All files of one data set need to be of one kind: name a pattern that those of one "
            "kind fit, such as *.csv.",
        )


def _check_header(address: str, here: list[str], first: str, names: list[str]) -> None:
    if here != names:
        differing = sorted(set(names) ^ set(here)) or "their order"
        raise MfxError(
            f"{address}: columns differ from those of {first}: {differing}",
            "All files of one data set need the same header.",
        )


def _check_columns(how: Reading, names: list[str]) -> None:
    said = {"data.split.key": how.split.key, "data.null_values.columns": how.null_values.columns}
    for key, columns in said.items():
        for name in columns:
            if name not in names:
                raise MfxError(
                    f"{key}: no column '{name}' in the data{nearest(name, names)}",
                    f"Columns: {', '.join(names)}",
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
