"""TensorFlow Serving can read warm-up requests; their answers are those of their rows."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.exported import BATCH, Exported, V1Session
from helpers.flows import ROOT
from helpers.warm_rows import MANY
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from mfx.errors import MfxError
from mfx.export import warmup


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Exported:
    return Exported(tmp_path_factory.mktemp("warmup"))


@pytest.fixture
def logs(exported, tmp_path) -> list[PredictionLog]:
    """Requests that were written and read again."""
    warmup.write(tmp_path, warmup.requests(exported.folder, MANY, "small"))
    return list(warmup.read(tmp_path))


def request_of(log: PredictionLog):
    return getattr(log, log.WhichOneof("log_type")).request


def test_one_kind_of_request_for_each_signature(logs):
    kinds = [(log.WhichOneof("log_type"), request_of(log).model_spec) for log in logs]
    assert {spec.name for _, spec in kinds} == {"small"}
    assert {spec.WhichOneof("version_choice") for _, spec in kinds} == {None}
    assert [(kind, spec.signature_name) for kind, spec in kinds] == [
        *[("predict_log", "serving_default"), ("predict_log", "predict")] * 4,
        ("classify_log", "classify"),
        ("regress_log", "regress"),
    ]
    assert not any(getattr(log, log.WhichOneof("log_type")).HasField("response") for log in logs)
    assert len(logs) <= 20


def test_requests_are_answered_as_the_rows_were(exported, logs):
    """As TensorFlow Serving runs them: a v1 session gets each tensor by name."""
    served = V1Session(exported.folder)
    expected = exported.expected(MANY)[:, 0]
    sizes = []
    for log in logs[:8]:
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        answers = served.ask(request.model_spec.signature_name, **inputs)["outputs"][:, 0]
        assert answers == pytest.approx(expected[: len(answers)], abs=1e-6)
        sizes.append(len(answers))
    assert sizes == [1, 1, 2, 2, 8, 8, 32, 32]
    for log in logs[8:]:
        request = request_of(log)
        examples = [e.SerializeToString() for e in request.input.example_list.examples]
        answers = served.ask(request.model_spec.signature_name, inputs=examples)
        probability = answers["scores"][0, 1] if "scores" in answers else answers["outputs"][0]
        assert probability == pytest.approx(expected[0], abs=1e-6)


def test_missing_values_are_those_of_the_raw_signature(logs):
    inputs = logs[3].predict_log.request.inputs  # the first two rows
    x = tf.make_ndarray(inputs["x"])
    assert (x[0], np.isnan(x[1])) == (1.0, True)
    examples = tf.make_ndarray(logs[2].predict_log.request.inputs["examples"])
    assert set(tf.train.Example.FromString(examples[1]).features.feature) == {"word", "y"}


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (6, [1, 2, 6])])
def test_few_rows_give_few_requests(exported, count, sizes):
    logs = warmup.requests(exported.folder, BATCH.slice(0, count), "small")
    shapes = [
        log.predict_log.request.inputs["examples"].tensor_shape.dim[0].size
        for log in logs
        if log.predict_log.request.model_spec.signature_name == "serving_default"
    ]
    assert shapes == sizes
    assert len(logs) == 2 * len(sizes) + 2 * (count > 0)


AGAIN = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from helpers.warm_rows import MANY
from mfx.export import warmup
path = warmup.write(Path(sys.argv[2]), warmup.requests(Path(sys.argv[1]), MANY, "small"))
print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_equal_rows_are_equal_bytes_in_any_process(exported, tmp_path):
    logs = warmup.requests(exported.folder, MANY, "small")
    here = hashlib.sha256(warmup.write(tmp_path / "here", logs).read_bytes()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", AGAIN, exported.folder, tmp_path / "there", ROOT / "tests"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split()[-1] == here


def test_a_model_without_the_file_has_no_requests(tmp_path):
    assert list(warmup.read(tmp_path)) == []


def damaged(path, what: str) -> None:
    written = path.read_bytes()
    if what == "cut off":
        path.write_bytes(written[:-5])
    elif what == "a flipped bit":
        path.write_bytes(written[:40] + bytes([written[40] ^ 1]) + written[41:])
    else:
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(json.dumps({"no": "PredictionLog"}).encode())


@pytest.mark.parametrize("what", ["cut off", "a flipped bit", "another record"])
def test_a_damaged_file_is_one_error(exported, tmp_path, what):
    damaged(warmup.write(tmp_path, warmup.requests(exported.folder, BATCH, "small")), what)
    with pytest.raises(MfxError, match="not a TFRecord of PredictionLogs"):
        list(warmup.read(tmp_path))


def test_no_more_than_tf_serving_takes(tmp_path):
    warmup.write(tmp_path, [PredictionLog()] * warmup.LIMIT)
    assert len(list(warmup.read(tmp_path))) == 1000
    warmup.write(tmp_path, [PredictionLog()] * (warmup.LIMIT + 1))
    with pytest.raises(MfxError, match="more than 1000 warm-up requests"):
        list(warmup.read(tmp_path))
