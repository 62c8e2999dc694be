"""Serve the candidate for real, and hold its answers to the evaluator's (TFX: InfraValidator)."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfx.artifacts import Latency, Replay
from mfx.columns.tf_examples import to_example
from mfx.config import Push
from mfx.push.servers import kserve, model_server
from mfx.push.servers.model_server import AnswerError, Server, ServerError
from mfx.serve.parameters import BatchingParameters

TIMEOUT_SECONDS = 600
_LEAST_CALLS = 30
"""Of each size, so that there is a 99th percentile to speak of."""

Row = Mapping[str, Any]
Call = Callable[[Sequence[Row]], np.ndarray]


def validate(
    folder: Path,
    name: str,
    rows: Sequence[Row],
    expected: np.ndarray,
    push: Push,
    kind: str = "",
) -> Replay:
    """Start a server on a SavedModel in a clean process and ask it for rows.

    Over REST and gRPC, by `serving_default` and, where the model has it, `predict`, one row at a
    time and in batches of every size in `[push] batch_sizes`.

    Args:
        folder: The SavedModel.
        name: The model's.
        rows: Raw features, missing ones None.
        expected: The evaluator's predictions for them, float [rows, outputs].
        push: Sizes and tolerance.
        kind: Of server, see `model_server`; by default the `best`.
    """
    sizes = push.batch_sizes
    parameters = BatchingParameters(max_batch_size=sizes[-1], allowed_batch_sizes=tuple(sizes))
    kind = kind or model_server.best()
    measured = Measured(expected)
    try:
        with model_server.running(folder, name, parameters, TIMEOUT_SECONDS, kind) as server:
            for api, call in _calls(server, name):
                for size in sizes:
                    measured.ask(api, call, rows, size)
            memory = server.memory()
    except (ServerError, AnswerError) as error:
        return Replay(len(rows), None, None, str(error), kind)
    wrong = ""
    if not measured.difference <= push.tolerance:
        wrong = (
            f"predictions served over {measured.where} differ from the evaluator's by up to "
            f"{measured.difference:.2g}, more than {push.tolerance:g}"
        )
    return Replay(
        len(rows),
        measured.difference,
        server.start_seconds,
        wrong,
        kind,
        None if memory is None else memory / 2**20,
        measured.latencies,
    )


class Measured:
    """What came back: the largest difference, and how long answers took.

    Args:
        expected: The predictions to hold answers to.
    """

    def __init__(self, expected: np.ndarray) -> None:
        self.expected = expected
        self.difference, self.where = 0.0, ""
        self.latencies: list[Latency] = []

    def ask(self, api: str, call: Call, rows: Sequence[Row], size: int) -> None:
        """Ask for all rows, so many at a time.

        Raises:
            AnswerError: A request was not answered.
        """
        call([rows[0]] * size)  # the first of a size may compile
        seconds: list[float] = []
        while len(seconds) < _LEAST_CALLS:
            for begin in range(0, len(rows), size):
                chosen = [(begin + i) % len(rows) for i in range(size)]
                start = time.perf_counter()
                answer = call([rows[i] for i in chosen])
                seconds.append(time.perf_counter() - start)
                self._compare(answer, self.expected[chosen], f"{api}, {size} at a time")
        p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
        self.latencies.append(Latency(api, size, len(seconds), float(p50), float(p99)))

    def _compare(self, answer: np.ndarray, expected: np.ndarray, where: str) -> None:
        if answer.size != expected.size:
            raise AnswerError(f"{where}: {answer.size} numbers for {len(expected)} rows")
        difference = float(np.abs(answer.reshape(expected.shape) - expected).max())
        # A NaN is a difference, and the largest.
        if not difference <= self.difference:
            self.difference, self.where = difference, where


def _calls(server: Server, name: str) -> Iterator[tuple[str, Call]]:
    """Each way to ask: its name, and the function that asks for rows."""
    if server.kind == model_server.TRITON:
        yield from kserve.calls(server.rest, server.grpc, name)
        return
    with closing(_Rest(server, name)) as rest, closing(_Grpc(server, name)) as grpc:
        yield "REST serving_default", rest.examples
        yield "gRPC serving_default", grpc.examples
        if grpc.inputs:
            yield "REST predict", lambda rows: rest.raw(rows, grpc.inputs)
            yield "gRPC predict", grpc.raw


def _filled(rows: Sequence[Row], name: str, dtype: Any) -> list[Any]:
    """A feature's values as `predict` takes them."""
    from mfx.columns import missing

    return missing.filled((row.get(name) for row in rows), dtype)


