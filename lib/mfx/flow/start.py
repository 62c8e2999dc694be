"""The step start: find a run's input files, choose column types, compute hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mfx import registry
from mfx.artifacts import Part, Shard, SourceFile, Sources
from mfx.artifacts.lineage import Lineage, hash_code, hash_json
from mfx.artifacts.spans import in_words
from mfx.artifacts.trial import is_trial
from mfx.columns.schema_types import Declared
from mfx.columns.types import is_list, list_kind
from mfx.config import Data, Reading, Settings, from_dict, spans
from mfx.config.data import paths_in
from mfx.deploy.decorators import check_seen_by_containers
from mfx.destinations.base import is_denied
from mfx.environment import code_package
from mfx.errors import MfxError, nearest
from mfx.flow import code
from mfx.ingest import by_column, finding, folders, input_files, outside, shards, sources
from mfx.ingest.partitions import Partitions, partitions
from mfx.ingest.sources.base import (
    FOR_SOME,
    Seen,
    can_cut,
    checked_names,
    ends_of_parts,
    unpacked,
)
from mfx.storage import open_storage
from mfx.storage.address import is_absolute, is_url, parse
from mfx.transform.declared import checking
from mfx.validate.schema_file import column_types


def settings(flow: Any) -> Settings:
    """The flow's config, with the parameters of the command line put in.

    Raises:
        MfxError: A value does not fit, or a deployed run has a path that containers cannot see.
    """
    given = from_dict(flow.config.to_dict(), where="config")
    asked = paths_in(flow.data) if flow.data else []
    paths = [asked] if isinstance(asked, str) else asked
    asked_span = getattr(flow, "span", None)  # Flows written for version 0.2 have no `--span`.
    if code_package():
        read = given.data.addresses
        if paths:
            read |= {f"data.{given.data.folder[0]}" if given.data.folder else "data.path": paths}
        check_seen_by_containers(
            {**read, "push.destination": [flow.destination or given.push.destination]}
        )
    return given.override(
        # Relative paths on the command line start at the current folder.
        data__path=_one_or_all([given.kept(path) for path in paths]),
        data__span=spans.from_text(asked_span) if asked_span else None,
        train__steps=flow.steps,
        train__batch_size=flow.batch_size,
        train__seed=flow.seed,
        push__destination=flow.destination and given.kept(flow.destination),
    )


def _one_or_all(paths: list[str]) -> str | list[str] | None:
    return paths[0] if len(paths) == 1 else paths or None


def check_destination(settings: Settings, report: Callable[[str], object]) -> None:
    """Check before the training that a model can be pushed.

    A run that does not promote (`[push] promote = "manual"`) needs no right to write; if it has
    none, a line says so. A trial only reads.

    Args:
        settings: The config; it says where to push.
        report: Called with that line.

    Raises:
        MfxError: The destination cannot be read, or cannot be written to.
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
        report(
            f"this run can read {place} but not write to it; who promotes the model must be able "
            f"to: {error.what}"
        )


def resolve(settings: Settings, report: Callable[[str], None] = lambda line: None) -> Sources:
    """Find the input files, check that they fit together, and choose the columns' types.

    A column has its type in the committed schema. A column that is not in the schema (or if there
    is none yet) has the narrowest type that fits all its values.

    Args:
        settings: The config.
        report: Called with a line that says which spans are read, if paths say spans; and with one
            line for each column without a type in the schema that is text
            although at least half of its values look like numbers.

    Raises:
        MfxError: There is no input file, one cannot be read, or their columns differ; or `model.py`
            or the schema cannot be used.
    """
    files_of_code = code.files(settings)  # First, so that errors in code are found before reading.
    known = column_types(Path(settings.resolve(settings.schema_.path)))
    files, weights, found = _seen(settings, known)
    columns = {name: _kind(known.get(name), seen) for name, seen in found.items()}
    by_column.check(settings.data.split, columns)
    notes = [
        note
        for name, seen in found.items()
        if seen and name not in known and (note := seen.note(name))
    ]
    _report_spans(files, settings.data.window, report)
    for note in notes:
        report(note)
    if notes:
        report("(Texts that mean missing belong in null_values under [data]; types, in a schema.)")
    return Sources(
        shards=shards.group(files, weights, settings.data.shard_mb * 2**20, settings.data.window),
        columns=columns,
        lineage=Lineage(
            data=hash_json(
                [f._replace(part=None).content for f in files if not f.part or f.part.begin == 0]
            ),
            code=hash_code(files_of_code),
            config=hash_json(
                {k: v for k, v in settings.to_dict().items() if k not in ("home", "deploy")}
            ),
        ),
        notes=tuple(notes),
    )


