"""One version of a model: a SavedModel in a TensorFlow 1 session.

A session's callable answers single rows about twice as fast as an eager signature, and TF Serving
runs models in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from mfx.columns.missing import MISSING
from mfx.serve import _private
from mfx.serve.batching import Batcher, Task
from mfx.serve.errors import RequestError
from mfx.serve.parameters import BatchingParameters

MISSING_SIGNATURE = "predict"
"""The signature that has a value for "missing"."""
NOT_SERVED = ("__saved_model_init_op", "__saved_model_train_op")
_CODES = {
    tf.errors.InvalidArgumentError: "INVALID_ARGUMENT",
    tf.errors.ResourceExhaustedError: "RESOURCE_EXHAUSTED",
    tf.errors.FailedPreconditionError: "FAILED_PRECONDITION",
    tf.errors.NotFoundError: "NOT_FOUND",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature.

    Attributes:
        dtype: The type of its values.
        shape: The size of each dimension, None if any size is allowed; the first one is the batch.
            None instead of a tuple means any rank.
    """

    dtype: tf.DType
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """A signature of a model: its inputs and outputs.

    Attributes:
        name: The signature's name.
        method: The method's name, such as `tensorflow/serving/predict`.
        inputs: The inputs, by name.
        outputs: The outputs, by name.
        definition: The SignatureDef, as GetModelMetadata returns it.
        batched: Whether the first dimension of all tensors can have any size, so that rows of
            several requests can run together.
    """

    name: str
    method: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    definition: Any = field(repr=False, compare=False)
    batched: bool = True

    @cached_property
    def fillings(self) -> dict[str, Any]:
        """For each input with lists of any length, the value that fills up shorter lists.

        Only the signature `predict` has any: it takes the value for nothing.
        """
        if self.name != MISSING_SIGNATURE or not self.batched:
            return {}
        lists = {name: each for name, each in self.inputs.items() if each.shape == (None, None)}
        return {name: MISSING[each.dtype] for name, each in lists.items() if each.dtype in MISSING}


class ServedModel:
    """A loaded version. It answers until it is closed.

    Args:
        folder: The SavedModel's folder.
        version: The version's number.
        parameters: How requests are put together into batches.

    Raises:
        tf.errors.OpError, OSError, ValueError, RuntimeError: The folder has no SavedModel that can
            be loaded.
    """

    def __init__(self, folder: Path, version: int, parameters: BatchingParameters) -> None:
        self.version = version
        graph = tf.Graph()
        # -1: operations run in the calling thread. To pass small ones to other threads costs more
        # than it gains, and several requests run at the same time anyway.
        config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=-1)
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default():
                meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
                _check_variables(self._session)
            self.signatures = _signatures(meta)
            self._batchers: dict[str, Batcher] = {}
            for name, signature in self.signatures.items():
                run = self._callable(signature.definition)
                self._batchers[name] = Batcher(
                    run,
                    _dtypes(signature),
                    parameters,
                    name,
                    signature.batched,
                    signature.fillings,
                )
        except BaseException:
            self._session.close()
            raise

    def signature(self, name: str) -> Signature:
        """The signature with this name; `serving_default` for ''.

        Raises:
            RequestError: INVALID_ARGUMENT, there is no such signature.
        """
        wanted = name or "serving_default"
        if wanted not in self.signatures:
            raise RequestError(
                "INVALID_ARGUMENT",
                f'Serving signature name: "{wanted}" not found in signature def; '
                f"the model has {', '.join(self.signatures)}",
            )
        return self.signatures[wanted]

    def submit(self, signature: str, task: Task) -> None:
        """Queue a task. Its sink is told when it is done.

        Args:
            signature: A name in `signatures`.
            task: A task with at least one row. The caller has checked that its inputs have the
                names, dtypes and shapes of the signature.

        Raises:
            RequestError: UNAVAILABLE, too many tasks are waiting already.
        """
        self._batchers[signature].submit(task)

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Run inputs alone, in this thread, and return the outputs. Used for warm-up."""
        return self._batchers[signature].run(inputs)

    def close(self) -> None:
        """Answer the submitted tasks, end the batching threads and free the memory."""
        for batcher in self._batchers.values():
            batcher.close()
        self._session.close()

    def _callable(self, definition: Any) -> Callable[..., dict[str, np.ndarray]]:
        names = sorted(definition.outputs)
        options = config_pb2.CallableOptions(
            feed=[definition.inputs[name].name for name in sorted(definition.inputs)],
            fetch=[definition.outputs[name].name for name in names],
        )
        return partial(_call, _private.callable_of(self._session, options), names)


def _check_variables(session: Any) -> None:
    """Check that all variables are restored.

    Keras' own variables may be exported twice; then only the copies that nothing reads are
    restored.
    """
    found = [op for op in session.graph.get_operations() if op.type == "VarHandleOp"]
    there = session.run([tf.raw_ops.VarIsInitializedOp(resource=op.outputs[0]) for op in found])
    missing = [op.name for op, restored in zip(found, there, strict=True) if not restored]
    if missing:
        raise RuntimeError(
            f"{len(missing)} variables are not restored in a v1 session, nor in TF Serving, "
            f"such as {missing[0]}; export the model again"
        )


def read_signatures(folder: Path) -> dict[str, Signature]:
    """A SavedModel's signatures by name, without loading it.

    Raises:
        OSError, google.protobuf.message.DecodeError: The folder has no SavedModel.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return _signatures(saved.meta_graphs[0]) if saved.meta_graphs else {}


def _call(function: Callable, names: Sequence[str], *feeds: np.ndarray) -> dict[str, np.ndarray]:
    try:
        return dict(zip(names, function(*feeds), strict=True))
    except tf.errors.OpError as error:
        code = next((c for kind, c in _CODES.items() if isinstance(error, kind)), "INTERNAL")
        raise RequestError(code, first_lines(error.message)) from None
    except UnicodeDecodeError as error:  # TensorFlow's message has the client's bytes in it.
        said = error.object.decode(errors="backslashreplace")
        raise RequestError("INVALID_ARGUMENT", first_lines(said)) from None


def first_lines(message: str) -> str:
    """The first line of TensorFlow's message that says what is wrong, without the graph's nodes."""
    lines = [line for line in message.splitlines() if line and not line.startswith("\t")]
    said = [line for line in lines if line != "Graph execution error:"]
    return said[0] if said else "the model could not be run"


def _signatures(meta: Any) -> dict[str, Signature]:
    given = sorted(meta.signature_def.items())
    return {name: _signature(name, each) for name, each in given if name not in NOT_SERVED}


def _signature(name: str, definition: Any) -> Signature:
    inputs = {key: _tensor(info) for key, info in sorted(definition.inputs.items())}
    outputs = {key: _tensor(info) for key, info in sorted(definition.outputs.items())}
    batched = all(
        tensor.shape is None or (tensor.shape and tensor.shape[0] is None)
        for tensor in (*inputs.values(), *outputs.values())
    )
    return Signature(name, definition.method_name, inputs, outputs, definition, batched)


def _tensor(info: Any) -> Tensor:
    shape = info.tensor_shape
    sizes = (
        None if shape.unknown_rank else tuple(d.size if d.size >= 0 else None for d in shape.dim)
    )
    return Tensor(tf.as_dtype(info.dtype), sizes)


def _dtypes(signature: Signature) -> dict[str, Any]:
    return {name: tensor.dtype.as_numpy_dtype for name, tensor in signature.inputs.items()}