@dataclass
class _Rest:
    server: Server
    name: str

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(self.server.rest, timeout=TIMEOUT_SECONDS)

    def examples(self, rows: Sequence[Row]) -> np.ndarray:
        return self._ask({"instances": [{"b64": _base64(to_example(row))} for row in rows]})

    def raw(self, rows: Sequence[Row], inputs: Mapping[str, Any]) -> np.ndarray:
        columns = {name: _filled(rows, name, dtype) for name, dtype in inputs.items()}
        instances = [
            {name: _json(values[i]) for name, values in columns.items()} for i in range(len(rows))
        ]
        return self._ask({"signature_name": "predict", "instances": instances})

    def close(self) -> None:
        self._connection.close()

    def _ask(self, body: dict[str, Any]) -> np.ndarray:
        try:
            self._connection.request("POST", f"/v1/models/{self.name}:predict", json.dumps(body))
            answer = self._connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise AnswerError(f"REST: {answer.status}: {text.decode(errors='replace')[:500]}")
            return np.asarray(json.loads(text)["predictions"], np.float64)
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise AnswerError(f"REST: {type(error).__name__}: {error}") from None


class _Grpc:
    """Attributes: inputs: dtypes of the `predict` signature's inputs; empty without it."""

    def __init__(self, server: Server, name: str) -> None:
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import get_model_metadata_pb2 as metadata
        from tensorflow_serving.apis import predict_pb2
        from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

        self._tf, self._request, self._failed = tf, predict_pb2.PredictRequest, grpc.RpcError
        self._name = name
        # On this machine: not by way of the user's `http_proxy`.
        options = [("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(server.grpc, options)
        self._stub = PredictionServiceStub(self._channel)
        asked = metadata.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = name
        given = self._answer(self._stub.GetModelMetadata, asked).metadata["signature_def"]
        signatures = metadata.SignatureDefMap.FromString(given.value).signature_def
        found = signatures["predict"].inputs if "predict" in signatures else {}
        self.inputs = {key: tf.as_dtype(info.dtype) for key, info in found.items()}

    def examples(self, rows: Sequence[Row]) -> np.ndarray:
        return self._ask("serving_default", {"examples": [to_example(row) for row in rows]}, {})

    def raw(self, rows: Sequence[Row]) -> np.ndarray:
        columns = {name: _filled(rows, name, dtype) for name, dtype in self.inputs.items()}
        return self._ask("predict", columns, self.inputs)

    def close(self) -> None:
        self._channel.close()

    def _ask(
        self, signature: str, inputs: Mapping[str, Any], dtypes: Mapping[str, Any]
    ) -> np.ndarray:
        request = self._request()
        request.model_spec.name, request.model_spec.signature_name = self._name, signature
        for name, values in inputs.items():
            tensor = self._tf.make_tensor_proto(values, dtypes.get(name, self._tf.string))
            request.inputs[name].CopyFrom(tensor)
        outputs = self._answer(self._stub.Predict, request).outputs
        return np.asarray(self._tf.make_ndarray(next(iter(outputs.values()))), np.float64)

    def _answer(self, method: Callable, request: Any) -> Any:
        try:
            return method(request, timeout=TIMEOUT_SECONDS)
        except self._failed as error:
            raise AnswerError(f"gRPC: {error.code().name}: {error.details()}") from None


def _json(value: Any) -> Any:
    return {"b64": _base64(value)} if isinstance(value, bytes) else value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
