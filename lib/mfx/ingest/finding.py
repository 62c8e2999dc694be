"""Find a data set's files: by a path, a folder or a pattern, on disk or in a storage."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mfx.artifacts.spans import Span
from mfx.config.spans import Asked, has_dates, has_places
from mfx.errors import MfxError
from mfx.ingest import sources, spans
from mfx.ingest.sources.compression import PACKED
from mfx.ingest.spans import Said
from mfx.ingest.trees import Bucket, Disk, Rule, Tree, Walked, walk
from mfx.storage import address, open_storage
from mfx.storage.address import Address, parse

ALONE = ("http", "https")
"""Schemes of storages that list nothing: each address is one file."""
LATEST = Asked()
"""Asks for the latest span."""
_PATTERN = "*?["
_DEEP = "**"
"""A part of a pattern that any number of folders fit."""


class Found(NamedTuple):
    """An input file.

    Attributes:
        address: Where it lies: an absolute path on disk, or a URL.
        below: Its path below the folder that was given, or that a pattern begins with.
        given: The path that it was found by, as it was given.
        span: The span that it is read as, if its path says one.
        said: What its path says of that.
        split: The split whose pattern found it; empty if files do not say the split.
    """

    address: str
    below: str
    given: str
    span: Span | None = None
    said: Said | None = None
    split: str = ""


def find(
    paths: Sequence[str],
    resolve: Callable[[str], str] = str,
    asked: Asked = LATEST,
    splits: Mapping[str, str] | None = None,
) -> list[Found]:
    """The input files at paths: those of each path sorted, in the order of the paths.

    A path is a file; a folder of files whose names end in one of `sources.suffixes`, also of those
    in its folders `key=text`; or a pattern, unless something of that very name is there. In a
    pattern `*`, `?` and `[…]` stand for characters of one name, and a name `**` for any number of
    folders, or at the end for all input files below. Folders whose names begin with a dot or an
    underscore fit no `*`. Where paths have places for spans, only files of the spans that are asked
    for are found, the first span's first.

    Args:
        paths: On disk, or in a storage such as `s3://bucket/key`, `gs://…`, `az://container/key`.
            At `https://…` one file.
        resolve: Makes a path on disk absolute.
        asked: Which spans.
        splits: For each split, the pattern of its files below the paths, which are folders then;
            the files come in this order.

    Raises:
        MfxError: A path has no input file; there is no such span (see `spans.chosen`); a file is
            found twice, or with and without compression; a folder or a storage cannot be read; or
            it is another kind of URL.
    """
    patterns = [(path, "") for path in paths]
    if splits:
        folders = [path.rstrip("/") for path in paths]
        patterns = [(f"{path}/{below}", name) for name, below in splits.items() for path in folders]
    found = [
        file._replace(split=split)
        for given, split in patterns
        for file in _at(resolve(given), given)
    ]
    found = _of_spans(found, asked)
    _check_twice(found)
    _check_packed(found)
    return found


def _of_spans(found: list[Found], asked: Asked) -> list[Found]:
    """The files of the spans that are asked for, in the order of spans; all, if paths say none."""
    said = [(f.given, f.address, f.said) for f in found if f.said is not None]
    if not said:
        return found
    dated = any(has_dates(file.given) for file in found)
    chosen = spans.chosen(said, asked, dated)
    kept = [f._replace(span=chosen[f.address]) for f in found if f.address in chosen]
    return sorted(kept, key=lambda file: file.span or ())


def _at(path: str, given: str) -> list[Found]:
    there = parse(address.check(path, address.FILES))
    if there and there.scheme in ALONE:
        if has_places(path):
            raise MfxError(
                f"{path}: nothing can be listed at {there.scheme}://, so no span can be found",
                "Give each file's address, or keep the files in a storage that lists them.",
            )
        if not open_storage(there).head(there.key):
            raise _nothing(path, "")
        return [Found(path, there.name, given)]
    tree = Bucket(there, open_storage(there)) if there else Disk()
    name = there.key if there else str(Path(path))
    in_spans = has_places(name)
    if not in_spans and _is_file(tree, name):
        return [Found(tree.address(name), name.rpartition("/")[2], given)]
    folder, parts = _split(name)
    if parts and (in_spans or there or not Path(name).is_dir()):
        fits = [spans.as_pattern(part) for part in parts]
        walked = walk(tree, folder, _pattern(fits))
        beside = _beside_pattern(walked, fits[-1])
    else:
        _check_there(there, name)
        folder = there.prefix if there else f"{name.rstrip('/')}/"
        walked = walk(tree, folder, _folder())
        beside = _beside_folder(walked, path)
    if not walked.found:
        raise _nothing(path, beside)
    _check_lost(tree, folder, walked.found)
    found = [Found(tree.address(folder + below), below, given) for below in walked.found]
    if not in_spans:
        return found
    return [f._replace(said=spans.said_by(parts, f.below, f.address)) for f in found]


def _check_there(there: Address | None, name: str) -> None:
    if not there and not Path(name).is_dir():
        raise MfxError(
            f"{name}: no such file",
            f"Give a {sources.titles()} file that exists: --data, or path under [data].",
        )


def _is_file(tree: Tree, name: str) -> bool:
    if isinstance(tree, Bucket):
        last = name.rpartition("/")[2]
        return bool(last) and tree.storage.head(name) is not None
    return Path(name).exists() and not Path(name).is_dir()


def _split(name: str) -> tuple[str, list[str]]:
    """The folder that a pattern begins with, and the parts below; no parts if it is none."""
    names = name.rstrip("/").split("/")
    wild = (n for n, part in enumerate(names) if set(part) & set(_PATTERN) or has_places(part))
    first = next(wild, len(names))
    return "".join(f"{part}/" for part in names[:first]), names[first:]


def _folder() -> Rule[bool]:
    """The rule of a folder: the files in it whose names end as input files' do; also those in
    folders such as `year=2020`."""
    ends = sources.suffixes()
    return Rule(
        True,
        takes=lambda _, name: name.lower().endswith(ends),
        enters=lambda _, name: True if "=" in name[1:] else None,
    )


def _pattern(parts: list[str]) -> Rule[frozenset[int]]:
    """The rule of a pattern: a folder's state is which parts may come next."""
    last, ends = len(parts) - 1, sources.suffixes()

    def closed(places: set[int]) -> frozenset[int]:
        for place in sorted(places):
            while place < last and parts[place] == _DEEP:
                place += 1
                places.add(place)
        return frozenset(places)

    def takes(places: frozenset[int], name: str) -> bool:
        if last not in places:
            return False
        if parts[last] == _DEEP:
            return name.lower().endswith(ends)
        return fnmatch.fnmatchcase(name, parts[last])

    def enters(places: frozenset[int], name: str) -> frozenset[int] | None:
        below = {n for n in places if parts[n] == _DEEP and not _is_hidden(name)}
        below |= {n + 1 for n in places if n < last and _fits(name, parts[n])}
        return closed(below) if below else None

    return Rule(closed({0}), takes, enters)


