"""The gRPC API, asked over a socket with the stubs of tensorflow-serving-api."""

import asyncio
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
import tensorflow as tf
import uvloop
from helpers.serving_models import small_model
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from mfx.destinations import open_destination
from mfx.errors import MfxError
from mfx.serve.batching import Task
from mfx.serve.grpc import api
from mfx.serve.grpc.api import GrpcLimits
from mfx.serve.parameters import BatchingParameters
from mfx.serve.versions import ModelVersions

METHODS = "tensorflow/serving/"


@contextmanager
def served(models, limits=None, observe=None):
    """A server in its own event loop, as `host:port`."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    try:
        server = run(api.start(models, port=0, limits=limits, observe=observe))
        yield f"127.0.0.1:{server.port}"
        run(server.stop(1))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Client:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(
            address, [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        )
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, inputs, timeout=20, **spec):
        request = predict_pb2.PredictRequest(output_filter=spec.pop("output_filter", []))
        write_spec(request.model_spec, **spec)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(
                value if hasattr(value, "dtype") and hasattr(value, "float_val") else tensor(value)
            )
        return self.prediction.Predict(request, timeout=timeout)


def tensor(value):
    array = np.asarray(value)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return tf.make_tensor_proto(array)


def write_spec(spec, name="small", signature="predict", version=None, label=""):
    spec.name, spec.signature_name = name, signature
    if version is not None:
        spec.version.value = version
    if label:
        spec.version_label = label


def rows(*amounts, count=1, kind=b"ab"):
    return {"amount": list(amounts), "count": [count] * len(amounts), "kind": [kind] * len(amounts)}


def example(amount, count=1, kind=b"ab"):
    feature = {
        "amount": tf.train.Feature(float_list=tf.train.FloatList(value=[amount])),
        "count": tf.train.Feature(int64_list=tf.train.Int64List(value=[count])),
        "kind": tf.train.Feature(bytes_list=tf.train.BytesList(value=[kind])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def example_list(*examples):
    return input_pb2.Input(example_list={"examples": examples})


def refused(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


@pytest.fixture(scope="module")
def destination(tmp_path_factory):
    folder = tmp_path_factory.mktemp("destination")
    for version, offset in ((1, 0.0), (2, 100.0)):
        small_model(folder / "small" / str(version), offset)
    return folder


@pytest.fixture(scope="module")
def models(destination):
    versions = ModelVersions(
        "small",
        open_destination(str(destination), "small"),
        BatchingParameters(max_batch_size=8),
        keep=2,
        labels={"stable": 1},
        poll_seconds=60,
    )
    empty = ModelVersions(
        "empty", open_destination(str(destination), "empty"), BatchingParameters(), poll_seconds=60
    )
    versions.start()
    empty.start()
    yield {"small": versions, "empty": empty}
    versions.stop()
    empty.stop()


@pytest.fixture(scope="module")
def address(models):
    with served(models) as address:
        yield address


@pytest.fixture(scope="module")
def client(address):
    client = Client(address)
    yield client
    client.channel.close()


def test_predict(client):
    response = client.predict(rows(1.5, 2.0))
    # amount + count 1 + "ab" 2 + offset 100
    assert response.outputs["score"].float_val == [104.5, 105.0]
    assert [d.size for d in response.outputs["score"].tensor_shape.dim] == [2]
    assert response.model_spec.name == "small"
    assert response.model_spec.signature_name == "predict"
    assert response.model_spec.version.value == 2


def test_the_default_signature_is_serving_default(client):
    serialized = [example(1.0).SerializeToString()]
    response = client.predict({"examples": serialized}, signature="")
    assert response.outputs["score"].float_val == [104.0]
    assert response.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize(
    ("asked", "version", "score"),
    [({}, 2, 104), ({"version": 1}, 1, 4), ({"version": 2}, 2, 104), ({"label": "stable"}, 1, 4)],
)
def test_a_version_is_chosen(client, asked, version, score):
    response = client.predict(rows(1.0), **asked)
    assert response.model_spec.version.value == version
    assert response.outputs["score"].float_val == [score]


def test_output_filter(client):
    x = {"x": [[1.0, 2.0], [3.0, 4.0]]}
    whole = client.predict(x, signature="several").outputs
    assert set(whole) == {"twice", "text_bytes", "whole"}
    assert whole["twice"].float_val == [2, 4, 6, 8]
    assert whole["text_bytes"].string_val == [b"3.000000", b"7.000000"]
    assert whole["whole"].int64_val == [3, 7]
    some = client.predict(x, signature="several", output_filter=["whole"]).outputs
    assert set(some) == {"whole"}


def test_values_as_fields_as_content_and_repeated(client):
    fields = predict_pb2.PredictRequest().inputs
    fields["amount"].dtype = 1
    fields["amount"].float_val.append(2.5)
    fields["amount"].tensor_shape.dim.add(size=3)
    inputs = {"amount": fields["amount"], "count": np.array([1, 2, 3]), "kind": [b"", b"a", b"bb"]}
    assert client.predict(inputs).outputs["score"].float_val == [103.5, 105.5, 107.5]


def test_more_rows_than_a_batch(client):
    amounts = np.arange(1000, dtype=np.float32)
    response = client.predict(rows(*amounts))
    assert np.array_equal(response.outputs["score"].float_val, amounts + 103)


def test_classify(client):
    request = classification_pb2.ClassificationRequest(
        input=example_list(example(1.0), example(2.0))
    )
    write_spec(request.model_spec, signature="classify")
    response = client.prediction.Classify(request, timeout=20)
    found = [[(c.label, c.score) for c in row.classes] for row in response.result.classifications]
    assert found == [[("low", -104), ("high", 104)], [("low", -105), ("high", 105)]]
    assert response.model_spec.signature_name == "classify"
    assert response.model_spec.version.value == 2


def test_regress(client):
    request = regression_pb2.RegressionRequest(input=example_list(example(1.0), example(2.0)))
    write_spec(request.model_spec, signature="regress", version=1)
    response = client.prediction.Regress(request, timeout=20)
    assert [r.value for r in response.result.regressions] == [4, 5]
    assert response.model_spec.version.value == 1


def test_examples_share_a_context(client):
    context = example(7.0, kind=b"abcd")
    own = tf.train.Example()
    own.features.feature["amount"].float_list.value.append(1.0)
    request = regression_pb2.RegressionRequest()
    write_spec(request.model_spec, signature="regress")
    request.input.example_list_with_context.context.CopyFrom(context)
    request.input.example_list_with_context.examples.extend([own, tf.train.Example()])
    response = client.prediction.Regress(request, timeout=20)
    # The example's own amount is used; count 1 and "abcd" come from the context.
    assert [r.value for r in response.result.regressions] == [106, 112]


def test_multi_inference(client):
    request = inference_pb2.MultiInferenceRequest(input=example_list(example(1.0)))
    for name in ("regress", "classify"):
        task = request.tasks.add(method_name=METHODS + name)
        write_spec(task.model_spec, signature=name)
    results = client.prediction.MultiInference(request, timeout=20).results
    assert results[0].regression_result.regressions[0].value == 104
    classes = results[1].classification_result.classifications[0].classes
    assert [(c.label, c.score) for c in classes] == [("low", -104), ("high", 104)]
    assert [r.model_spec.signature_name for r in results] == ["regress", "classify"]
    assert {r.model_spec.version.value for r in results} == {2}


def test_metadata(client):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    write_spec(request.model_spec, signature="", version=1)
    response = client.prediction.GetModelMetadata(request, timeout=20)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) == {
        "predict", "serving_default", "classify", "regress", "several",
    }  # fmt: skip
    assert found.signature_def["predict"].inputs["amount"].dtype == 1
    assert found.signature_def["classify"].method_name == METHODS + "classify"
    assert (response.model_spec.name, response.model_spec.version.value) == ("small", 1)


@pytest.mark.parametrize(
    ("asked", "versions"), [({}, [2, 1]), ({"version": 1}, [1]), ({"label": "stable"}, [1])]
)
def test_status(client, asked, versions):
    request = get_model_status_pb2.GetModelStatusRequest()
    write_spec(request.model_spec, signature="", **asked)
    response = client.model.GetModelStatus(request, timeout=20)
    found = [(s.version, s.state, s.status.error_code) for s in response.model_version_status]
    assert found == [(version, 30, 0) for version in versions]


def test_status_of_what_is_not_there(client):
    request = get_model_status_pb2.GetModelStatusRequest()
    write_spec(request.model_spec, version=9)
    assert refused(lambda: client.model.GetModelStatus(request, timeout=20)) == (
        "NOT_FOUND",
        "Could not find version 9 of model small",
    )
    for name in ("unknown", "empty"):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        code, said = refused(lambda request=request: client.model.GetModelStatus(request))
        assert (code, said) == ("NOT_FOUND", f"Could not find any versions of model {name}")


def test_a_broken_version_is_told_with_its_error(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"no model")
    versions = ModelVersions("m", open_destination(str(tmp_path), "m"), BatchingParameters())
    versions.poll()
    with served({"m": versions}) as address:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        client = Client(address)
        (status,) = client.model.GetModelStatus(request, timeout=20).model_version_status
        assert (status.version, status.state, status.status.error_code) == (1, 50, 2)
        assert status.status.error_message
        code, said = refused(lambda: client.predict({}, name="m"))
        assert (code, said) == ("NOT_FOUND", "Servable not found for request: Latest(m)")
        assert health(client.channel) == 2


def test_models_cannot_be_reloaded(client):
    request = model_management_pb2.ReloadConfigRequest()
    code, said = refused(lambda: client.model.HandleReloadConfigRequest(request, timeout=20))
    assert code == "UNIMPLEMENTED"
    assert "polling" in said


def asks_for(name):
    """grpc.health.v1.HealthCheckRequest: `string service = 1`."""
    return b"\x0a" + bytes([len(name)]) + name.encode() if name else b""


def health(channel, name=""):
    """HealthCheckResponse's `ServingStatus status = 1`."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    tag, status = check(asks_for(name), timeout=20)
    assert tag == 8
    return status


