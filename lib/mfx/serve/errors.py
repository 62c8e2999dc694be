"""The error for a request that cannot be answered: gRPC's status code and the HTTP status."""

from __future__ import annotations

HTTP_STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""The HTTP status for each code, as in TF Serving's `http_rest_api_handler` and `http_server`."""


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        code: gRPC's status code, a key of HTTP_STATUS.
        message: What is wrong, for the client.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)

    @property
    def http_status(self) -> int:
        """The HTTP status for this code, as in TF Serving."""
        return HTTP_STATUS[self.code]
