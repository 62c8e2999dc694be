"""The flow on Argo Workflows: what is compiled, held to Argo's API, and what its containers do."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from helpers import deployed
from helpers.argo_harness import Workflow, without_nulls
from helpers.flows import ROOT
from helpers.pods import isolated  # noqa: F401 (a fixture)  # noqa: F401 (a fixture)

DEPLOY = """
image = "registry.example.com/mfx:1"
schedule = "30 5 * * MON-FRI"
timezone = "Europe/Paris"
trigger = "new_trips"
secrets = ["mfx-s3"]
environment = { MFX_TEST = "shown" }
retries = 1
minutes_between_retries = 0
timeouts = { train = 600 }
workflow_timeout = 1440
max_workers = 7
webhook_variable = "MFX_WEBHOOK"
"""


EVENTS = {
    "METAFLOW_ARGO_EVENTS_EVENT": "metaflow-event",
    "METAFLOW_ARGO_EVENTS_EVENT_SOURCE": "metaflow-webhook",
    "METAFLOW_ARGO_EVENTS_SERVICE_ACCOUNT": "mfx",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, aws):
    return deployed.make(tmp_path_factory.mktemp("argo"), "argo", aws, DEPLOY)


def compiled(place, url="http://127.0.0.1:9/hush-the-webhook"):
    done = place.flow("argo-workflows", "create", "--only-json", MFX_WEBHOOK=url, **EVENTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return without_nulls(json.loads(done.stdout))


@pytest.fixture(scope="module")
def template(place):
    return compiled(place)


@pytest.fixture(scope="module")
def containers(template):
    return {t["name"]: t for t in template["spec"]["templates"] if "container" in t}


def test_argos_api_takes_the_template(template):
    """Every field is one of Argo's own, of its type: what the models read they give back."""
    from hera.workflows.models import WorkflowTemplate

    read = WorkflowTemplate.model_validate(template)
    back = json.loads(read.model_dump_json(by_alias=True, exclude_none=True))
    assert _same(back, template)


def test_the_dag_is_the_flow(template):
    tasks = {
        task["name"]: task.get("depends", "")
        for t in template["spec"]["templates"]
        if "dag" in t
        for task in t["dag"]["tasks"]
    }
    assert tasks == {
        "start": "",
        "start-foreach-shards": "start.Succeeded",
        "ingest": "",
        "validate": "start-foreach-shards.Succeeded",
        "transform": "validate.Succeeded",
        "transform-foreach-candidates": "transform.Succeeded",
        "train": "",
        "evaluate": "transform-foreach-candidates.Succeeded",
        "push": "evaluate.Succeeded",
        "end": "push.Succeeded",
    }


def test_the_workflow_is_as_deploy_says(template):
    spec, notes = template["spec"], template["metadata"]["annotations"]
    assert spec["parallelism"] == 7
    assert spec["activeDeadlineSeconds"] == 1440 * 60
    assert json.loads(notes["metaflow/cron"]) == {
        "schedule": "30 5 * * MON-FRI",
        "tz": "Europe/Paris",
    }
    assert json.loads(notes["metaflow/triggers"]) == [{"name": "new_trips", "type": "event"}]
    assert notes["metaflow/project_name"] == "taxi"
    assert notes["metaflow/branch_name"] == "user.tester"


def test_every_step_is_as_deploy_says(containers):
    assert len([name for name in containers if "hook" not in name]) == 8
    for name, template in containers.items():
        if "hook" in name:
            continue
        container = template["container"]
        assert container["image"] == "registry.example.com/mfx:1"
        assert container["envFrom"] == [{"secretRef": {"name": "mfx-s3"}}]
        assert {"name": "MFX_TEST", "value": "shown"} in container["env"]
        assert template["retryStrategy"]["limit"] == (2 if name == "train" else 1)
        assert template["activeDeadlineSeconds"] == 60 * (600 if name == "train" else 120)


def test_train_has_its_own_resources(containers):
    requests = containers["train"]["container"]["resources"]["requests"]
    assert (requests["cpu"], requests["memory"]) == ("2.0", "4096.0M")
    assert containers["ingest"]["container"]["resources"]["requests"]["cpu"] in ("1", "1.0")


