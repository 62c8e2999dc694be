"""Times as people write them: a date, or a date and a time, as ISO 8601 does."""

from __future__ import annotations

import datetime
import re

WRITTEN = "such as 2024-05-01 or 2024-05-01 12:30"
"""How times are written, in words."""
PLAIN = r"^\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?)?( ?Z)?$"
"""A regular expression that times without a zone match, and those in UTC."""
_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?"
    r" ?(?:(Z)|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
_EPOCH = datetime.datetime(1970, 1, 1)


def microseconds(text: str) -> int:
    """The microseconds from 1970 until a time. Without a zone it is in UTC.

    Digits beyond microseconds do not count.

    Raises:
        ValueError: It is no such time.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(f"expected a time {WRITTEN}, found {text!r:.80}")
    *parts, fraction, _, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    try:
        time = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        raise ValueError(f"expected a time {WRITTEN}, found {text!r}: {error}") from None
    zone = datetime.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    since = time - _EPOCH - (-zone if sign == "-" else zone)
    return since // datetime.timedelta(microseconds=1) + int((fraction or "")[:6].ljust(6, "0"))