def test_health(client):
    assert health(client.channel, "small") == 1
    assert health(client.channel, "empty") == 2
    assert health(client.channel) == 2
    code, said = refused(lambda: health(client.channel, "unknown"))
    assert (code, said) == ("NOT_FOUND", "unknown service unknown")


@pytest.mark.parametrize(("name", "state"), [("small", 1), ("unknown", 3)])
def test_health_is_watched(client, name, state):
    states = client.channel.unary_stream("/grpc.health.v1.Health/Watch")(asks_for(name), timeout=20)
    assert list(next(states)) == [8, state]
    states.cancel()


def test_a_change_of_health_is_told(destination, tmp_path):
    versions = ModelVersions("m", open_destination(str(tmp_path), "m"), BatchingParameters())
    with served({"m": versions}) as address:
        client = Client(address)
        states = client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=20)
        assert list(next(states)) == [8, 2]
        shutil.copytree(destination / "small" / "1", tmp_path / "m" / "1")
        versions.poll()
        assert list(next(states)) == [8, 1]
        states.cancel()
        client.channel.close()
    versions.stop()


PREDICT_ERRORS = {
    "unknown model": (
        rows(1.0),
        {"name": "other"},
        ("NOT_FOUND", "Servable not found for request: Latest(other)"),
    ),
    "unknown version": (
        rows(1.0),
        {"version": 7},
        ("NOT_FOUND", "Servable not found for request: Specific(small, 7)"),
    ),
    "version 0": (
        rows(1.0),
        {"version": 0},
        ("NOT_FOUND", "Servable not found for request: Specific(small, 0)"),
    ),
    "unknown label": (
        rows(1.0),
        {"label": "canary"},
        ("INVALID_ARGUMENT", "Unrecognized servable version label: canary"),
    ),
    "no model": (
        rows(1.0),
        {"name": ""},
        ("INVALID_ARGUMENT", "ModelSpec has no name specified."),
    ),
    "unknown signature": (
        rows(1.0),
        {"signature": "other"},
        ("FAILED_PRECONDITION", 'Serving signature key "other" not found. The model has {'),
    ),
    "missing input": (
        {"amount": [1.0], "count": [1]},
        {},
        (
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=3 len({amount,count}) != "
            "len({amount,count,kind}). Sent extra: {}. Missing but required: {kind}.",
        ),
    ),
    "unexpected input": (
        {**rows(1.0), "more": [1.0]},
        {},
        (
            "INVALID_ARGUMENT",
            "input size does not match signature: 4!=3 len({amount,count,kind,more}) != "
            "len({amount,count,kind}). Sent extra: {more}. Missing but required: {}.",
        ),
    ),
    "misnamed input": (
        {"amount": [1.0], "count": [1], "kin": [b""]},
        {},
        (
            "INVALID_ARGUMENT",
            "input tensor alias not found in signature: kin. "
            "Inputs expected to be in the set {amount,count,kind}.",
        ),
    ),
    "wrong dtype": (
        {**rows(1.0), "amount": [b"1"]},
        {},
        ("INVALID_ARGUMENT", "Expects arg[0] to be float but string is provided"),
    ),
    "wrong width": (
        {**rows(1.0), "count": np.array([1], np.int32)},
        {},
        ("INVALID_ARGUMENT", "Expects arg[1] to be int64 but int32 is provided"),
    ),
    "another number of rows": (
        {**rows(1.0, 2.0), "kind": [b""]},
        {},
        ("INVALID_ARGUMENT", "Batching Run() input tensors must have equal 0th-dimension size"),
    ),
    "no rows": (
        {"amount": tf.make_tensor_proto([], tf.float32), "count": tf.make_tensor_proto([], "int64"),
         "kind": tf.make_tensor_proto([], tf.string)},
        {},
        ("INVALID_ARGUMENT", "the inputs have no rows"),
    ),
    "scalar": (
        {**rows(1.0), "amount": 1.0},
        {},
        ("INVALID_ARGUMENT", "input amount: Batching Run() input tensors must have at least"),
    ),
    "wrong rank": (
        {**rows(1.0), "amount": [[1.0]]},
        {},
        ("INVALID_ARGUMENT", "input amount has shape [1,1], expected [-1]"),
    ),
    "wrong size": (
        {"x": [[1.0, 2.0, 3.0]]},
        {"signature": "several"},
        ("INVALID_ARGUMENT", "input x has shape [1,3], expected [-1,2]"),
    ),
    "unknown output": (
        rows(1.0),
        {"output_filter": ["scores"]},
        (
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: scores "
            "Outputs expected to be in the set {score}.",
        ),
    ),
    "an output twice": (
        rows(1.0),
        {"output_filter": ["score", "score"]},
        ("INVALID_ARGUMENT", "duplicate output tensor alias: score"),
    ),
    "not an Example": (
        {"examples": [b"no example"]},
        {"signature": "serving_default"},
        ("INVALID_ARGUMENT", ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PREDICT_ERRORS)
def test_a_wrong_predict_request_is_told_what_is_wrong(client, case):
    inputs, spec, (code, said) = PREDICT_ERRORS[case]
    found = refused(lambda: client.predict(inputs, **spec))
    assert found[0] == code
    assert found[1].startswith(said)
    assert client.predict(rows(1.0)).outputs["score"].float_val == [104.0]


def malformed(**fields):
    amount = predict_pb2.PredictRequest().inputs["amount"]
    amount.dtype = 1
    size = fields.pop("size")
    amount.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        if name == "tensor_content":
            amount.tensor_content = value
        else:
            getattr(amount, name).extend(value)
    return amount


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"size": 1, "tensor_content": b"123"}, "tensor_content of 3 bytes for 1 values of float"),
        ({"size": 1, "float_val": [1, 2]}, "2 values for shape [1]"),
        ({"size": -1, "float_val": [1]}, "its shape is not fully known"),
        ({"size": 10**12, "float_val": [1]}, "shape [1000000000000] takes more than"),
    ],
)
def test_a_malformed_tensor_is_refused(client, fields, said):
    code, found = refused(lambda: client.predict({**rows(1.0), "amount": malformed(**fields)}))
    assert code == "INVALID_ARGUMENT"
    assert found.startswith(f"tensor parsing error: amount: {said}")


