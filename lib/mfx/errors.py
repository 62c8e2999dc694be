"""`MfxError`: the only kind of error that a user of MFX should see."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MfxError(Exception):
    """A mistake in the user's data, config or environment. It is shown without a traceback.

    Args:
        what: What is wrong and where (file, line, column, feature).
        remedy: How to fix it. It is printed on a separate line.
    """

    is_transient = False
    """Whether trying again may succeed. Where this is false, nothing is tried again."""

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}\n{remedy}" if remedy else what)

    def __reduce__(self) -> tuple[type[MfxError], tuple[str, str]]:
        return type(self), (self.what, self.remedy)


class TransientError(MfxError):
    """An error outside of MFX that may pass, such as a service that does not answer."""

    is_transient = True


def nearest(name: str, known: Iterable[str]) -> str:
    """A question to append to a message: did the user mean the most similar known name?

    Args:
        name: The unknown name.
        known: The names that exist.

    Returns:
        For example "; did you mean 'fare'?", or "" if no known name is similar.
    """
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""
