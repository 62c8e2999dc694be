"""Warm-up requests: a server answers them before it uses a new version.

They are stored in the model's folder in TensorFlow Serving's format, a TFRecord of PredictionLogs.
So no client has to wait for the first run of a graph, which compiles and allocates memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mfx.errors import MfxError

if TYPE_CHECKING:
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

WARMUP = "assets.extra/tf_serving_warmup_requests"
"""The file in a version's folder where TensorFlow Serving looks for them."""
LIMIT = 1000
"""The most requests. TensorFlow Serving does not load a version with more of them
(`kNumWarmupRecords` in saved_model_warmup_util)."""
SIZES = (1, 2, 8, 32)
"""How many rows the requests have."""


def requests(model: Path, rows: pa.RecordBatch, name: str) -> list[PredictionLog]:
    """Make requests with rows, for each signature that clients use.

    Args:
        model: The SavedModel's folder.
        rows: Raw features, of the types in `columns.types.TYPES`.
        name: The model's name on the server. Requests name no version, so they fit any version.

    Returns:
        Predict requests by `serving_default` and `predict` for each of SIZES (at most as many rows
        as given); then a Classify and a Regress request with one row. Signatures that the model
        does not have are left out.
    """
    from tensorflow_serving.apis import prediction_log_pb2, regression_pb2
    from tensorflow_serving.apis.classification_pb2 import ClassificationRequest

    signatures = _signatures(model)
    logs = []
    for size in sorted({min(size, rows.num_rows) for size in SIZES} - {0}):
        for signature in ("serving_default", "predict"):
            if signature in signatures:
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.model_spec.name = name
                log.predict_log.request.model_spec.signature_name = signature
                _predict(log.predict_log.request, signatures[signature], rows.slice(0, size))
                logs.append(log)
    for signature, kind in (
        ("classify", ClassificationRequest),
        ("regress", regression_pb2.RegressionRequest),
    ):
        if signature in signatures and rows.num_rows:
            request = kind(input={"example_list": {"examples": _examples(rows.slice(0, 1))}})
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            log = prediction_log_pb2.PredictionLog()
            getattr(log, f"{signature}_log").request.CopyFrom(request)
            logs.append(log)
    return logs


def write(directory: Path, logs: Iterable[PredictionLog]) -> Path:
    """Write the file WARMUP below `directory`. Equal requests give equal bytes."""
    import tensorflow as tf

    path = directory / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            # Maps in a protobuf, such as the inputs, have no fixed order.
            writer.write(log.SerializeToString(deterministic=True))
    return path


def read(directory: Path) -> Iterator[PredictionLog]:
    """The warm-up requests of the version in `directory`, in order; none if there is no file.

    Raises:
        MfxError: The file is damaged, or has more than LIMIT requests.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = directory / WARMUP
    if not path.is_file():
        return
    remedy = "Push the model again, or remove the file: a model can be served without it."
    records = tf.data.TFRecordDataset(str(path)).take(LIMIT + 1).as_numpy_iterator()
    try:
        for number, record in enumerate(records):
            if number == LIMIT:
                raise MfxError(f"{path}: more than {LIMIT} warm-up requests", remedy)
            yield PredictionLog.FromString(record)
    except (tf.errors.DataLossError, DecodeError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MfxError(f"{path}: not a TFRecord of PredictionLogs: {what}", remedy) from None


def _signatures(model: Path) -> dict[str, Any]:
    """The model's SignatureDefs by name, without loading its graph."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel.FromString((model / "saved_model.pb").read_bytes())
    return dict(saved.meta_graphs[0].signature_def)


def _predict(request: Any, signature: Any, rows: pa.RecordBatch) -> None:
    """Add the signature's inputs to a request: tf.Examples, or a tensor for each feature."""
    import tensorflow as tf

    from mfx.columns.raw_features import dense_inputs
    from mfx.columns.tf_examples import serialize

    if request.model_spec.signature_name == "serving_default":
        tensors = {"examples": tf.constant(list(serialize(rows)), tf.string)}
    else:
        specs = {
            key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype))
            for key, info in signature.inputs.items()
        }
        tensors = dense_inputs(rows, specs)
    for key, tensor in tensors.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor.numpy(), tensor.dtype))


def _examples(rows: pa.RecordBatch) -> list[Any]:
    import tensorflow as tf

    from mfx.columns.tf_examples import serialize

    return [tf.train.Example.FromString(example) for example in serialize(rows)]
