"""A proxy before an S3 endpoint on localhost that fails some requests, as S3 does now and then."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ("500", "503", "cut before", "cut after", "slow")
"""Server error; SlowDown; the connection closed before the request is passed on, or in the middle
of the answer (instead of one that has no body); an answer that comes seconds late."""
DENIED = "403"
"""Access denied; not among KINDS, as it does not pass."""
UNCONDITIONAL = "unconditional"
"""Conditions are passed over, as by an S3 of before August 2024; not among KINDS either."""
SLOW_SECONDS = 2.0
_CODES = {"500": "InternalError", "503": "SlowDown", DENIED: "AccessDenied"}
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
    "<Message>a fault of the test</Message></Error>"
)


class FaultyProxy:
    """Passes requests on, and fails a share of them.

    Args:
        target: `host:port` of the endpoint.
        share: Of requests that fail, 0 to 1; may be changed while it runs.
        kinds: Of KINDS, or DENIED, UNCONDITIONAL.
        seed: Of the draw.
    """

    def __init__(
        self, target: str, share: float, kinds: Sequence[str] = KINDS, seed: int = 0
    ) -> None:
        self.target, self.share, self.kinds = target, share, list(kinds)
        self.counts: Counter[str] = Counter()
        self._draw, self._lock = random.Random(seed), threading.Lock()

    def fault(self) -> str:
        """The fault of the next request; empty for none."""
        with self._lock:
            kind = self._draw.choice(self.kinds) if self._draw.random() < self.share else ""
            self.counts[kind or "passed"] += 1
        return kind


@contextmanager
def running(proxy: FaultyProxy) -> Iterator[str]:
    """Start it; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _handle(self, proxy)

        do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _handle(request: BaseHTTPRequestHandler, proxy: FaultyProxy) -> None:
    kind = proxy.fault()
    body = _body(request)
    if kind in _CODES:
        code = _CODES[kind]
        _answer(request, int(kind), [("Content-Type", "application/xml")], _ERROR.format(code=code))
        return
    if kind == "cut before":
        _cut(request)
        return
    if kind == "slow":
        time.sleep(SLOW_SECONDS)
    connection = http.client.HTTPConnection(proxy.target, timeout=60)
    try:
        framing = ("transfer-encoding", "content-length")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in framing}
        headers["Content-Length"] = str(len(body))
        if kind == UNCONDITIONAL:
            headers.pop("If-None-Match", None)
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
    except OSError:  # the endpoint is gone, as it is once a test has ended
        _cut(request)
        return
    finally:
        connection.close()
    kept = [
        (name, value)
        for name, value in answer.getheaders()
        if name.lower() not in ("transfer-encoding", "connection", "content-length", "date")
    ]
    length = answer.getheader("Content-Length") if request.command == "HEAD" else None
    _answer(request, answer.status, kept, data, length, cut=kind == "cut after")


def _body(request: BaseHTTPRequestHandler) -> bytes:
    """The request's body, also in chunks."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        request.send_response_only(100)
        request.end_headers()
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _answer(
    request: BaseHTTPRequestHandler,
    status: int,
    headers: Sequence[tuple[str, str]],
    body: bytes | str,
    length: str | None = None,
    cut: bool = False,
) -> None:
    data = body.encode() if isinstance(body, str) else body
    if cut and not data:
        _cut(request)
        return
    request.send_response(status)
    for name, value in headers:
        request.send_header(name, value)
    request.send_header("Content-Length", length or str(len(data)))
    request.end_headers()
    with suppress(OSError):
        if request.command != "HEAD":
            request.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            request.wfile.flush()
            _cut(request)


def _cut(request: BaseHTTPRequestHandler) -> None:
    with suppress(OSError):
        request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True
