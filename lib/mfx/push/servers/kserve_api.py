"""Ask a server to predict rows by KServe's V2 API (Open Inference Protocol), over REST and gRPC.

For gRPC, NVIDIA's `tritonclient` is used.
"""

from __future__ import annotations

import http.client
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mfx.columns.tf_examples import to_example
from mfx.push.servers.base import TIMEOUT_SECONDS, AnswerError, Call, Row
from mfx.push.servers.client import ServingError, to_columns

_DTYPES: dict[str, np.dtype] = {
    "FP32": np.dtype(np.float32),
    "INT64": np.dtype(np.int64),
    "BYTES": np.dtype(object),
}
"""V2's data types that raw features can have, and their NumPy types."""
_KINDS = {"FP32": "DT_FLOAT", "INT64": "DT_INT64", "BYTES": "DT_STRING"}
"""Their names in TensorFlow."""
_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of a model.

    Attributes:
        examples: The name of the input for serialized tf.Examples; "" if there is one input per
            feature.
        datatypes: V2's data type of each input.
        dims: For each input the size of its dimensions after the rows, -1 for any size; (1,) for
            single values.
    """

    examples: str
    datatypes: Mapping[str, str]
    dims: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def read_inputs(address: str, name: str) -> ModelInputs:
    """Ask a Triton server for the inputs of a model.

    Args:
        address: `host:port` of its REST API.
        name: The model's name.

    Raises:
        AnswerError: The server does not answer, or the answer has no inputs or signature.
    """
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    try:
        given = _answer(connection, "GET", f"/v2/models/{name}/config", b"", {})
        datatypes = {each["name"]: _datatype(each["data_type"]) for each in given["input"]}
        dims = {each["name"]: tuple(map(int, each["dims"])) for each in given["input"]}
        signature = given["parameters"]["signature"]["string_value"]
    except LookupError as error:
        raise AnswerError(f"V2 REST: no {error} in the model's configuration") from None
    finally:
        connection.close()
    return ModelInputs("" if signature == "predict" else next(iter(datatypes)), datatypes, dims)


def arrays(rows: Sequence[Row], inputs: ModelInputs) -> dict[str, np.ndarray]:
    """Turn raw rows into the model's inputs.

    Args:
        rows: Raw features. Missing ones (None or left out) are sent as `mfx.columns.missing` says.
        inputs: The model's inputs.

    Returns:
        For each input an array of shape [rows, 1], or of lists [rows, width] or [rows, *dims];
        bytes are objects.

    Raises:
        AnswerError: A row's values do not fit.
    """
    if inputs.examples:
        return {inputs.examples: _column([to_example(row) for row in rows], np.dtype(object))}
    kinds = {name: _KINDS[datatype] for name, datatype in inputs.datatypes.items()}
    shapes = {name: dims for name, dims in inputs.dims.items() if dims != (1,)}
    try:
        columns = to_columns([{n: row.get(n) for n in kinds} for row in rows], kinds, shapes)
    except ServingError as error:
        raise AnswerError(f"V2: {error}") from None
    found = {}
    for name, values in columns.items():
        array = np.array(_as_bytes(values), _DTYPES[inputs.datatypes[name]])
        found[name] = array if name in shapes else array.reshape(-1, 1)
    return found


def _as_bytes(values: list[Any]) -> list[Any]:
    return [
        _as_bytes(v) if isinstance(v, list) else v.encode() if isinstance(v, str) else v
        for v in values
    ]


def rest_body(rows: Sequence[Row], inputs: ModelInputs) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a REST request.

    The body is JSON. Inputs with values that JSON cannot express (NaN, or bytes that are no text)
    follow after it, in the form of V2's binary tensor extension.
    """
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, array in arrays(rows, inputs).items():
        tensor = {"name": name, "shape": array.shape, "datatype": inputs.datatypes[name]}
        try:
            texts = [v.decode() if isinstance(v, bytes) else v for v in array.ravel().tolist()]
            json.dumps(texts, allow_nan=False)
            tensors.append({**tensor, "data": texts})
        except ValueError:  # UnicodeDecodeError is a ValueError too.
            binary.append(_binary(array))
            tensors.append({**tensor, "parameters": {"binary_data_size": len(binary[-1])}})
    text = json.dumps({"inputs": tensors}).encode()
    headers = {"Content-Type": "application/json"}
    if binary:
        headers = {"Content-Type": "application/octet-stream", _LENGTH: str(len(text))}
    return b"".join([text, *binary]), headers


def calls(rest: str, grpc: str, name: str) -> Iterator[tuple[str, Call]]:
    """Yield each way to ask a server: its name, and the function that asks.

    Args:
        rest: `host:port` of its REST API.
        grpc: `host:port` of its gRPC API.
        name: The model's name.
    """
    inputs = read_inputs(rest, name)
    for api, kind, address in (("V2 REST", Rest, rest), ("V2 gRPC", Grpc, grpc)):
        client = kind(address, name, inputs)
        try:
            yield api, client.ask
        finally:
            client.close()


class Rest:
    """Asks over REST.

    Args:
        address: `host:port`.
        name: The model's name.
        inputs: The model's inputs.
    """

    def __init__(self, address: str, name: str, inputs: ModelInputs) -> None:
        self._path, self._inputs = f"/v2/models/{name}/infer", inputs
        self._connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)

    def ask(self, rows: Sequence[Row]) -> np.ndarray:
        """The model's first output for the rows, as float64.

        Raises:
            AnswerError: The server does not answer, or not with numbers.
        """
        answer = _answer(self._connection, "POST", self._path, *rest_body(rows, self._inputs))
        try:
            output = answer["outputs"][0]
            return np.array(output["data"], np.float64).reshape(output["shape"])
        except (LookupError, TypeError, ValueError) as error:
            raise AnswerError(f"V2 REST: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Grpc:
    """Asks over gRPC. Its arguments are those of `Rest`."""

    def __init__(self, address: str, name: str, inputs: ModelInputs) -> None:
        from tritonclient import grpc, utils

        self._grpc, self._failed, self._name = grpc, utils.InferenceServerException, name
        self._inputs = inputs
        self._client = grpc.InferenceServerClient(address)

    def ask(self, rows: Sequence[Row]) -> np.ndarray:
        """The model's first output for the rows, as float64.

        Raises:
            AnswerError: The server does not answer.
        """
        tensors = []
        for name, array in arrays(rows, self._inputs).items():
            tensors.append(
                self._grpc.InferInput(name, list(array.shape), self._inputs.datatypes[name])
            )
            tensors[-1].set_data_from_numpy(array)
        try:
            answer = self._client.infer(self._name, tensors, client_timeout=TIMEOUT_SECONDS)
            return answer.as_numpy(answer.get_response().outputs[0].name).astype(np.float64)
        except self._failed as error:
            raise AnswerError(f"V2 gRPC: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
) -> Any:
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise AnswerError(f"V2 REST: {answer.status}: {text.decode(errors='replace')[:500]}")
        return json.loads(text)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise AnswerError(f"V2 REST: {type(error).__name__}: {error}") from None


def _datatype(triton: str) -> str:
    """V2's name for a type as Triton's configuration names it."""
    name = triton.removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def _column(values: Sequence[Any], dtype: np.dtype) -> np.ndarray:
    return np.array(values, dtype).reshape(-1, 1)


def _binary(array: np.ndarray) -> bytes:
    """The array's bytes, row by row. Each string comes after its length (4 bytes)."""
    if array.dtype != object:
        return array.tobytes()
    return b"".join(struct.pack("<I", len(value)) + value for value in array.ravel())