def test_bytes_that_are_no_request(client):
    send = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refused(lambda: send(b"\xff\xff\xff", timeout=20)) == (
        "INVALID_ARGUMENT",
        "not a tensorflow.serving.PredictRequest",
    )
    assert refused(lambda: send(b"", timeout=20)) == ("INVALID_ARGUMENT", "Missing ModelSpec")


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_limits_hold_for_what_a_packed_message_unpacks_to(models, how):
    def asked(client, kind):
        request = predict_pb2.PredictRequest()
        write_spec(request.model_spec, name="small", signature="predict")
        for name, value in {"amount": [1.0], "count": [1], "kind": [kind]}.items():
            request.inputs[name].CopyFrom(tensor(value))
        return client.prediction.Predict(request, timeout=20, compression=how)

    with served(models, GrpcLimits(message_bytes=1 << 20)) as address:
        client = Client(address)
        try:
            assert asked(client, b"x" * 100).outputs["score"].float_val
            with pytest.raises(grpc.RpcError) as refused:
                asked(client, b"x" * (20 << 20))
        finally:
            client.channel.close()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_services_and_messages_are_told_by_reflection(client):
    from google.protobuf import descriptor_pb2
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    name = "tensorflow.serving.PredictionService"
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=name),
    ]
    listed, described = stub.ServerReflectionInfo(iter(asked), timeout=20)
    names = {service.name for service in listed.list_services_response.service}
    assert {name, "tensorflow.serving.ModelService"} <= names
    file = descriptor_pb2.FileDescriptorProto.FromString(
        described.file_descriptor_response.file_descriptor_proto[0]
    )
    methods = {method.name for service in file.service for method in service.method}
    assert {"Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"} <= methods


