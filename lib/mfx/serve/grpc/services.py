"""TF Serving's PredictionService and ModelService: from parsed requests to serialized answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    regression_pb2,
)

from mfx.serve.awaiting import Awaiting
from mfx.serve.errors import RequestError
from mfx.serve.grpc import inference
from mfx.serve.grpc.inference import CLASSIFY, REGRESS, bad
from mfx.serve.model import ServedModel, Signature
from mfx.serve.versions import ModelVersions

LARGE_OUTPUTS = 20_000
"""Outputs with more values than this are written in a thread."""
UNKNOWN_SIGNATURE = "No signature was found with the name"

T = TypeVar("T")


async def apart(large: bool, function: Callable[..., T], *values: Any) -> T:
    """Call a function; if it has much to do (`large`), in a thread, so that others are answered."""
    return await asyncio.to_thread(function, *values) if large else function(*values)


class Budget:
    """A limit for the bytes of all requests that are being answered.

    Args:
        limit: The most bytes.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Take some bytes; they must be given back.

        Raises:
            RequestError: RESOURCE_EXHAUSTED, there are not enough left.
        """
        if size > self._left:
            raise RequestError("RESOURCE_EXHAUSTED", "too many large requests at once")
        self._left -= size

    def give(self, size: int) -> None:
        """Give back bytes that were taken."""
        self._left += size


class PredictionService:
    """Answers with a model's outputs. It is used in one event loop.

    A request is called `large` if reading it takes so long that other requests would have to wait.

    Args:
        models: The models, by name.
        max_bytes: The most bytes for the arrays of one request. (A small request can ask for a
            large array, since its last value is repeated up to the shape.)
        budget: The limit for the arrays of all requests.
    """

    def __init__(self, models: Mapping[str, ModelVersions], max_bytes: int, budget: Budget) -> None:
        self._models, self._max_bytes, self._budget = models, max_bytes, budget
        self._awaiting = Awaiting()

    async def predict(self, request: Any, large: bool) -> bytes:
        """Predict: from named tensors to named tensors."""
        spec = _spec(request)
        with _use(self._models, spec) as model:
            signature = inference.predict_signature(model, spec.signature_name)
            inputs, rows = await apart(
                large, inference.predict_inputs, signature, request.inputs, self._max_bytes
            )
            wanted = inference.wanted_outputs(signature, request.output_filter)
            held = sum(array.nbytes for array in inputs.values() if isinstance(array, np.ndarray))
            self._budget.take(held)
            try:
                outputs = await self._awaiting.outputs(model, signature.name, inputs, rows)
            finally:
                self._budget.give(held)
            return await apart(
                sum(array.size for array in outputs.values()) > LARGE_OUTPUTS,
                *(inference.predict_response, spec.name, model.version, signature, wanted, outputs),
            )

    async def classify(self, request: Any, large: bool) -> bytes:
        """Classify: from tf.Examples to classes and scores."""
        response = classification_pb2.ClassificationResponse()
        await self._infer(request, large, CLASSIFY, response)
        return response.SerializeToString()

    async def regress(self, request: Any, large: bool) -> bytes:
        """Regress: from tf.Examples to one number for each."""
        response = regression_pb2.RegressionResponse()
        await self._infer(request, large, REGRESS, response)
        return response.SerializeToString()

    async def multi_inference(self, request: Any, large: bool) -> bytes:
        """MultiInference: the same tf.Examples for several signatures of one model."""
        if not request.tasks:
            raise bad("ModelSpec has no name specified.")
        response = inference_pb2.MultiInferenceResponse()
        with _use(self._models, request.tasks[0].model_spec) as model:
            asked = _asked(model, request.tasks)
            examples = await apart(large, inference.examples_of, request.input)
            answers = await asyncio.gather(
                *(self._run_examples(model, signature, examples) for signature, _ in asked)
            )
            for task, (signature, method), outputs in zip(
                request.tasks, asked, answers, strict=True
            ):
                result = response.results.add()
                _write(result, method, outputs, len(examples))
                name = task.model_spec.name
                inference.write_spec(result.model_spec, name, signature.name, model.version)
        return response.SerializeToString()

    async def metadata(self, request: Any, large: bool) -> bytes:
        """GetModelMetadata: the model's signatures."""
        spec = _spec(request)
        if not request.metadata_field:
            raise bad("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise bad(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with _use(self._models, spec) as model:
            response.model_spec.name = spec.name
            response.model_spec.version.value = model.version
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature.definition)
        response.metadata["signature_def"].Pack(signatures)
        return response.SerializeToString()

    async def _infer(self, request: Any, large: bool, method: str, response: Any) -> None:
        spec = _spec(request)
        with _use(self._models, spec) as model:
            signature = inference.example_signature(
                model, spec.signature_name, method, UNKNOWN_SIGNATURE
            )
            examples = await apart(large, inference.examples_of, request.input)
            outputs = await self._run_examples(model, signature, examples)
            inference.write_spec(response.model_spec, spec.name, signature.name, model.version)
        write = (
            inference.write_classifications if method == CLASSIFY else inference.write_regressions
        )
        write(response.result, outputs, len(examples))

    async def _run_examples(
        self, model: ServedModel, signature: Signature, examples: list[bytes]
    ) -> dict[str, np.ndarray]:
        inputs = {"inputs": examples}
        return await self._awaiting.outputs(model, signature.name, inputs, len(examples))


