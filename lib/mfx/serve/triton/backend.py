"""The code that runs inside Triton: a model for its Python backend, which serves one version.

Triton's stub imports the generated `model.py`, which only imports this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfx.serve.batching import merged, same_width
from mfx.serve.model import ServedModel, first_lines
from mfx.serve.parameters import BatchingParameters
from mfx.serve.server import warm_up
from mfx.serve.triton import repository


class TritonPythonModel:
    """One version of a model, with the interface of Triton's Python backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version and warm it up.

        Args:
            args: Triton's arguments: `model_config` (JSON), `model_repository`, `model_version`.

        Raises:
            RuntimeError: It cannot be loaded or warmed up, or does not fit the configuration.
        """
        import triton_python_backend_utils as utils  # Triton's module; only its stub has it.

        self._utils = utils
        try:
            self._load(json.loads(args["model_config"]), args)
        except Exception as error:
            # One line: Triton sends it to the process that asked to load the version.
            raise RuntimeError(first_lines(str(error))) from None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests in one run. If that fails, run each alone, so that each has its error."""
        try:
            return self._answer(requests)
        except Exception as error:
            if len(requests) > 1:
                return [answer for request in requests for answer in self.execute([request])]
            said = self._utils.TritonError(first_lines(str(error)))
            return [self._utils.InferenceResponse(error=said)]

    def finalize(self) -> None:
        """Free the memory."""
        self._model.close()

    def _load(self, config: dict[str, Any], args: dict[str, str]) -> None:
        version = args["model_version"]
        parameters = {key: given["string_value"] for key, given in config["parameters"].items()}
        sizes = tuple(json.loads(parameters[repository.ALLOWED_BATCH_SIZES]))
        self._parameters = BatchingParameters(config["max_batch_size"], allowed_batch_sizes=sizes)
        folder = Path(args["model_repository"], version, repository.SAVED_MODEL)
        self._model = ServedModel(folder, int(version), self._parameters)
        self._signature = self._model.signature(parameters[repository.SIGNATURE])
        repository.check_fits(config, self._signature)
        warm_up(self._model, folder)

    def _answer(self, requests: Sequence[Any]) -> list[Any]:
        inputs, rows = {}, []
        for name, tensor in self._signature.inputs.items():
            pieces = [self._values(request, name) for request in requests]
            rows = [len(piece) for piece in pieces]
            if name in self._signature.fillings:
                filling = self._signature.fillings[name]
                pieces = same_width(pieces, pieces[0].dtype, filling)
            padding = self._parameters.padded(sum(rows)) - sum(rows)
            values = merged(pieces, pieces[0].dtype, padding)
            # A tensor of shape [rows] comes as [rows, 1].
            inputs[name] = values.ravel() if tensor.shape and len(tensor.shape) == 1 else values
        outputs = self._model.run(self._signature.name, inputs)
        return [self._response(outputs, part) for part in _parts(rows)]

    def _values(self, request: Any, name: str) -> np.ndarray:
        return self._utils.get_input_tensor_by_name(request, name).as_numpy()

    def _response(self, outputs: dict[str, np.ndarray], part: slice) -> Any:
        tensors = []
        for name, array in outputs.items():
            values = array[part]
            values = values.reshape(len(values), 1) if values.ndim == 1 else values
            tensors.append(self._utils.Tensor(name, np.ascontiguousarray(values)))
        return self._utils.InferenceResponse(output_tensors=tensors)


def _parts(rows: Sequence[int]) -> Iterator[slice]:
    """Yield the part of the batch that each request's rows have."""
    begin = 0
    for count in rows:
        yield slice(begin, begin + count)
        begin += count
