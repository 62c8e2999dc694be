"""CORS: tell browsers which web pages' scripts may read the answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import web

from mfx.serve.http.connection import Response

ANY = "*"
_PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, HEAD, POST\r\n"
    "Access-Control-Allow-Headers: *\r\n"
    "Access-Control-Max-Age: 600\r\n"
)


class Cors:
    """Answers a browser's preflight requests, and adds CORS headers to a handler's answers.

    Args:
        handler: Answers all other requests.
        origins: The origins whose pages may send requests, such as `https://example.com`; or ANY.
    """

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[Response]], origins: Collection[str]
    ) -> None:
        self._handler, self._origins = handler, frozenset(origins)

    async def __call__(self, request: web.BaseRequest) -> Response:
        """Answer a request."""
        preflight = request.method == "OPTIONS"
        answer = Response(b"") if preflight else await self._handler(request)
        answer.add(self._headers(request.headers.get("Origin", "")))
        if preflight:
            answer.add(_PREFLIGHT)
        return answer

    def _headers(self, origin: str) -> str:
        if ANY in self._origins:
            origin, vary = ANY, ""
        else:
            vary = "Vary: Origin\r\n"
            if origin not in self._origins:
                return vary
        exposed = "Access-Control-Expose-Headers: X-Model-Version\r\n"
        return f"{vary}Access-Control-Allow-Origin: {origin}\r\n{exposed}"