def test_gpus_are_asked_for_in_train_alone(tmp_path, aws):
    place = deployed.make(tmp_path, "gpus", aws, 'notify = ["pushed"]')
    text = place.config.read_text().replace("gpu = 0", "gpu = 2")
    place.config.write_text(text)
    found = {
        t["name"]: t["container"]["resources"]["limits"].get("nvidia.com/gpu", "0")
        for t in compiled(place)["spec"]["templates"]
        if "container" in t and "resources" in t["container"]
    }
    assert {name for name, count in found.items() if int(count)} == {"train"}
    assert found["train"] == "2"


def test_what_containers_cannot_see_is_refused(place, tmp_path):
    """The flow's own config, whose data lies in the checkout."""
    given = deployed.Place(ROOT / "flows" / "taxi" / "config.toml", place.environment, "")
    done = given.flow("argo-workflows", "create", "--only-json")
    assert done.returncode == 1
    assert "data.path: '../../data/taxi/trips.csv' is on this machine" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def package(place, template):
    """The code package that was uploaded: content by name."""
    import boto3

    environment = {
        e["name"]: e.get("value")
        for t in template["spec"]["templates"]
        if t["name"] == "start"
        for e in t["container"]["env"]
    }
    key = environment["METAFLOW_CODE_URL"].removeprefix(f"s3://{place.bucket}/")
    body = boto3.client("s3").get_object(Bucket=place.bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}


def test_the_code_package_holds_our_modules_the_pipelines_files_and_metaflow_alone(package):
    library = ROOT / "lib" / "mfx"
    files = [path for path in library.rglob("*.*") if path.suffix != ".pyc"]
    mfx = {path.relative_to(library).as_posix() for path in files}
    assert {n for n in package if n.startswith(".mf_code/mfx/")} == {
        f".mf_code/mfx/{name}" for name in mfx
    }
    other = {n for n in package if not n.startswith((".mf_code/", ".mf_meta/"))}
    flows = ROOT / "flows"
    assert other == {
        ".mf_install",
        "mfx_home/model.py",
        "mfx_home/schema.pbtxt",
        *(path.relative_to(flows).as_posix() for path in flows.rglob("*.py")),
    }
    libraries = {n.split("/")[1] for n in package if n.startswith(".mf_code/")}
    assert libraries <= {"mfx", "metaflow", "metaflow_extensions"}


def test_the_code_package_holds_the_checked_config(package, place):
    (name,) = [n for n in package if n.startswith(".mf_meta/") and b"user_configs" in package[n]]
    found = json.loads(package[name])["user_configs"]["config"][0]
    assert found["data"]["path"] == f"s3://{place.bucket}/data"
    assert found["deploy"]["webhook_variable"] == "MFX_WEBHOOK"


def test_the_code_package_holds_no_secret(package):
    for name, content in package.items():
        for secret in deployed.PLANTED:
            assert secret.encode() not in content, name


@pytest.fixture(scope="module")
def executed(place, aws, tmp_path_factory, isolated):  # noqa: F811
    """One run of the template's containers, pushing to a place of its own."""
    secrets = {"mfx-s3": deployed.container_environment(aws)}
    workflow = Workflow(
        compiled(place),
        tmp_path_factory.mktemp("pods"),
        secrets,
        arguments={"destination": json.dumps(f"s3://{place.bucket}/by-argo")},
    )
    assert workflow.run(), workflow.output()
    return workflow


@pytest.mark.deploy
def test_containers_ran_in_the_dags_order(executed):
    assert [name for name, _ in executed.pods] == [
        "start",
        "ingest",
        "ingest",
        *("validate", "transform", "train", "evaluate", "push", "end"),
    ]
    assert "blessed     yes" in executed.output()
    assert "Traceback" not in executed.output()


@pytest.fixture(scope="module")
def made_here(place, tmp_path_factory):
    return place.made_here(tmp_path_factory.mktemp("here"))


