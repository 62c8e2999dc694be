"""Read TF Serving's gRPC requests for a signature, and write the answers.

Checks and error texts are those of TF Serving's predict_util.cc, classifier.cc, regressor.cc and
multi_inference.cc. If their text does not say what is wrong, that is added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import predict_pb2

from mfx.serve.errors import RequestError
from mfx.serve.grpc import tensor_proto
from mfx.serve.model import ServedModel, Signature, Tensor

DEFAULT = "serving_default"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

Outputs = Mapping[str, np.ndarray]


def bad(message: str) -> RequestError:
    """The error of a wrong request: INVALID_ARGUMENT."""
    return RequestError("INVALID_ARGUMENT", message)


def write_spec(spec: Any, name: str, signature: str, version: int) -> None:
    """Fill the ModelSpec of an answer: which model, signature and version answered."""
    spec.name = name
    spec.signature_name = signature or DEFAULT
    spec.version.value = version


def predict_signature(model: ServedModel, name: str) -> Signature:
    """The signature of a Predict request.

    Raises:
        RequestError: FAILED_PRECONDITION, there is no such signature.
    """
    found = model.signatures.get(name or DEFAULT)
    if found is None:
        raise RequestError(
            "FAILED_PRECONDITION",
            f'Serving signature key "{name or DEFAULT}" not found. '
            f"The model has {_names(model.signatures)}.",
        )
    return found


def predict_inputs(
    signature: Signature, inputs: Mapping[str, Any], max_bytes: int
) -> tuple[dict[str, Any], int]:
    """Read the tensors of a Predict request.

    Args:
        signature: The requested signature.
        inputs: TensorProtos by name.
        max_bytes: The most bytes that all arrays may have together.

    Returns:
        For each input a list or array, and the number of rows.

    Raises:
        RequestError: INVALID_ARGUMENT, the tensors do not fit the signature.
    """
    if len(inputs) != len(signature.inputs):
        _wrong_number(set(inputs), set(signature.inputs))
    found: dict[str, Any] = {}
    rows = -1
    for number, (name, expected) in enumerate(signature.inputs.items()):
        if name not in inputs:  # Checked first, since [] adds missing keys to a message's map.
            unknown = sorted(set(inputs) - set(signature.inputs))[0]
            raise bad(
                f"input tensor alias not found in signature: {unknown}. "
                f"Inputs expected to be in the set {_names(signature.inputs)}."
            )
        proto = inputs[name]
        column = tensor_proto.column(proto, expected.dtype)
        if column is not None and expected.shape == (None,) and signature.batched:
            size, found[name] = len(column), column
        else:
            array = _array(number, name, proto, signature, max_bytes)
            max_bytes -= array.nbytes
            size, found[name] = len(array) if array.ndim else 0, array
        if signature.batched and size != rows:
            if rows >= 0:
                raise bad(
                    "Batching Run() input tensors must have equal 0th-dimension size; "
                    f"{name} has {size}, those before it {rows}"
                )
            rows = size
    if not rows:
        raise bad("the inputs have no rows")
    return found, max(rows, 1)


def predict_response(
    model: str, version: int, signature: Signature, wanted: Sequence[str], outputs: Outputs
) -> bytes:
    """Make a serialized PredictResponse with the wanted outputs."""
    response = predict_pb2.PredictResponse()
    write_spec(response.model_spec, model, signature.name, version)
    for name in wanted:
        tensor_proto.fill(response.outputs[name], outputs[name])
    return response.SerializeToString()


def wanted_outputs(signature: Signature, names: Iterable[str]) -> Sequence[str]:
    """The names of the outputs in an `output_filter`; all outputs if it is empty.

    Raises:
        RequestError: INVALID_ARGUMENT, a name is unknown or is given twice.
    """
    seen: dict[str, None] = {}
    for name in names:
        if name not in signature.outputs:
            raise bad(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {_names(signature.outputs)}."
            )
        if name in seen:
            raise bad(f"duplicate output tensor alias: {name}")
        seen[name] = None
    return list(seen or signature.outputs)


def examples_of(given: Any) -> list[bytes]:
    """The serialized tf.Examples of an Input, each with the context that they share before it.

    (Two serialized messages, one after the other, are parsed as one merged message.)

    Raises:
        RequestError: INVALID_ARGUMENT, there are no examples.
    """
    kind = given.WhichOneof("kind")
    listed = getattr(given, kind) if kind else None
    if listed is None or not listed.examples:
        raise bad("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = listed.context.SerializeToString()
    return [context + example.SerializeToString() for example in listed.examples]


def example_signature(model: ServedModel, name: str, method: str, unknown: str) -> Signature:
    """Get a signature for Classify or Regress.

    Args:
        model: The requested version.
        name: The signature's name.
        method: CLASSIFY or REGRESS.
        unknown: The begin of the message if there is no such signature.

    Raises:
        RequestError: INVALID_ARGUMENT, there is no such signature, or its inputs or outputs do not
            fit the method.
    """
    signature = model.signatures.get(name or DEFAULT)
    if signature is None:
        raise bad(f"{unknown}: {name or DEFAULT}; the model has {_names(model.signatures)}")
    inputs, outputs = signature.inputs, signature.outputs
    if len(inputs) != 1:
        raise bad(f"Expected one input Tensor. {_tell(signature)}")
    if method == CLASSIFY and len(outputs) not in (1, 2):
        raise bad(f"Expected one or two output Tensors, found {len(outputs)}. {_tell(signature)}")
    if method == REGRESS and len(outputs) != 1:
        raise bad(f"Expected one output Tensor. {_tell(signature)}")
    noun = "classification" if method == CLASSIFY else "regression"
    if "inputs" not in inputs:
        raise bad(f"No {noun} inputs found in SignatureDef: {_tell(signature)}")
    if method == CLASSIFY and not {"classes", "scores"} & set(outputs):
        raise bad(
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores". {_tell(signature)}'
        )
    if method == REGRESS and "outputs" not in outputs:
        raise bad(f"No regression outputs found in SignatureDef: {_tell(signature)}")
    if inputs["inputs"].dtype.as_datatype_enum != tensor_proto.STRING:
        wanted = tensor_proto.dtype_name(inputs["inputs"].dtype.as_datatype_enum)
        raise bad(f"Expects arg[0] to be {wanted} but string is provided")
    return signature


def write_classifications(result: Any, outputs: Outputs, rows: int) -> None:
    """Fill a ClassificationResult.

    Raises:
        RequestError: INVALID_ARGUMENT, the outputs are not of shape [rows, classes].
    """
    classes, scores = outputs.get("classes"), outputs.get("scores")
    for name, array, dtype in (("classes", classes, object), ("scores", scores, np.float32)):
        if array is None:
            continue
        if array.ndim != 2:
            raise bad(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"{_bracketed(array.shape)} of {name}"
            )
        if array.dtype != dtype:
            wanted = "DT_STRING" if dtype is object else "DT_FLOAT"
            raise bad(f"Expected {name} Tensor of {wanted}. Got: {array.dtype}")
        if len(array) != rows:
            raise bad(f"Expected {name} output batch size of {rows}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise bad(
            "Tensors class and score should match in dim_size(1). Got "
            f"{classes.shape[1]} vs. {scores.shape[1]}"
        )
    labels = None if classes is None else classes.tolist()
    numbers = None if scores is None else scores.tolist()
    for row in range(rows):
        add = result.classifications.add().classes.add
        if labels is None:
            for score in (numbers or [])[row]:
                add(score=score)
        elif numbers is None:
            for label in labels[row]:
                add(label=label)
        else:
            for label, score in zip(labels[row], numbers[row], strict=True):
                add(label=label, score=score)


def write_regressions(result: Any, outputs: Outputs, rows: int) -> None:
    """Fill a RegressionResult.

    Raises:
        RequestError: INVALID_ARGUMENT, the output is not of shape [rows] or [rows, 1].
    """
    array = outputs["outputs"]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise bad(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_bracketed(array.shape)}"
        )
    if len(array) != rows:
        raise bad(f"Input batch size did not match output batch size: {rows} vs. {len(array)}")
    if array.dtype != np.float32:
        raise bad(f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype}")
    for value in array.ravel().tolist():
        result.regressions.add(value=value)


def _wrong_number(given: set[str], expected: set[str]) -> None:
    raise bad(
        f"input size does not match signature: {len(given)}!={len(expected)} "
        f"len({_names(given)}) != len({_names(expected)}). "
        f"Sent extra: {_names(given - expected)}. "
        f"Missing but required: {_names(expected - given)}."
    )


def _array(number: int, name: str, proto: Any, signature: Signature, max_bytes: int) -> np.ndarray:
    """An input's values, after a check of its dtype and shape."""
    expected = signature.inputs[name]
    if proto.dtype != expected.dtype.as_datatype_enum:
        wanted = tensor_proto.dtype_name(expected.dtype.as_datatype_enum)
        given = tensor_proto.dtype_name(proto.dtype)
        raise bad(
            f"Expects arg[{number}] to be {wanted} but {given} is provided; "
            f"arg[{number}] is the input {name}"
        )
    try:
        shape = tensor_proto.shape_of(proto)
        _check_shape(name, shape, expected, signature.batched)
        return tensor_proto.values(proto, shape, max_bytes)
    except ValueError as error:
        raise bad(f"tensor parsing error: {name}: {error}") from None


def _check_shape(name: str, shape: tuple[int, ...], expected: Tensor, batched: bool) -> None:
    if batched and not shape:
        raise bad(f"input {name}: Batching Run() input tensors must have at least one dimension")
    sizes = expected.shape
    if sizes is not None and (
        len(sizes) != len(shape)
        or any(size not in (None, got) for size, got in zip(sizes, shape, strict=True))
    ):
        wanted = _bracketed([-1 if size is None else size for size in sizes])
        raise bad(f"input {name} has shape {_bracketed(shape)}, expected {wanted}")


def _names(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _tell(signature: Signature) -> str:
    return (
        f'Signature "{signature.name}" has inputs {_names(signature.inputs)} '
        f"and outputs {_names(signature.outputs)}"
    )


def _bracketed(shape: Iterable[int]) -> str:
    return "[" + ",".join(str(size) for size in shape) + "]"
