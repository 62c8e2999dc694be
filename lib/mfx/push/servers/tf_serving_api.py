"""Asks a server for rows over TensorFlow Serving's API, REST and gRPC."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from mfx.columns.tf_examples import to_example
from mfx.push.servers.base import TIMEOUT_SECONDS, AnswerError, Call, Row, ServerError, get_json


class TfServingApi:
    """What the servers with this API have in common; see `base.ModelServer`."""

    def ready(self, rest: str, name: str) -> bool:
        """Whether the version is available; see `ModelServer`."""
        status = get_json(f"http://{rest}/v1/models/{name}")["model_version_status"][0]
        if status["state"] == "END":
            raise ServerError(f"the server says: {status['status']['error_message']}")
        return status["state"] == "AVAILABLE"

    def clients(self, rest: str, grpc: str, name: str) -> Iterator[tuple[str, Call]]:
        """By `serving_default` and, where the model has it, `predict`; see `ModelServer`."""
        with closing(_Rest(rest, name)) as over_rest, closing(_Grpc(grpc, name)) as over_grpc:
            yield "REST serving_default", over_rest.examples
            yield "gRPC serving_default", over_grpc.examples
            if over_grpc.inputs:
                yield "REST predict", lambda rows: over_rest.raw(rows, over_grpc.inputs)
                yield "gRPC predict", over_grpc.raw


def _filled(rows: Sequence[Row], name: str, dtype: Any) -> list[Any]:
    """A feature's values as `predict` takes them."""
    from mfx.columns.tensors import MISSING

    missing = MISSING[dtype]
    missing = missing.encode() if isinstance(missing, str) else missing
    return [missing if row.get(name) is None else row[name] for row in rows]


class _Rest:
    def __init__(self, address: str, name: str) -> None:
        self._path = f"/v1/models/{name}:predict"
        self._connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)

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
            self._connection.request("POST", self._path, json.dumps(body))
            answer = self._connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise AnswerError(f"REST: {answer.status}: {text.decode(errors='replace')[:500]}")
            return np.asarray(json.loads(text)["predictions"], np.float64)
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise AnswerError(f"REST: {type(error).__name__}: {error}") from None


class _Grpc:
    """Attributes: inputs: dtypes of the `predict` signature's inputs; empty without it."""

    def __init__(self, address: str, name: str) -> None:
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import get_model_metadata_pb2 as metadata
        from tensorflow_serving.apis import predict_pb2
        from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

        self._tf, self._request, self._failed = tf, predict_pb2.PredictRequest, grpc.RpcError
        self._name = name
        # On this machine: not by way of the user's `http_proxy`.
        options = [("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(address, options)
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
