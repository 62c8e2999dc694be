"""Places for spans, versions and dates in paths: `{SPAN}`, `{VERSION}`, `{YYYY}-{MM}-{DD}`.

The rules are those of TFX's ExampleGen. A span is a number; a date is the span of that many days
since 1970-01-01.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

LATEST = "latest"
WORDS = f'a whole number, a date or "{LATEST}"'
"""What a span may be, for messages."""
DATE = ("YYYY", "MM", "DD")
MOST = 64
"""The most spans of a run. A shard never mixes spans, and a run has at most so many shards."""


class Asked(NamedTuple):
    """Which spans are to be read.

    Attributes:
        span: The latest one to read: `"latest"` for the latest there is, a number, or a date.
        window: How many spans up to this one, by their numbers.
        missing: What happens if some of them are not there: `"stop"` or `"skip"`.
    """

    span: str | int = LATEST
    window: int = 1
    missing: str = "stop"

    @property
    def number(self) -> int | None:
        """The span's number; None for the latest there is."""
        if isinstance(self.span, str):
            return None if self.span == LATEST else number_of(*map(int, self.span.split("-")))
        return self.span


_PLACE = re.compile(r"\{(SPAN|VERSION)(?::([^{}]*))?\}|\{(YYYY|MM|DD)\}")
_MEANT = re.compile(r"\{(span|version|yyyy|mm|dd)(:[^{}]*)?\}", re.IGNORECASE)
_EPOCH = date(1970, 1, 1)


def places(path: str) -> list[tuple[str, str | None, int, int]]:
    """The places of a path, in order: name, width as text (None without), begin and end."""
    return [(m[1] or m[3], m[2], m.start(), m.end()) for m in _PLACE.finditer(path)]


def has_places(path: str) -> bool:
    """Whether a path has such places."""
    return _PLACE.search(path) is not None


def has_dates(path: str) -> bool:
    """Whether a path has places for dates."""
    return any(name in DATE for name, *_ in places(path))


def fault(path: str) -> str:
    """What is wrong with the places of a path, in words; '' if nothing is."""
    for meant in _MEANT.finditer(path):
        if not _PLACE.fullmatch(meant[0]):
            return f"{path}: {meant[0]} is no place for spans; did you mean {meant[0].upper()}?"
    found = places(path)
    count = Counter(name for name, *_ in found)
    dates = [name for name in DATE if count[name]]
    if count["SPAN"] and dates:
        return f"{path}: either {{SPAN}} or a date, not both"
    if dates and any(count[name] != 1 for name in DATE):
        return f"{path}: a date needs each of {{YYYY}}, {{MM}} and {{DD}} once"
    if twice := [name for name, n in count.items() if n > 1]:
        return f"{path}: {{{twice[0]}}} is there twice"
    if count["VERSION"] and not (count["SPAN"] or dates):
        return f"{path}: {{VERSION}} needs {{SPAN}}, or {{YYYY}}, {{MM}} and {{DD}}, beside it"
    for name, width, *_ in found:
        if width is not None and not re.fullmatch("0*[1-9][0-9]*", width, re.ASCII):
            return f"{path}: {{{name}:{width}}}: the width must be a whole number, at least 1"
    for (name, width, _, end), (other, other_width, begin, _) in itertools.pairwise(found):
        open_ended = name not in DATE and width is None
        if begin == end and (open_ended or (other not in DATE and other_width is None)):
            return f"{path}: {{{name}}}{{{other}}}: put something between them, or give widths"
    return ""


def fault_of_all(paths: Sequence[str]) -> str:
    """What is wrong with the places of several paths that are read together; '' if nothing is."""
    if faults := [said for path in paths if (said := fault(path))]:
        return faults[0]
    kinds = {path: "dates" if has_dates(path) else "spans" for path in paths if has_places(path)}
    if kinds and len(kinds) < len(set(paths)):
        without = next(path for path in paths if path not in kinds)
        return f"{without}: no place for a span, but {next(iter(kinds))} has one"
    if len(set(kinds.values())) > 1:
        return "some paths have {SPAN}, others a date: give all the same"
    return ""


def span_fault(span: str | int) -> str:
    """What is wrong with the span that is asked for, in words; '' if nothing is."""
    if isinstance(span, int):
        return "" if span >= 0 else "expected a span of at least 0"
    if span == LATEST:
        return ""
    if not (numbers := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", span, re.ASCII)):
        return f"expected {WORDS}"
    return date_fault(*map(int, numbers.groups()))


def date_fault(year: int, month: int, day: int) -> str:
    """Why there is no such date; '' if there is."""
    if not year >= 1:
        return f"there is no year {year}"
    if not 1 <= month <= 12:
        return f"there is no month {month}"
    try:
        date(year, month, day)
    except ValueError:
        return f"there is no day {day} in month {month} of {year}"
    return ""


def number_of(year: int, month: int, day: int) -> int:
    """The span of a date."""
    return (date(year, month, day) - _EPOCH).days


def from_text(text: str) -> str | int:
    """What `--span` says: digits are a number."""
    return int(text) if re.fullmatch(r"\d+", text, re.ASCII) else text
