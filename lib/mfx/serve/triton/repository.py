"""Write Triton's model repository: `<model>/config.pbtxt` and `<model>/<version>/`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_encoding

from mfx.errors import MfxError
from mfx.serve.model import Signature, Tensor
from mfx.serve.parameters import BatchingParameters

SAVED_MODEL = "model.savedmodel"
"""The name of the SavedModel's folder, or of a link to it, in the folder of a version."""
SIGNATURE, ALLOWED_BATCH_SIZES = "signature", "allowed_batch_sizes"
"""Names of parameters in Triton's configuration."""
TYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "STRING",
}
"""Triton's types (after `TYPE_`), by TensorFlow's dtype."""
_MODEL_PY = """\
import sys

sys.path[:0] = {path}
from {package}.backend import TritonPythonModel
"""


def served_signature(signatures: Mapping[str, Signature]) -> Signature:
    """The signature that Triton serves: it can serve only one per model.

    It is `predict`, which takes named tensors; if there is none, `serving_default`.

    Raises:
        MfxError: There is neither, or Triton does not support its tensors.
    """
    found = signatures.get("predict") or signatures.get("serving_default")
    if found is None:
        raise MfxError(f"no signature predict or serving_default, only {', '.join(signatures)}")
    for name, tensor in (*found.inputs.items(), *found.outputs.items()):
        if tensor.dtype.name not in TYPES or not tensor.shape or tensor.shape[0] is not None:
            raise MfxError(
                f"signature {found.name}: {name} is {tensor.dtype.name} {tensor.shape}",
                "Triton serves tensors of numbers or strings whose first dimension is the batch.",
            )
    return found


def config(
    model: str, signature: Signature, version: int | None, batching: BatchingParameters
) -> str:
    """Triton's ModelConfig in text format.

    For clients, a tensor of shape [batch] has the shape [batch, 1], since in Triton a row has at
    least one dimension. No request waits for further requests.

    Args:
        model: The model's name.
        signature: The served signature.
        version: The served version; None for all versions in the repository.
        batching: Batching parameters. `max_enqueued_batches` is not used: with a limit for its
            queue (`max_queue_size`), this Triton lets single requests wait for half a second.
    """
    policy = "all {}" if version is None else f"specific {{ versions: [{version}] }}"
    sizes = list(batching.allowed_batch_sizes)
    lines = [
        f"name: {_text(model)}",
        'backend: "python"',
        f"max_batch_size: {batching.max_batch_size}",
        *(f"input {{ {_tensor(*each)} }}" for each in signature.inputs.items()),
        *(f"output {{ {_tensor(*each)} }}" for each in signature.outputs.items()),
        f"version_policy {{ {policy} }}",
        f"instance_group {{ kind: KIND_CPU count: {batching.num_batch_threads} }}",
        "dynamic_batching {}",
        _parameter(SIGNATURE, signature.name),
        _parameter(ALLOWED_BATCH_SIZES, json.dumps(sizes)),
    ]
    return "\n".join(lines) + "\n"


def check_fits(given: Mapping[str, Any], signature: Signature) -> None:
    """Check that a loaded version has the inputs and outputs in the configuration.

    Args:
        given: Triton's ModelConfig as JSON.
        signature: The version's signature.

    Raises:
        ValueError: It has others.
    """
    for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        stated = {t["name"]: (t["data_type"], [int(d) for d in t["dims"]]) for t in given[kind]}
        own = {name: (_type(tensor), _dims(tensor)) for name, tensor in tensors.items()}
        if stated != own:
            raise ValueError(f"its {kind}s are {own}, but other served versions have {stated}")


def link_backend(folder: Path) -> None:
    """Make a folder of backends with links to Triton's Python backend for this interpreter.

    Raises:
        MfxError: The extra is not installed, or has no backend for this version of Python.
    """
    python = folder / "python"
    python.mkdir(parents=True)
    for path in (stub(), *(home() / "backends" / "python").iterdir()):
        (python / path.name).symlink_to(path)


def write_version(folder: Path, version: int) -> Path:
    """Make a version's folder; return the path for its SavedModel."""
    # Triton's Python uses the packages of the interpreter on PATH, but ignores PYTHONPATH.
    path = [str(Path(entry).absolute()) for entry in sys.path if entry]
    place = folder / str(version)
    place.mkdir(parents=True)
    (place / "model.py").write_text(
        _MODEL_PY.format(path=path, package=__package__), encoding="utf-8"
    )
    return place / SAVED_MODEL


def stub() -> Path:
    """Triton's Python backend for this interpreter, from the `triton` extra.

    Raises:
        MfxError: The extra is not installed, or has no backend for this version of Python.
    """
    stubs = home() / "python_backend_stubs"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = stubs / version / "triton_python_backend_stub"
    if not found.is_file():
        there = ", ".join(sorted(path.name for path in stubs.iterdir()))
        raise MfxError(
            f"nvidia-pytriton has no Python backend for Python {version}, only for {there}"
        )
    return found


def home() -> Path:
    """The folder of Triton, from the `triton` extra.

    Raises:
        MfxError: The extra is not installed.
    """
    from importlib.util import find_spec

    package = find_spec("pytriton")
    if package is None or not package.submodule_search_locations:
        raise MfxError(
            "Triton is not installed",
            "Install the extra mfx[triton], on Linux: uv sync --extra triton",
        )
    return Path(next(iter(package.submodule_search_locations)), "tritonserver")


def _tensor(name: str, tensor: Tensor) -> str:
    return f"name: {_text(name)} data_type: {_type(tensor)} dims: {_dims(tensor)}"


def _text(value: str) -> str:
    """A string in protobuf's text format, which differs from JSON."""
    return f'"{text_encoding.CEscape(value, as_utf8=True)}"'


def _type(tensor: Tensor) -> str:
    return f"TYPE_{TYPES[tensor.dtype.name]}"


def _dims(tensor: Tensor) -> list[int]:
    assert tensor.shape is not None
    return [-1 if size is None else size for size in tensor.shape[1:]] or [1]


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: {_text(value)} }} }}'
