"""Ask a server to predict rows by TensorFlow Serving's API, over REST and gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from mfx.columns.tf_examples import to_example
from mfx.push.servers.base import TIMEOUT_SECONDS, AnswerError, Call, Row, ServerError
from mfx.push.servers.client import Client, GrpcClient, RestClient, ServingError


class TfServingApi:
    """What the servers with this API have in common; see `base.ModelServer`."""

    def ready(self, rest: str, name: str) -> bool:
        """Whether the version is available; see `ModelServer`."""
        try:
            with RestClient(f"http://{rest}", name, timeout=5, retries=0) as client:
                (status,) = client.status()
        except ServingError:
            return False
        if status.state == "END":
            raise ServerError(f"the server says: {status.message}")
        return status.state == "AVAILABLE"

    def clients(self, rest: str, grpc: str, name: str) -> Iterator[tuple[str, Call]]:
        """By `serving_default` and, if the model has it, `predict`; see `ModelServer`."""
        with ExitStack() as opened:

            def client(api: str, signature: str) -> _Asking:
                options: dict[str, Any] = {
                    "signature": signature,
                    "timeout": TIMEOUT_SECONDS,
                    "retries": 0,
                }
                if api == "REST":
                    made: Client = RestClient(f"http://{rest}", name, **options)
                else:
                    # The server is on this machine, which the user's `http_proxy` cannot reach.
                    direct = {"grpc.enable_http_proxy": 0}
                    made = GrpcClient(grpc, name, channel=direct, **options)
                return _Asking(api, opened.enter_context(made))

            for api in ("REST", "gRPC"):
                yield f"{api} serving_default", client(api, "serving_default").examples
            if "predict" in client("gRPC", "predict").signatures():
                for api in ("REST", "gRPC"):
                    yield f"{api} predict", client(api, "predict").raw


class _Asking:
    """Asks with one signature over one API."""

    def __init__(self, api: str, client: Client) -> None:
        self._api, self._client = api, client
        self._inputs: list[str] = []

    def signatures(self) -> list[str]:
        try:
            return list(self._client.signatures())
        except ServingError as error:
            raise AnswerError(f"{self._api}: {error}") from None

    def examples(self, rows: Sequence[Row]) -> np.ndarray:
        return self._ask([{self._names()[0]: to_example(row)} for row in rows])

    def raw(self, rows: Sequence[Row]) -> np.ndarray:
        # Rows may have columns that are no inputs of the model.
        return self._ask([{name: row.get(name) for name in self._names()} for row in rows])

    def _names(self) -> list[str]:
        """The names of the signature's inputs."""
        if not self._inputs:
            try:
                self._inputs = list(self._client.signatures()[self._client.signature].inputs)
            except (ServingError, LookupError) as error:
                raise AnswerError(f"{self._api}: {error}") from None
        return self._inputs

    def _ask(self, rows: Sequence[Row]) -> np.ndarray:
        try:
            outputs = self._client.predict(rows).outputs
            return np.asarray(next(iter(outputs.values())), np.float64)
        except (ServingError, ValueError, TypeError, LookupError) as error:
            raise AnswerError(f"{self._api}: {error}") from None