def test_an_unknown_method(client):
    send = client.channel.unary_unary("/tensorflow.serving.PredictionService/Guess")
    assert refused(lambda: send(b"", timeout=20))[0] == "UNIMPLEMENTED"


def test_a_long_name_does_not_overflow_the_header(client):
    code, said = refused(lambda: client.predict({}, name="é" * 100_000))
    assert code == "NOT_FOUND"
    assert said.startswith("Servable not found for request: Latest(é")


def classify(client, given, signature):
    request = classification_pb2.ClassificationRequest(input=given)
    write_spec(request.model_spec, signature=signature)
    return client.prediction.Classify(request, timeout=20)


def regress(client, given, signature):
    request = regression_pb2.RegressionRequest(input=given)
    write_spec(request.model_spec, signature=signature)
    return client.prediction.Regress(request, timeout=20)


ONE = example_list(example(1.0))


@pytest.mark.parametrize(
    ("ask", "given", "signature", "said"),
    [
        (classify, input_pb2.Input(), "classify", "Input is empty."),
        (regress, example_list(), "regress", "Input is empty."),
        (classify, ONE, "other", "No signature was found with the name: other"),
        (classify, ONE, "predict", "Expected one input Tensor."),
        (classify, ONE, "several", "Expected one or two output Tensors, found 3."),
        (classify, ONE, "", "No classification inputs found in SignatureDef: "),
        (classify, ONE, "regress", "Expected classification signature outputs to contain"),
        (regress, ONE, "other", "No signature was found with the name: other"),
        (regress, ONE, "classify", "Expected one output Tensor."),
        (regress, ONE, "", "No regression inputs found in SignatureDef: "),
    ],
)
def test_a_wrong_classify_or_regress_request(client, ask, given, signature, said):
    code, found = refused(lambda: ask(client, given, signature))
    assert code == "INVALID_ARGUMENT"
    assert found.startswith(said)