class ModelService:
    """Answers with the state of models.

    Args:
        models: The models, by name.
    """

    def __init__(self, models: Mapping[str, ModelVersions]) -> None:
        self._models = models

    async def status(self, request: Any, large: bool) -> bytes:
        """GetModelStatus: the status of all versions, or of the requested one."""
        spec = _spec(request)
        none = RequestError("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        if spec.name not in self._models:
            raise none
        found = self._models[spec.name].status(_version(spec), spec.version_label)
        if not found:
            raise none
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in found:
            added = response.model_version_status.add(version=status.version, state=status.state)
            added.status.error_code = error_codes_pb2.Code.Value(status.code)
            added.status.error_message = status.message
        return response.SerializeToString()

    async def reload(self, request: Any, large: bool) -> bytes:
        """HandleReloadConfigRequest: this server does not have it.

        Raises:
            RequestError: UNIMPLEMENTED, always.
        """
        raise RequestError(
            "UNIMPLEMENTED",
            "The models are fixed when the server starts, and it finds their versions by polling. "
            "Push a version, or start the server again with other models.",
        )


def _spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise bad("Missing ModelSpec")
    return request.model_spec


def _version(spec: Any) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _use(models: Mapping[str, ModelVersions], spec: Any) -> AbstractContextManager[ServedModel]:
    """A context with the version that a ModelSpec names, for one request.

    Raises:
        RequestError: INVALID_ARGUMENT, there is no name; NOT_FOUND, there is no such model or
            version.
    """
    name, version = spec.name, _version(spec)
    if not name:
        raise bad("ModelSpec has no name specified.")
    if name not in models:
        which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise RequestError("NOT_FOUND", f"Servable not found for request: {which}")
    return models[name].use(version, spec.version_label)


def _asked(model: ServedModel, tasks: Sequence[Any]) -> list[tuple[Signature, str]]:
    """The signature and the method of each task of a MultiInference request."""
    asked: list[tuple[Signature, str]] = []
    for task in tasks:
        if not task.model_spec.name:
            raise bad("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise bad("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or inference.DEFAULT
        if any(signature.name == name for signature, _ in asked):
            raise bad(f"Duplicate evaluation of signature: {name}")
        if task.method_name not in (CLASSIFY, REGRESS):
            raise RequestError(
                "UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}"
            )
        unknown = "Requested signature not found in model graph"
        asked.append(
            (inference.example_signature(model, name, task.method_name, unknown), task.method_name)
        )
    return asked


def _write(result: Any, method: str, outputs: inference.Outputs, rows: int) -> None:
    if method == CLASSIFY:
        inference.write_classifications(result.classification_result, outputs, rows)
    else:
        inference.write_regressions(result.regression_result, outputs, rows)
