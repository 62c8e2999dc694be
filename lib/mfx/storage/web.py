"""Web servers: a file at http:// or https://, to be read. Passwords stand in ~/.netrc, proxies in
the usual variables (HTTPS_PROXY, NO_PROXY), other certificates in REQUESTS_CA_BUNDLE."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

from mfx.errors import MfxError
from mfx.storage.answers import Entry, Fault, Listing, Opened
from mfx.storage.base import Storage
from mfx.storage.reading import BLOCK
from mfx.storage.retries import CONNECT_SECONDS, READ_SECONDS, WORKERS

_NOT_THERE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_DENIED = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
)
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_CONDITIONS = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)


def meaning_of(status: int) -> Fault:
    """What a status of HTTP, 400 or more, means."""
    if status in _NOT_THERE:
        return Fault.ABSENT
    if status in _DENIED:
        return Fault.DENIED
    if status in _CONDITIONS:
        return Fault.CONDITION
    return Fault.PASSING if status in _BUSY or status >= 500 else Fault.OTHER


def web_fault(error: BaseException) -> Fault | None:
    """What an error of requests, or of the connection below it, means."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return meaning_of(error.response.status_code)
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY" in str(error):
        return Fault.OTHER
    passing = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        ConnectionError,
        TimeoutError,
    )
    if isinstance(error, passing):
        return Fault.PASSING
    return Fault.OTHER if isinstance(error, OSError) else None


class WebStorage(Storage):
    """A web server. A file's tag is its ETag, or else when it was written."""

    TITLE = "the web server"
    BUCKET = "host"
    REMEDY = "Check the address, in a browser for one; a password for the host goes to ~/.netrc."

    _session: Any

    def fault(self, error: BaseException) -> Fault | None:
        """What an error of requests means."""
        return web_fault(error)

    def said(self, error: BaseException) -> str:
        """The status, or why there was none."""
        answer = getattr(error, "response", None)
        if answer is not None:
            return f"{answer.status_code} {answer.reason}"
        return super().said(error)

    def _connect(self) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=WORKERS))

    def _head(self, key: str) -> Entry:
        # Some servers answer HEAD with an error, or otherwise than GET.
        with self._open(key, 0, "") as opened:
            return opened.entry

    @contextmanager
    def _open(self, key: str, first: int, tag: str, end: int | None = None) -> Iterator[Opened]:
        # Packed on the way, its size would be another than its bytes'.
        headers = {"Accept-Encoding": "identity"}
        if wanted := range_header(first, end):
            headers |= {"Range": wanted, **({"If-Range": tag} if tag else {})}
        timeout = (CONNECT_SECONDS, READ_SECONDS)
        url = str(self.place.at(key))
        with self._session.get(url, headers=headers, stream=True, timeout=timeout) as answer:
            answer.raise_for_status()
            begins = first if answer.status_code == HTTPStatus.PARTIAL_CONTENT else 0
            yield Opened(_entry(key, answer), begins, answer.iter_content(BLOCK))

    def gives_ranges(self, key: str) -> bool:
        """See `Reader`. Some servers send the whole file whatever part is asked for."""

        def asked() -> bool:
            with self._open(key, 1, "", 2) as opened:
                return opened.first == 1

        return self._ask(key, "cannot read", asked)

    def _check_bucket(self, key: str, what: str) -> None:
        """Nothing: a host that answers is there."""

    def _list(self, prefix: str, deeper: bool) -> Listing:
        raise MfxError(
            f"{self.place.at(prefix)}: a web server does not list its files",
            "Give the address of one file.",
        )

    def _write(self, key: str, content: bytes | Path) -> None:
        self._refuse(key)

    def _create(self, key: str, content: bytes, writer: str) -> None:
        self._refuse(key)

    def _replace(self, key: str, content: bytes, tag: str, writer: str) -> None:
        self._refuse(key)

    def _writer(self, key: str) -> str:
        self._refuse(key)

    def _copy(self, key: str, target: str) -> None:
        self._refuse(key)

    def _delete(self, key: str) -> None:
        self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        raise MfxError(f"{self.place.at(key)}: files on the web can only be read")


def range_header(first: int, end: int | None) -> str:
    """What HTTP's header Range says of bytes; empty for all of them."""
    if not first and end is None:
        return ""
    return f"bytes={first}-{'' if end is None else end - 1}"


def size_in(content_range: str) -> int:
    """The size of the whole, of an answer with a part; -1 if it is not said."""
    size = content_range.rpartition("/")[2]
    return int(size) if size.isdecimal() else -1


def _entry(key: str, answer: Any) -> Entry:
    size, written = answer.headers.get("Content-Length"), answer.headers.get("Last-Modified", "")
    tag = answer.headers.get("ETag", "")
    try:
        modified = email.utils.parsedate_to_datetime(written).timestamp() if written else 0.0
    except ValueError:
        modified = 0.0
    # A weak ETag (W/"…") may stand for other bytes that mean the same: no part fits another then.
    tag = "" if tag.startswith("W/") else tag
    whole = int(size) if size else -1
    if part := answer.headers.get("Content-Range"):
        whole = size_in(part)
    return Entry(key, whole, tag or written, modified)
