"""The one error that a user of MFX should ever see, and what it must say."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MfxError(Exception):
    """A mistake in the user's data, config or setting, said in one message without a traceback.

    Args:
        what: What is wrong and where (file, line, column, feature).
        remedy: How to mend it; printed on a line of its own.
    """

    is_transient = False
    """Whether the same may succeed when it is tried again: it is not, where this says no."""

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}\n{remedy}" if remedy else what)

    def __reduce__(self) -> tuple[type[MfxError], tuple[str, str]]:
        return type(self), (self.what, self.remedy)


class TransientError(MfxError):
    """An error that lies outside and may pass, as of a service that does not answer."""

    is_transient = True


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, as a question to append to a message, or ''."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""
