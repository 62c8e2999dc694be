"""What a page answers: its status, its text, and the headers that keep it harmless."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from mfx.errors import MfxError

OWN = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What the browser lets our own pages do: nothing that is not served from here."""
CARD = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline' "
    "'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""A card has a script of its own (Metaflow's). It gets no access to our pages, and no network."""
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Answer:
    """An answer to one request.

    Args:
        text: The body.
        status: HTTP's.
        kind: Of the body.
        policy: `Content-Security-Policy`.
        keep: Whether the browser may keep it.
        more: Other headers.
    """

    text: str | bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: str = "text/html; charset=utf-8"
    policy: str = OWN
    keep: bool = False
    more: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The body's bytes."""
        return self.text if isinstance(self.text, bytes) else self.text.encode()

    @property
    def headers(self) -> dict[str, str]:
        """All headers."""
        return {
            "Content-Type": self.kind,
            "Content-Length": str(len(self.body)),
            "Content-Security-Policy": self.policy,
            "Cache-Control": "max-age=3600" if self.keep else "no-store",
            **_ALWAYS,
            **self.more,
        }


class NotFoundError(MfxError):
    """There is no such page."""


class WrongQueryError(MfxError):
    """A page is asked for something that it does not know."""


class Query:
    """What stands after the `?` of an address.

    Args:
        text: As it was sent.
        known: The names that the page knows.

    Raises:
        WrongQueryError: There is another one, or it cannot be read.
    """

    def __init__(self, text: str, known: tuple[str, ...]) -> None:
        try:
            self._given = parse_qs(text, keep_blank_values=True, max_num_fields=20, errors="strict")
        except ValueError as error:
            raise WrongQueryError(f"the address cannot be read: {error}") from None
        if other := sorted(set(self._given) - set(known)):
            takes = f"This page takes {', '.join(known)}." if known else "This page takes none."
            raise WrongQueryError(f"unknown parameter {other[0]!r}", takes)

    def all(self, name: str) -> list[str]:
        """All values of a name."""
        return [value.strip() for value in self._given.get(name, [])]

    def one(self, name: str, default: str = "") -> str:
        """The only value of a name.

        Raises:
            WrongQueryError: There are several.
        """
        found = self.all(name)
        if len(found) > 1:
            raise WrongQueryError(f"{name} is given {len(found)} times", "Give it once.")
        return found[0] if found else default

    def number(self, name: str, default: int) -> int:
        """The only value of a name, a whole number from 1.

        Raises:
            WrongQueryError: It is no such number, or there are several.
        """
        text = self.one(name, str(default))
        if not (text.isascii() and text.isdecimal() and int(text[:10]) > 0 and len(text) < 10):
            raise WrongQueryError(f"{name}={text!r}", "Expected a whole number from 1.")
        return int(text)
