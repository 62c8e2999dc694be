"""Names of slices: `Overall`, or features and values, such as `trip_start_hour:3, company:Blue`.

A feature's title, and a value, may hold what separates them. What would be mistaken then stands in
quotes, as in JSON, so that no two slices have one name and each name tells its features.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

OVERALL = "Overall"

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_FEATURE = rf'{_QUOTED}|[^":,][^:,]*'
_NEXT = rf", (?:{_FEATURE}):"
_PART = re.compile(rf"({_FEATURE}):(.*?)(?={_NEXT}|\Z)", re.DOTALL)
_QUOTED_PART = re.compile(rf"({_FEATURE}):({_QUOTED})(?={_NEXT}|\Z)", re.DOTALL)


def name(key: Iterable[tuple[str, Any]]) -> str:
    """The name of the slice of these features and values, in their order."""
    return ", ".join(f"{_feature(title)}:{_value(value)}" for title, value in key) or OVERALL


def parts(name: str) -> list[tuple[str, str]]:
    """The features and values, as text, of the slice of this name; none of OVERALL."""
    found = []
    place = 0
    while part := _QUOTED_PART.match(name, place) or _PART.match(name, place):
        found.append((_bare(part[1]), _bare(part[2])))
        place = part.end() + len(", ")
    return found


def by_first(name: str) -> tuple[str, str]:
    """The first feature of a slice's name, and its value with what follows; '' for Overall."""
    found = parts(name)
    rest = [value if at == 0 else f"{title}:{value}" for at, (title, value) in enumerate(found)]
    return (found[0][0], ", ".join(rest)) if found else ("", "")


def _feature(title: str) -> str:
    return _quoted(title) if re.search("[:,]", title) or title.startswith('"') else title


def _value(value: Any) -> str:
    text = str(value)
    return _quoted(text) if text.startswith('"') or re.search(_NEXT, text) else text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _bare(text: str) -> str:
    return json.loads(text, strict=False) if re.fullmatch(_QUOTED, text, re.DOTALL) else text