def _fits(folder: str, part: str) -> bool:
    hidden = _is_hidden(folder) and not _is_hidden(part)
    return part != _DEEP and not hidden and fnmatch.fnmatchcase(folder, part)


def _is_hidden(folder: str) -> bool:
    """Whether programs keep their own things there (`.ipynb_checkpoints`, `_delta_log`)."""
    return folder.startswith(".") or (folder.startswith("_") and "=" not in folder)


def _beside_pattern(walked: Walked, last: str) -> str:
    """What lies where a pattern, with that last part, fits nothing, in words."""
    folders = [one for one in walked.passed if _fits(one.rpartition("/")[2], last)]
    if folders:
        return f": folders, such as {folders[0]}, do not count: end it with /* or /{_DEEP}"
    if walked.others:
        return f" (other files: {walked.others[0]}{', …' if len(walked.others) > 1 else ''})"
    return ""


def _beside_folder(walked: Walked, path: str) -> str:
    """What else lies in a folder without input files, in words."""
    beside = ""
    if walked.others:
        beside = f" among its {len(walked.others)} files, such as {walked.others[0]}"
    if walked.passed:
        deep = f"{path.rstrip('/')}/{_DEEP}"
        beside += (
            f"; its folders, such as {walked.passed[0]}, are not looked at: for all files below, "
            f"give {deep}"
        )
    return beside


def _nothing(path: str, beside: str) -> MfxError:
    return MfxError(
        f"{path}: no input file found{beside}",
        f"Give a {sources.titles()} file, a folder of them "
        f"(*{', *'.join(_bare_suffixes())}) or a pattern: --data, or path under [data].",
    )


def _bare_suffixes() -> list[str]:
    """How names of input files end, without those of compressed ones."""
    return [end for end in sources.suffixes() if not end.endswith(PACKED[1:])]


def _check_lost(tree: Tree, folder: str, found: list[str]) -> None:
    """A link to nothing, or to itself, may have been meant as an input file."""
    lost = tree.lost if isinstance(tree, Disk) else set()
    for below in found:
        if folder + below in lost:
            raise MfxError(
                f"{folder}{below}: a link that leads to no file",
                "Remove the link, or make it lead to a file.",
            )


def _check_twice(found: list[Found]) -> None:
    """Or its rows would count twice."""
    places: dict[str, str] = {}
    seen: dict[str, Found] = {}
    for file in found:
        name = file.address
        if not parse(name):
            folder, _, last = name.rpartition("/")
            if folder not in places:
                places[folder] = os.path.realpath(folder)
            name = f"{places[folder]}/{last}"
        if other := seen.get(name):
            by = f"by {other.given} and by {file.given}"
            how = f"it is found {by}" if other.given != file.given else f"it is {other.address} too"
            raise MfxError(
                f"{file.address}: the same file twice: {how}",
                "Its rows would count twice: give paths and patterns that find it once.",
            )
        seen[name] = file


def _check_packed(found: list[Found]) -> None:
    """Or the rows of a file that lies there unpacked as well would count twice."""
    seen: dict[str, str] = {}
    for file in found:
        bare = file.address
        for packed in PACKED[1:]:
            bare = bare.removesuffix(packed)
        if bare in seen:
            raise MfxError(
                f"{seen[bare]} and {Path(file.address).name}: the same name with and without "
                "compression",
                "Remove one of them, or give a pattern that one of them fits.",
            )
        seen[bare] = file.address
