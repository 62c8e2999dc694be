"""Requests that a server answers before it takes a new version for ready, in TF Serving's form.

They travel with the model, as a TFRecord of PredictionLogs: the first run of a graph, which
compiles and allocates, is then no client's.
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
"""Where TF Serving looks for them in a version's folder."""
LIMIT = 1000
"""TF Serving does not load a version with more (`kNumWarmupRecords` in saved_model_warmup_util)."""
SIZES = (1, 2, 8, 32)
"""Rows of the requests: one alone, and some batches."""


def requests(model: Path, rows: pa.RecordBatch, name: str) -> list[PredictionLog]:
    """Requests that ask a model for rows, by each of its signatures that clients use.

    Args:
        model: The SavedModel's folder.
        rows: Raw features, of the types in `columns.types.TYPES`.
        name: The model's name on the server; no version, so that it fits any.

    Returns:
        Predict by `serving_default` and `predict` for each of SIZES, as far as there are rows; then
        one Classify and one Regress of one row. Signatures that the model lacks are left out.
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
    """Write WARMUP below `directory`; equal requests are equal bytes."""
    import tensorflow as tf

    path = directory / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            # Maps in a protobuf, as of inputs, have no order of their own.
            writer.write(log.SerializeToString(deterministic=True))
    return path


def read(directory: Path) -> Iterator[PredictionLog]:
    """The warm-up requests of the version in `directory`, in order; none if there is no file.

    Raises:
        MfxError: The file is damaged, or holds more than LIMIT.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = directory / WARMUP
    if not path.is_file():
        return
    remedy = "Push the model again, or remove the file: a model is served without it too."
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
    """Fill in what a signature takes: tf.Examples, or a tensor for each feature."""
    import tensorflow as tf

    from mfx.columns.tensors import dense_inputs
    from mfx.columns.tf_examples import serialize

    if request.model_spec.signature_name == "serving_default":
        tensors = {"examples": tf.constant(list(serialize(rows)), tf.string)}
    else:
        specs = {
            key: tf.TensorSpec([None], tf.as_dtype(info.dtype))
            for key, info in signature.inputs.items()
        }
        tensors = dense_inputs(rows, specs)
    for key, tensor in tensors.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(tensor.numpy(), tensor.dtype))


def _examples(rows: pa.RecordBatch) -> list[Any]:
    import tensorflow as tf

    from mfx.columns.tf_examples import serialize

    return [tf.train.Example.FromString(example) for example in serialize(rows)]