def _report_spans(files: list[SourceFile], window: int, report: Callable[[str], None]) -> None:
    """Say which spans are read, if paths say spans."""
    if found := [span for span in dict.fromkeys(file.span for file in files) if span]:
        of = f" ({len(found)} of {window})" if len(found) < window else ""
        report(f"spans: {in_words(found)}{of}")


def _seen(
    settings: Settings, known: dict[str, Declared]
) -> tuple[list[SourceFile], list[float], dict[str, Seen | None]]:
    """The files, or pieces of data that are no files; the bytes of each, unpacked; and what was
    seen of each column."""
    if kind := outside.kind_of(settings.data):
        found: dict[str, Any] = {}
        pieces = outside.look(settings, kind, found)
        _check_columns(settings.data, [*found])
        return pieces, [piece.size for piece in pieces], _in_order(known, [*found], found)
    if settings.data.folder:
        return _seen_in_folder(settings, known)
    return _seen_in_files(settings, settings.data.paths, known)


def _seen_in_files(
    settings: Settings, paths: list[str], known: dict[str, Declared]
) -> tuple[list[SourceFile], list[float], dict[str, Seen | None]]:
    how = settings.data
    patterns = {name: how.split.files[name] for name in how.split.names} if how.split.files else {}
    listed = finding.find(paths, settings.resolve, how.asked, patterns)
    keys = partitions(listed)
    files, weights, found = _look_at([file.address for file in listed], keys, known, how)
    relative = {file.address for file in listed if not is_absolute(file.given)}
    of = {file.address: file for file in listed}
    files = [
        file._replace(
            path=settings.from_home(file.path) if file.path in relative else file.path,
            span=of[file.path].span,
            split=of[file.path].split,
        )
        for file in files
    ]
    return files, weights, found


def _seen_in_folder(
    settings: Settings, known: dict[str, Declared]
) -> tuple[list[SourceFile], list[float], dict[str, Seen | None]]:
    assert settings.data.folder
    found: dict[str, Any] = {}
    if (table := settings.data.folder[1].table) is None:
        files = folders.by_class(settings, found)
        _check_bytes(known, found)
    else:
        parts, _, columns = _seen_in_files(settings, [table], known)
        types = {name: _kind(known.get(name), seen) for name, seen in columns.items()}
        files = folders.by_table(settings, parts, types, found)
        _check_bytes(known, found)
        found |= columns
    _check_columns(settings.data, [*found])
    return files, [float(file.size) for file in files], _in_order(known, [*found], found)


def _check_bytes(known: dict[str, Declared], names: Iterable[str]) -> None:
    for name in names:
        if name in known and known[name].kind != "bytes":
            raise MfxError(
                f"column {name!r} has the bytes of files, or their names, but the schema says "
                f"{known[name].kind}",
                "Give the feature the type BYTES in the schema; make numbers of it in "
                "preprocessing_fn.",
            )


def _in_order(
    known: dict[str, Declared], names: list[str], found: dict[str, Any]
) -> dict[str, Seen | None]:
    """What was seen of the columns: those of the schema first, in its order."""
    ordered = [name for name in known if name in set(names)]
    ordered += [name for name in names if name not in known]
    return {name: found.get(name) for name in ordered}


def _kind(declared: Declared | None, seen: Seen | None) -> str:
    """A column's type, by the schema and by what was seen in the files."""
    if declared is None:
        return (seen.kind if seen else None) or "bytes"
    if not declared.counted and seen and seen.listed:
        return list_kind(declared.kind)
    return declared.kind


def _look_at(
    addresses: list[str], keys: Partitions, known: dict[str, Declared], how: Data
) -> tuple[list[SourceFile], list[float], dict[str, Seen | None]]:
    """The files or their parts, their bytes unpacked, and what was seen of each column.

    Each file is brought to disk and gone through once; its rows only for types that no schema
    gives, or where each row names its columns. Columns are in the schema's order; then come those
    that it does not name; last, those that folders say.
    """
    _check_headers_on_disk(addresses, keys, how)
    first: sources.Source | None = None
    names = list[str]()
    files: list[SourceFile] = []
    weights: list[float] = []
    found: dict[str, Any] = {}
    for address, opened in input_files.each_on_disk(addresses):
        with opened as path:
            source = sources.source_of(path)
            first = first or source
            _check_kind(address, source.TITLE, addresses[0], first.TITLE)
            _check_options(address, source, how)
            if source.OPEN:
                source.look(path, how, found)
            else:
                here = source.header(path, how)
                names = names or here
                keys.check(address, names)
                _check_header(address, here, addresses[0], names)
                if not all(_is_settled(known.get(name), source) for name in names):
                    source.look(path, how, found)
            dense = unpacked(source, path, how) / path.stat().st_size if path.stat().st_size else 1
            cut = shards.cut(path, address, _parts(path, address, source, how, dense))
            files += [file._replace(keys=keys.of[address]) for file in cut]
            weights += [Shard((file,)).size * dense for file in cut]
    names = names or checked_names(addresses[0], sorted(found))
    keys.check(addresses[0], names)
    names = [*names, *keys.names]
    found |= keys.look(how)
    _check_columns(how, names)
    if first:
        _check_lists(addresses[0], first, {n: known[n] for n in names if n in known})
    return files, weights, _in_order(known, names, found)