@pytest.mark.deploy
def test_it_leaves_what_the_steps_make_here(executed, place, made_here):
    there = place.results(f"argo-{executed.name}")
    assert there.pop("pushed").startswith(f"s3://{place.bucket}/by-argo/taxi.user.tester/")
    assert there == made_here


@pytest.mark.deploy
def test_a_notification_that_cannot_be_sent_is_said(executed):
    assert "notification not sent: MFX_WEBHOOK is not set" in executed.output()


@pytest.mark.deploy
def test_no_secret_is_stored_or_logged(executed, place):
    """Code package, artifacts, cards, logs, checkpoints, pushed model; and what was printed."""
    objects = deployed.stored(place.bucket)
    assert any("mf.cards" in key for key in objects)
    assert any(key.endswith("task_stdout.log") for key in objects)
    for secret in deployed.PLANTED:
        assert secret not in executed.output()
        for key, content in objects.items():
            assert secret.encode() not in content, key


@pytest.mark.deploy
def test_a_failed_run_is_reported_on_the_webhook(place, aws, tmp_path, webhook, isolated):  # noqa: F811
    """Bad data: both attempts say so in one message, nothing after it runs, the webhook hears."""
    import boto3

    body = b"tips,fare\nmuch,1\n"
    boto3.client("s3").put_object(Bucket=place.bucket, Key="bad/a.csv", Body=body)
    secrets = {"mfx-s3": deployed.container_environment(aws)}
    arguments = {"data": json.dumps(f"s3://{place.bucket}/bad")}
    workflow = Workflow(compiled(place, webhook.url), tmp_path, secrets, "bad-1", arguments)
    assert not workflow.run()
    assert [name for name, _ in workflow.pods] == ["start", "ingest", "ingest"]
    assert "s3://argo/bad/a.csv, line 2, column 'tips': expected a number" in workflow.output()
    (said,) = webhook.bodies
    assert json.loads(said) == {"text": ":rotating_light: _Pipeline/argo-bad-1_ failed!"}


@pytest.mark.deploy
def test_a_step_that_is_killed_is_tried_again(place, aws, tmp_path, webhook, made_here, isolated):  # noqa: F811
    """`train` loses its first container after an epoch; the second goes on from the checkpoint."""
    secrets = {"mfx-s3": deployed.container_environment(aws) | {"MFX_WEBHOOK": webhook.url}}
    arguments = {"destination": json.dumps(f"s3://{place.bucket}/after-kill")}
    workflow = Workflow(compiled(place, webhook.url), tmp_path, secrets, "kill-1", arguments)

    def kill(step: str, attempt: int) -> None:
        if step == "train" and attempt == 0:
            _kill_when_an_epoch_is_done(tmp_path)

    workflow.before = kill
    assert workflow.run(), workflow.output()
    killed, second = (done.output for name, done in workflow.pods if name == "train")
    assert "continuing after epoch" not in killed
    assert "continuing after epoch" in second
    again = place.results("argo-kill-1")
    again.pop("pushed")
    assert again == made_here
    (said,) = webhook.bodies
    assert f"s3://{place.bucket}/after-kill/taxi.user.tester/" in json.loads(said)["text"]


def _kill_when_an_epoch_is_done(folder):
    """In the background: SIGKILL to what trains, once its first epoch is logged."""
    import os
    import signal
    import threading
    import time
    from pathlib import Path

    def watch():
        for _ in range(600):
            for log in folder.glob("*-train/work/.logs/mflog_stdout"):
                if "epoch 1/2:" in log.read_text(errors="replace"):
                    for process in Path("/proc").glob("[0-9]*"):
                        try:
                            words = (process / "cmdline").read_bytes().split(b"\0")
                        except OSError:
                            continue
                        if b"argo-kill-1" in words and b"train" in words and b"step" in words:
                            os.kill(int(process.name), signal.SIGKILL)
                    return
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()


def _same(back, given):
    """Equal, but for numbers and texts that Kubernetes takes for one another."""
    if isinstance(given, dict):
        return back.keys() == given.keys() and all(_same(back[k], given[k]) for k in given)
    if isinstance(given, list):
        return len(back) == len(given) and all(map(_same, back, given))
    return back == given or str(back) == str(given)
