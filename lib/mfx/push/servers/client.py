"""Ask a model server for predictions by TensorFlow Serving's API, over REST or gRPC.

    python serving/client.py '{"payment_type": "Credit Card", "fare": 12.5}'
    python serving/client.py --grpc localhost:8500 --model taxi rows.json

A row is a dict of raw features. Features left out, or null, are missing. One JSON line per row is
printed: the model's answer and the model's version (null if the server does not tell it).

    with RestClient("http://localhost:8501", "taxi") as client:
        client.predict([{"payment_type": "Credit Card", "fare": 12.5}]).outputs

It works with `mfx serve` and with TensorFlow Serving. REST needs nothing but Python; gRPC needs the
packages `tensorflow-serving-api` and `grpcio`.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import operator
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

VERSION_HEADER = "X-Model-Version"
"""The REST header with the model's version. `mfx serve` sends it, TensorFlow Serving does not."""

CODES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
CODES |= {404: "NOT_FOUND", 413: "RESOURCE_EXHAUSTED", 429: "RESOURCE_EXHAUSTED"}
CODES |= {501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
"""gRPC's code for each HTTP status; all others are UNKNOWN."""


class ServingError(Exception):
    """A request that was not answered.

    Attributes:
        code: gRPC's status code, also for REST: INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE, …
        message: The server's message.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True)
class Answer:
    """A model's answer to some rows.

    Attributes:
        outputs: For each output's name, one entry per row.
        version: The model's version; None if the server does not tell it.
    """

    outputs: dict[str, list[Any]]
    version: int | None


@dataclass(frozen=True)
class Signature:
    """A signature.

    Attributes:
        inputs: The type of each input by name, such as DT_FLOAT.
        outputs: The outputs' names.
        shapes: For each input the size of its dimensions after the rows, -1 for any size.
    """

    inputs: dict[str, str]
    outputs: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """A version, its state (START, LOADING, AVAILABLE, UNLOADING or END), and any error message."""

    version: int
    state: str
    message: str


class Client:
    """What REST and gRPC have in common. Do not share a client between threads.

    Args:
        model: The model's name.
        version: The version to ask; by default the server's newest.
        label: The label of the version to ask, instead of `version`.
        signature: A signature with one tensor [batch] per raw feature; or one that takes serialized
            tf.Examples, which are then a row's only feature, such as `{"examples": b"…"}`.
        timeout: Seconds that a request may take.
        retries: How often a request is tried again if the server is not there or is overloaded.
    """

    def __init__(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = "predict",
        timeout: float = 10.0,
        retries: int = 3,
    ) -> None:
        if version is not None and label is not None:
            raise ValueError("give a version or a label, not both")
        self.model, self.version, self.label = model, version, label
        self.signature, self.timeout, self.retries = signature, timeout, retries
        self._known: Signature | None = None

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Answer:
        """The model's outputs for raw rows.

        Args:
            rows: For each row its values by feature: numbers for float and integer features, str or
                bytes for strings; a list of them for a feature with lists. Features that are left
                out or None are missing. Lists are filled up to the longest one, as the model takes
                them; so it cannot see texts that are empty at the end of a list.

        Raises:
            ServingError: A row does not fit the signature, or the server refused or did not answer.
        """
        known = self._known or self._describe()
        try:
            answer = self._ask(rows, known)
        except ServingError as error:
            # The server may have changed to a version that takes other features.
            if error.code != "INVALID_ARGUMENT" or (new := self._describe()) == known:
                raise
            known = new
            answer = self._ask(rows, known)
        self._known = known
        return answer

    def signatures(self) -> dict[str, Signature]:
        """The model's signatures by name. Raises ServingError if the server does not answer."""
        return self._patiently(self._signatures)

    def status(self) -> list[Status]:
        """The status of all versions, or of the one this client asks. May raise ServingError."""
        return self._patiently(self._status)

    def close(self) -> None:
        """Close the connection."""
        raise NotImplementedError

    def _ask(self, rows: Sequence[Mapping[str, Any]], known: Signature) -> Answer:
        columns = to_columns(rows, known.inputs, known.shapes)
        return self._patiently(lambda: self._predict(columns, known))

    def _describe(self) -> Signature:
        signatures = self.signatures()
        if self.signature not in signatures:
            none = f"model {self.model} has no signature {self.signature!r}"
            raise ServingError("INVALID_ARGUMENT", f"{none}; it has {sorted(signatures)}")
        return signatures[self.signature]

    def _patiently(self, call: Any) -> Any:
        """Call again while the server is not there. Waits are random and get longer."""
        for attempt in range(self.retries + 1):
            try:
                return call()
            except ServingError as error:
                if error.code != "UNAVAILABLE" or attempt == self.retries:
                    raise
            time.sleep(random.uniform(0.5, 1) * 0.1 * 2**attempt)
        raise AssertionError

    def _signatures(self) -> dict[str, Signature]:
        raise NotImplementedError

    def _status(self) -> list[Status]:
        raise NotImplementedError

    def _predict(self, columns: dict[str, list[Any]], known: Signature) -> Answer:
        raise NotImplementedError

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RestClient(Client):
    """A client over REST. It keeps one connection.

    Args:
        url: The server's URL, such as `http://localhost:8501`.
        model: The model's name.
        headers: Headers of each request, such as `Authorization`.
        options: The other arguments of `Client`.
    """

    def __init__(
        self, url: str, model: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(model, **options)
        parts = urlsplit(url)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname:
            raise ValueError(f"expected a URL such as http://localhost:8501, found {url!r}")
        self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=self.timeout)
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._path = f"{parts.path.rstrip('/')}/v1/models/{quote(model, safe='')}"
        if self.version is not None:
            self._path += f"/versions/{self.version}"
        elif self.label is not None:
            self._path += f"/labels/{quote(self.label, safe='')}"

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _signatures(self) -> dict[str, Signature]:
        said, _ = self._request("GET", "/metadata")
        found = said["metadata"]["signature_def"]["signature_def"]
        return {
            name: Signature(
                {name: tensor["dtype"] for name, tensor in given.get("inputs", {}).items()},
                tuple(sorted(given.get("outputs", {}))),
                {
                    name: tuple(int(each["size"]) for each in tensor["tensor_shape"]["dim"][1:])
                    for name, tensor in given.get("inputs", {}).items()
                },
            )
            for name, given in found.items()
        }

    def _status(self) -> list[Status]:
        said, _ = self._request("GET", "")
        return [
            Status(int(each["version"]), each["state"], each["status"]["error_message"])
            for each in said["model_version_status"]
        ]

    def _predict(self, columns: dict[str, list[Any]], known: Signature) -> Answer:
        encoded = {name: [_json(value) for value in column] for name, column in columns.items()}
        body = {"signature_name": self.signature, "inputs": encoded}
        said, told = self._request("POST", ":predict", json.dumps(body))
        outputs = said["outputs"]
        # With a single output, the server leaves its name out.
        if len(known.outputs) == 1:
            outputs = {known.outputs[0]: outputs}
        return Answer(outputs, int(told) if told else self.version)

    def _request(
        self, method: str, path: str, body: str | None = None
    ) -> tuple[dict[str, Any], str | None]:
        """The response's JSON, and the version in its header, if any."""
        where = f"{self._connection.host}:{self._connection.port}"
        try:
            self._connection.request(method, self._path + path, body, self._headers)
            response = self._connection.getresponse()
            text = response.read()
        except TimeoutError:
            self.close()
            message = f"no answer from {where} within {self.timeout} s"
            raise ServingError("DEADLINE_EXCEEDED", message) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServingError("UNAVAILABLE", f"{where}: {error}") from None
        try:
            said = json.loads(text)
        except ValueError:
            said = {}
        if response.status != http.HTTPStatus.OK:
            message = said.get("error") or text.decode(errors="replace")[:200] or response.reason
            raise ServingError(CODES.get(response.status, "UNKNOWN"), message)
        return said, response.headers.get(VERSION_HEADER)


class GrpcClient(Client):
    """A client over gRPC, with the stubs of `tensorflow-serving-api`.

    Args:
        address: The server's address, such as `localhost:8500`.
        model: The model's name.
        channel: gRPC's channel arguments by name, such as `grpc.enable_http_proxy`.
        options: The other arguments of `Client`.
    """

    def __init__(
        self, address: str, model: str, *, channel: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc as service

        super().__init__(model, **options)
        # Large batches do not fit into gRPC's default limit of 4 MB.
        unbounded = [(f"grpc.max_{way}_message_length", -1) for way in ("receive", "send")]
        self._channel = grpc.insecure_channel(address, [*unbounded, *(channel or {}).items()])
        self._stub = service.PredictionServiceStub(self._channel)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _signatures(self) -> dict[str, Signature]:
        from tensorflow.core.framework import types_pb2
        from tensorflow_serving.apis import get_model_metadata_pb2 as metadata

        request = metadata.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._name(request.model_spec)
        said = self._call(self._stub.GetModelMetadata, request)
        found = metadata.SignatureDefMap()
        said.metadata["signature_def"].Unpack(found)
        return {
            name: Signature(
                {name: types_pb2.DataType.Name(info.dtype) for name, info in given.inputs.items()},
                tuple(sorted(given.outputs)),
                {
                    name: tuple(each.size for each in info.tensor_shape.dim[1:])
                    for name, info in given.inputs.items()
                },
            )
            for name, given in found.signature_def.items()
        }

    def _status(self) -> list[Status]:
        from tensorflow_serving.apis import get_model_status_pb2 as status
        from tensorflow_serving.apis import model_service_pb2_grpc as service

        request = status.GetModelStatusRequest()
        self._name(request.model_spec)
        said = self._call(service.ModelServiceStub(self._channel).GetModelStatus, request)
        names = status.ModelVersionStatus.State.Name
        return [
            Status(each.version, names(each.state), each.status.error_message)
            for each in said.model_version_status
        ]

    def _predict(self, columns: dict[str, list[Any]], known: Signature) -> Answer:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._name(request.model_spec)
        request.model_spec.signature_name = self.signature
        for name, column in columns.items():
            dtype = tf.dtypes.as_dtype(known.inputs[name].removeprefix("DT_").lower())
            flat = not known.shapes.get(name)
            tensor = tf.make_tensor_proto(column, dtype, [len(column)] if flat else None)
            request.inputs[name].CopyFrom(tensor)
        said = self._call(self._stub.Predict, request)
        outputs = {name: tf.make_ndarray(tensor).tolist() for name, tensor in said.outputs.items()}
        told = said.model_spec.HasField("version")
        return Answer(outputs, said.model_spec.version.value if told else self.version)

    def _name(self, spec: Any) -> None:
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label

    def _call(self, method: Any, request: Any) -> Any:
        import grpc

        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code().name, error.details()) from None


MISSING = {"DT_FLOAT": float("nan"), "DT_INT64": -(2**63), "DT_STRING": ""}
"""The value that means "missing" in the signature `predict`, by the input's type.

TensorFlow Serving does not accept JSON's null, so these values are sent."""


def to_columns(
    rows: Sequence[Mapping[str, Any]],
    inputs: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, list[Any]]:
    """Turn rows into one list per input, with MISSING where a row has no value.

    Args:
        rows: The rows.
        inputs: The type of each input.
        shapes: The shape of each input, as in `Signature`; by default all have single values.

    Raises:
        ServingError: A row has an unknown feature, or a value of the wrong type.
    """
    if other := sorted({kind for kind in inputs.values() if kind not in MISSING}):
        raise ServingError("INVALID_ARGUMENT", f"inputs of types {other} are not raw features")
    for number, row in enumerate(rows):
        if unknown := sorted(set(row) - set(inputs)):
            message = f"row {number}: unknown features {unknown}; the model takes {sorted(inputs)}"
            raise ServingError("INVALID_ARGUMENT", message)
    columns = {}
    for name, kind in inputs.items():
        values = [row.get(name) for row in rows]
        if shape := (shapes or {}).get(name, ()):
            columns[name] = _lists(values, kind, name, shape)
        else:
            columns[name] = [_value(value, kind, name, at) for at, value in enumerate(values)]
    return columns


def _lists(values: list[Any], kind: str, name: str, shape: tuple[int, ...]) -> list[Any]:
    """The lists of one feature, of equal shape: shorter ones are filled up with MISSING."""
    lists = []
    for number, value in enumerate(values):
        flat = [] if value is None else _flat(value)
        lists.append([_value(one, kind, name, number) for one in flat])
        size = math.prod(shape)
        if size > 0 and len(flat) != size:
            message = f"row {number}: feature {name!r}: expected {size} values, found {len(flat)}"
            raise ServingError("INVALID_ARGUMENT", message)
    if -1 in shape:
        width = max([1, *map(len, lists)])
        return [found + [MISSING[kind]] * (width - len(found)) for found in lists]
    for size in reversed(shape[1:]):
        lists = [[row[at : at + size] for at in range(0, len(row), size)] for row in lists]
    return lists


def _flat(value: Any) -> list[Any]:
    """The values of a list, of lists in a list, or of a NumPy array; of any other value, itself."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, list | tuple):
        return [value]
    return [each for part in value for each in _flat(part)]


def _value(value: Any, kind: str, name: str, number: int) -> Any:
    if value is None:
        return MISSING[kind]
    try:
        if isinstance(value, str | bytes) == (kind == "DT_STRING"):
            if kind == "DT_INT64":
                return int(operator.index(value))
            return float(value) if kind == "DT_FLOAT" else value
    except (TypeError, ValueError):
        pass
    expected = {"DT_FLOAT": "a number", "DT_INT64": "an integer", "DT_STRING": "a string"}[kind]
    message = f"row {number}: feature {name!r}: expected {expected}, found {value!r}"
    raise ServingError("INVALID_ARGUMENT", message)


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value