def _parts(path: Path, address: str, source: sources.Source, how: Data, dense: float) -> list[Part]:
    """Parts of a large file, if each can be had by itself where it lies.

    One of its bytes becomes about `dense` bytes when it is unpacked.
    """
    size = max(how.shard_mb * 2**20, shards.LEAST) / dense
    if len(ends_of_parts(path.stat().st_size, size)) < 2 or not can_cut(source):
        return []
    there = parse(address)
    if there and not open_storage(there).gives_ranges(there.key):
        return []
    parts = source.parts(path, how, size)
    if not there or len(parts) < 2:
        return parts
    head, tail = source.around(path, how)
    head = max(head, sources.HEAD)
    return [part._replace(head=head, tail=tail) for part in parts]


def _is_settled(declared: Declared | None, source: sources.Source) -> bool:
    return declared is not None and (declared.counted or not source.LISTS)


def _check_options(address: str, source: sources.Source, how: Reading) -> None:
    for key in FOR_SOME:
        if key not in source.OPTIONS and getattr(how, key) != type(how).model_fields[key].default:
            raise MfxError(
                f"data.{key}: no such choice for {source.TITLE} files such as {address}",
                f"Remove {key} under [data].",
            )


def _check_lists(address: str, source: sources.Source, known: dict[str, Declared]) -> None:
    lists = [name for name, declared in known.items() if is_list(declared.kind)]
    if lists and not source.LISTS:
        raise MfxError(
            f"{address}: the schema says that '{lists[0]}' has several values per row, but a "
            f"{source.TITLE} file has one per cell",
            "Give the feature value_count { min: 1 max: 1 } in the schema and split its text in "
            "preprocessing_fn; or keep the data in a format with lists, such as Parquet.",
        )


def _check_headers_on_disk(addresses: list[str], keys: Partitions, how: Reading) -> None:
    """Compare the headers of files on disk before any rows are read: it takes no time."""
    names: list[str] = []
    for address in addresses:
        if is_url(address):
            continue
        source = sources.source_of(Path(address))
        if not source.OPEN:
            here = source.header(Path(address), how)
            names = names or here
            keys.check(address, names)
            _check_columns(how, [*names, *keys.names])
            _check_header(address, here, addresses[0], names)


def _check_kind(address: str, here: str, first: str, kind: str) -> None:
    if here != kind:
        raise MfxError(
            f"{address}: {here}, but {first} is {kind}",
            "All files of one data set must be of the same kind: use a pattern that only fits "
            "files of one kind, such as *.csv.",
        )


def _check_header(address: str, here: list[str], first: str, names: list[str]) -> None:
    if here != names:
        differing = sorted(set(names) ^ set(here)) or "their order"
        raise MfxError(
            f"{address}: columns differ from those of {first}: {differing}",
            "All files of one data set must have the same header.",
        )


def _check_columns(how: Reading, names: list[str]) -> None:
    said = {
        "data.split.key": how.split.key,
        "data.split.by": [how.split.by] if how.split.by else [],
        "data.null_values.columns": how.null_values.columns,
    }
    for key, columns in said.items():
        for name in columns:
            if name not in names:
                raise MfxError(
                    f"{key}: no column '{name}' in the data{nearest(name, names)}",
                    f"Columns: {', '.join(names)}",
                )


def check_features(settings: Settings, sources: Sources) -> None:
    """Check that the features that the config declares can be made from the data's columns.

    Raises:
        MfxError: One of them, or the label that goes with them, cannot.
    """
    checking.check(settings.features, settings.label, sources.columns)


def check_label(settings: Settings, sources: Sources) -> None:
    """Check that the label's columns are in the data.

    Raises:
        MfxError: One of them is not.
    """
    for name in settings.label.columns:
        if name not in sources.columns:
            raise MfxError(
                f"label.columns: no column '{name}' in the data{nearest(name, sources.columns)}",
                f"Columns: {', '.join(sources.columns)}",
            )