def test_requests_without_a_model(client):
    for call, request in (
        (client.prediction.Predict, predict_pb2.PredictRequest()),
        (client.prediction.Classify, classification_pb2.ClassificationRequest()),
        (client.prediction.Regress, regression_pb2.RegressionRequest()),
        (client.prediction.GetModelMetadata, get_model_metadata_pb2.GetModelMetadataRequest()),
        (client.model.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()),
    ):
        assert refused(lambda call=call, request=request: call(request, timeout=20)) == (
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        )


@pytest.mark.parametrize(
    ("tasks", "code", "said"),
    [
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ([("small", "regress", "regress"), ("", "classify", "classify")], "INVALID_ARGUMENT",
         "Found ModelSpec with an empty model name."),
        ([("small", "regress", "regress"), ("empty", "classify", "classify")], "INVALID_ARGUMENT",
         "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
        ([("small", "regress", "regress")] * 2, "INVALID_ARGUMENT",
         "Duplicate evaluation of signature: regress"),
        ([("small", "other", "regress")], "INVALID_ARGUMENT",
         "Requested signature not found in model graph: other"),
        ([("small", "predict", "predict")], "UNIMPLEMENTED",
         "Unsupported signature method_name: tensorflow/serving/predict"),
    ],
)  # fmt: skip
def test_a_wrong_multi_inference_request(client, tasks, code, said):
    request = inference_pb2.MultiInferenceRequest(input=ONE)
    for name, signature, method in tasks:
        write_spec(
            request.tasks.add(method_name=METHODS + method).model_spec, name, signature=signature
        )
    found = refused(lambda: client.prediction.MultiInference(request, timeout=20))
    assert found[0] == code
    assert found[1].startswith(said)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),
        (["graph"], "Metadata field graph is not supported"),
    ],
)
def test_a_wrong_metadata_request(client, fields, said):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    write_spec(request.model_spec)
    found = refused(lambda: client.prediction.GetModelMetadata(request, timeout=20))
    assert found == ("INVALID_ARGUMENT", said)


