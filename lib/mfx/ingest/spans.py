"""Which spans and versions are read, of those that files' paths say.

As in TFX's ExampleGen: the latest span, and of each span the latest version. A window takes the
spans before it too, by their numbers, as TFX's `RollingRange` does.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mfx.artifacts.spans import Span, in_words, named
from mfx.config import spans
from mfx.config.spans import Asked
from mfx.errors import MfxError

_DIGITS = dict(zip(spans.DATE, ("4", "2", "2"), strict=True))
"""How many digits a part of a date has."""
_WILD = "*?[]"


class Said(NamedTuple):
    """What a file's path says of its span.

    Attributes:
        number: The span.
        version: The version, if it says one.
        written: How both are written: equal numbers may have more or fewer zeros before them.
    """

    number: int
    version: int | None
    written: tuple[str, ...]


def as_pattern(path: str) -> str:
    """The path as a pattern, with wildcards at its places for spans."""
    made, at = "", 0
    for _, _, begin, end in spans.places(path):
        made, at = f"{made}{path[at:begin]}?*", end
    return made + path[at:]


def said_by(parts: Sequence[str], below: str, address: str) -> Said:
    """What a path says of its span.

    Args:
        parts: The names of folders and of the file in a path with places, from the first with a
            place or a wildcard on.
        below: What they stand for in this file's path; it fits `as_pattern`.
        address: The whole path, for messages.

    Raises:
        MfxError: There are no digits, or not as many as there should be; or no such date.
    """
    found = re.fullmatch(_expression(parts), below)
    if not found:
        raise MfxError(
            f"{address}: expected {_expected('/'.join(parts))}",
            "Rename it, move it away, or give a path that it does not fit.",
        )
    written = {name: text for name, text in found.groupdict().items() if text}
    version = int(written["VERSION"]) if "VERSION" in written else None
    if "SPAN" in written:
        number = int(written["SPAN"])
    else:
        year, month, day = (int(written[name]) for name in spans.DATE)
        if fault := spans.date_fault(year, month, day):
            raise MfxError(
                f"{address}: {fault}",
                "Rename it, move it away, or give a path that it does not fit.",
            )
        number = spans.number_of(year, month, day)
    return Said(number, version, tuple(written.values()))


def _expected(path: str) -> str:
    said = []
    for name, width, begin, end in spans.places(path):
        digits = width or _DIGITS.get(name)
        said.append(f"{digits} digits at {path[begin:end]}" if digits else f"digits at {{{name}}}")
    return " and ".join(said)


def _expression(parts: Sequence[str]) -> str:
    """A regular expression for what fits parts of a path with places; names are groups."""
    made = []
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == "**":
            made.append(".+" if last else "(?:[^/]+/)*")
        else:
            made.append(_name(part) + ("" if last else "/"))
    return "".join(made)


def _name(part: str) -> str:
    made, at = "", 0
    for name, width, begin, end in spans.places(part):
        digits = f"{{{int(width or _DIGITS[name])}}}" if width or name in _DIGITS else "+"
        # A wildcard beside a place would take digits from it.
        before = "(?<![0-9])" if begin and part[begin - 1] in _WILD else ""
        after = "(?![0-9])" if part[end : end + 1] and part[end] in _WILD else ""
        made += f"{_text(part[at:begin])}{before}(?P<{name}>[0-9]{digits}){after}"
        at = end
    return made + _text(part[at:])


def _text(piece: str) -> str:
    """A regular expression for a piece of a pattern without slashes."""
    made = ""
    for found in re.finditer(r"\[!?\]?[^\]]*\]|.", piece, re.DOTALL):
        text = found[0]
        if text in "*?":
            made += "[^/]*" if text == "*" else "[^/]"
        elif len(text) > 1:
            made += re.match(r"\(\?s:(.*)\)", fnmatch.translate(text), re.DOTALL)[1]  # type: ignore[index]
        else:
            made += re.escape(text)
    return made


def chosen(files: Iterable[tuple[str, str, Said]], asked: Asked, dated: bool) -> dict[str, Span]:
    """The files to read, and the span of each.

    Args:
        files: The files: the path that each was found by, its address, and what that says. At least
            one.
        asked: Which spans to read.
        dated: Whether paths say dates.

    Raises:
        MfxError: There is no such span; one is missing in the window or in one of the paths; or a
            span or version is written in two ways.
    """
    of: dict[int, dict[str, list[tuple[str, Said]]]] = {}
    paths = dict[str, None]()
    for given, address, said in files:
        of.setdefault(said.number, {}).setdefault(given, []).append((address, said))
        paths[given] = None
    found: dict[str, Span] = {}
    for number in _numbers(sorted(of), asked, dated, next(iter(paths))):
        version = None
        for given in paths:
            if given not in of[number]:
                other = next(iter(of[number]))
                raise MfxError(
                    f"{given}: no span {named(number, dated)}, which {other} has",
                    "All paths must have the spans that are read: add the files, or give --span.",
                )
            here = of[number][given]
            latest = max(
                (said.version for _, said in here if said.version is not None), default=None
            )
            if given != next(iter(paths)) and latest != version:
                raise MfxError(
                    f"{given}: the latest version of span {named(number, dated)} is {latest}, but "
                    f"{version} at {next(iter(paths))}",
                    "All paths must have the same latest version of a span.",
                )
            version = latest
            files_of = [(a, said) for a, said in here if said.version == version]
            _check_written(files_of)
            found |= {address: Span(number, version, dated) for address, _ in files_of}
    return found


def _numbers(there: Sequence[int], asked: Asked, dated: bool, path: str) -> list[int]:
    """The numbers of the spans to read, ascending."""
    last = there[-1] if asked.number is None else asked.number
    has = in_words(Span(number, None, dated) for number in there)
    if last not in there:
        raise MfxError(
            f"{path}: no span {named(last, dated)}; there are {has}",
            "Give one of them: --span, or span under [data].",
        )
    wanted = range(max(last - asked.window + 1, there[0]), last + 1)
    found = [number for number in wanted if number in set(there)]
    if len(found) < len(wanted) and asked.missing == "stop":
        gone = in_words(Span(number, None, dated) for number in wanted if number not in found)
        raise MfxError(
            f"{path}: no span {gone} in the window of {asked.window} up to "
            f"{named(last, dated)}; there are {has}",
            'Add the files, or set missing_spans = "skip" under [data] to read the others.',
        )
    return found


def _check_written(files: Sequence[tuple[str, Said]]) -> None:
    """Or the rows of a span would count twice, or be those of two spans."""
    first, (_, *written) = files[0][0], files[0][1]
    for address, said in files:
        if [said.version, said.written] != written:
            raise MfxError(
                f"{address} and {first}: the same span, written in two ways",
                "Write numbers with the same count of digits, and remove what is there twice.",
            )