def test_many_threads_get_their_own_answers(address):
    def ask(number):
        client = Client(address)
        wrong = []
        for turn in range(40):
            amount = float(1000 * number + turn)
            many = 1 + turn % 3
            version = 1 + turn % 2
            found = client.predict(rows(*[amount] * many, count=number), version=version)
            expected = [amount + number + 2 + (100 if version == 2 else 0)] * many
            if list(found.outputs["score"].float_val) != expected:
                wrong.append((found, expected))
            if found.model_spec.version.value != version:
                wrong.append((found, version))
        client.channel.close()
        return wrong

    with ThreadPoolExecutor(32) as pool:
        assert [wrong for wrong in pool.map(ask, range(32)) if wrong] == []


@contextmanager
def stuck(models):
    """Stop the predict signature of version 2 from taking tasks; return its queue."""
    with models["small"].use() as model:
        entered, leave = threading.Event(), threading.Event()

        class Blocking:
            def done(self, tasks):
                entered.set()
                leave.wait(30)

        inputs = {"amount": [1.0], "count": [1], "kind": [b""]}
        model.submit("predict", Task(inputs, 1, Blocking()))
        assert entered.wait(10)
        try:
            yield model._batchers["predict"]._queue
        finally:
            leave.set()


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_request_past_its_deadline_is_not_run(models, client):
    with stuck(models) as queue:
        started = time.monotonic()
        code, _ = refused(lambda: client.predict(rows(1.0), timeout=0.3))
        assert (code, time.monotonic() - started < 5) == ("DEADLINE_EXCEEDED", True)
        until(lambda: [task.given_up for task in queue] == [True])
    assert client.predict(rows(1.0)).outputs["score"].float_val == [104.0]


def test_a_cancelled_request_is_not_run(models, client):
    request = predict_pb2.PredictRequest()
    write_spec(request.model_spec)
    for name, value in rows(1.0).items():
        request.inputs[name].CopyFrom(tensor(value))
    with stuck(models) as queue:
        call = client.prediction.Predict.future(request)
        until(lambda: len(queue) == 1)
        call.cancel()
        until(lambda: queue[0].given_up)
    assert client.predict(rows(1.0)).outputs["score"].float_val == [104.0]


def test_a_full_queue_refuses(models, client):
    with ThreadPoolExecutor(64) as pool, stuck(models) as queue:
        # A batch has 8 rows, the queue 64 batches: 64 requests of 8 rows may wait, but not 65.
        waiting = [pool.submit(client.predict, rows(*[1.0] * 8)) for _ in range(64)]
        until(lambda: len(queue) == 64)
        code, said = refused(lambda: client.predict(rows(1.0)))
    assert code == "UNAVAILABLE"
    assert "queue" in said
    assert all(len(one.result().outputs["score"].float_val) == 8 for one in waiting)


def test_memory_is_bounded(models):
    limits = GrpcLimits(message_bytes=100_000, requests=2, total_bytes=150_000)
    with served(models, limits) as address:
        client = Client(address)
        code, said = refused(lambda: client.predict(rows(1.0, kind=b"x" * 200_000)))
        assert (code, "larger than max" in said) == ("RESOURCE_EXHAUSTED", True)
        big = rows(1.0, kind=b"x" * 90_000)
        with ThreadPoolExecutor(2) as pool, stuck(models) as queue:
            held = [pool.submit(client.predict, big)]
            until(lambda: len(queue) == 1)
            code, said = refused(lambda: client.predict(big))
            assert (code, said) == ("RESOURCE_EXHAUSTED", "too many large requests at once")
            held.append(pool.submit(admitted, client, rows(1.0)))
            until(lambda: len(queue) == 2)
            code, said = refused(lambda: client.predict(rows(1.0)))
            assert (code, "oncurrent" in said) == ("RESOURCE_EXHAUSTED", True)
        assert [len(call.result().outputs["score"].float_val) for call in held] == [1, 1]
        assert admitted(client, big).outputs["score"].float_val == [90102.0]
        client.channel.close()


def admitted(client, inputs):
    """An answer. (A request still counts for a moment after its answer has come.)"""
    end = time.monotonic() + 10
    while True:
        try:
            return client.predict(inputs)
        except grpc.RpcError as error:
            if "oncurrent" not in error.details() or time.monotonic() > end:
                raise
            time.sleep(0.01)


def test_small_messages_of_large_shapes_are_bounded_too(models):
    def repeated(size):
        fields = predict_pb2.PredictRequest().inputs
        for name, dtype in (("amount", 1), ("count", 9), ("kind", 7)):
            fields[name].dtype = dtype
            fields[name].tensor_shape.dim.add(size=size)
        return dict(fields)

    # 4 + 8 + 8 bytes per row.
    limits = GrpcLimits(message_bytes=20_000, total_bytes=25_000)
    with served(models, limits) as address, ThreadPoolExecutor(1) as pool:
        client = Client(address)
        code, said = refused(lambda: client.predict(repeated(1001)))
        assert (code, "takes more than" in said) == ("INVALID_ARGUMENT", True)
        with stuck(models) as queue:
            held = pool.submit(client.predict, repeated(500))
            until(lambda: len(queue) == 1)
            assert held.running()
            code, said = refused(lambda: client.predict(repeated(1000)))
        assert (code, said) == ("RESOURCE_EXHAUSTED", "too many large requests at once")
        assert held.result().outputs["score"].float_val == [100.0] * 500
        assert client.predict(repeated(1000)).outputs["score"].float_val == [100.0] * 1000
        client.channel.close()


def test_answers_are_observed(models):
    seen = []
    with served(models, observe=lambda *told: seen.append(told)) as address:
        client = Client(address)
        client.predict(rows(1.0))
        refused(lambda: client.predict(rows(1.0), name="made up"))
        refused(lambda: client.predict({}))
        regress(client, ONE, "regress")
        with stuck(models):
            refused(lambda: client.predict(rows(1.0), timeout=0.2))
            until(lambda: len(seen) == 5)
        client.channel.close()
    assert [told[:3] for told in seen] == [
        ("small", "Predict", "OK"),
        ("", "Predict", "NOT_FOUND"),
        ("small", "Predict", "INVALID_ARGUMENT"),
        ("small", "Regress", "OK"),
        ("small", "Predict", "DEADLINE_EXCEEDED"),
    ]
    assert all(0 < seconds < 20 for *_, seconds in seen)


def test_a_taken_port_is_told(models, address):
    port = int(address.split(":")[1])

    async def start():
        await api.start(models, port=port)

    with pytest.raises(MfxError, match=f"gRPC cannot listen at 127.0.0.1:{port}"):
        asyncio.run(start())


def test_large_requests_and_answers(client):
    kind = b"x" * 10_000_000
    assert client.predict(rows(1.0, kind=kind)).outputs["score"].float_val == [10_000_102.0]
    amounts = np.arange(25_000, dtype=np.float32)
    response = client.predict(rows(*amounts, kind=b"x" * 20))
    assert np.array_equal(response.outputs["score"].float_val, amounts + 121)
    code, said = refused(lambda: client.predict({**rows(1.0, kind=kind), "count": [b"1"]}))
    assert (code, said.split(";")[0]) == (
        "INVALID_ARGUMENT",
        "Expects arg[1] to be int64 but string is provided",
    )
    many = example_list(*[example(1.0, kind=b"x" * 50)] * 4000)
    assert [r.value for r in regress(client, many, "regress").result.regressions] == [152] * 4000
