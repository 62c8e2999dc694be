"""The `[deploy]` table as Metaflow's decorators and options."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers.flows import ROOT, call_flow

from mfx import config
from mfx.config import Deploy
from mfx.deploy import decorators
from mfx.deploy.decorators import BATCH, KUBERNETES
from mfx.errors import MfxError


@pytest.mark.parametrize(
    ("line", "environment", "expected"),
    [
        ("run", {}, None),
        ("run --tag create", {}, None),
        ("argo-workflows create", {}, KUBERNETES),
        ("--datastore s3 argo-workflows --name x create --only-json", {}, KUBERNETES),
        ("step-functions create", {}, BATCH),
        ("argo-workflows trigger", {}, None),
        ("step train", {"METAFLOW_KUBERNETES_WORKLOAD": "1"}, KUBERNETES),
        ("step train", {"AWS_BATCH_JOB_ID": "b"}, BATCH),
        ("--datastore s3 kubernetes step train {}", {}, KUBERNETES),
        ("batch step train", {}, BATCH),
        ("run --with kubernetes", {}, None),
        ("batch list", {}, None),
    ],
)
def test_where_a_process_deploys_to_or_runs(line, environment, expected):
    assert decorators.platform(line.split(), environment) == expected
    assert decorators.is_creating(line.split()) == ("create" in line and "tag" not in line)


@pytest.mark.parametrize(
    ("line", "environment", "expected"),
    [
        ("argo-workflows trigger", {}, True),
        ("init", {"ARGO_WORKFLOW_TEMPLATE": "t", "METAFLOW_KUBERNETES_WORKLOAD": "1"}, True),
        ("step train", {"SFN_STATE_MACHINE": "s", "AWS_BATCH_JOB_ID": "b"}, True),
        ("run", {}, False),
        # A container of `run --with …`: its run has no branch and must not push to one.
        ("step push", {"METAFLOW_KUBERNETES_WORKLOAD": "1"}, False),
        ("step push", {"AWS_BATCH_JOB_ID": "b"}, False),
    ],
)
def test_only_what_was_deployed_has_a_branch(line, environment, expected):
    assert decorators.is_deployed(line.split(), environment) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run", []),
        ("run --with retry", []),
        ("--with kubernetes show", []),
        (
            "--datastore s3 run --with kubernetes",
            ['kubernetes:image=i:1,cpu=1,memory=4096,disk=10240,secrets=["s3"]'],
        ),
        (
            "resume --with=kubernetes:image=mine,cpu=4",
            ['kubernetes:image=mine,cpu=4,memory=4096,disk=10240,secrets=["s3"]'],
        ),
        ("--with batch:memory=9 run", ["batch:memory=9,image=i:1,cpu=1"]),
    ],
)
def test_a_run_with_containers_takes_what_the_command_line_leaves_open(line, expected):
    given = Deploy(image="i:1", secrets=["s3"])
    assert list(decorators.remote_steps(given, line.split())) == expected


@pytest.mark.parametrize("where", [KUBERNETES, BATCH])
def test_a_run_with_containers_starts_them_from_the_image(where, s3, tmp_path):
    """Metaflow's own command for the first container; there is nothing here to start it on."""
    taxi = ROOT / "flows" / "taxi"
    for name in ("model.py", "schema.pbtxt"):
        shutil.copy(taxi / name, tmp_path)
    text = (taxi / "config.toml").read_text() + '\n[deploy]\nimage = "example.com/mfx:1"\n'
    (tmp_path / "config.toml").write_text(text)
    result = call_flow(
        tmp_path,
        *("--config", "config", str(tmp_path / "config.toml"), "--datastore", "s3"),
        *("run", "--with", where),
        METAFLOW_DATASTORE_SYSROOT_S3=f"s3://{s3.bucket}/metaflow",
        METAFLOW_BATCH_JOB_QUEUE="none",
        KUBECONFIG="/none",
        METAFLOW_DEBUG_SUBCOMMAND="1",
    )
    assert result.code == 1
    assert re.findall(rf" {where} step start .* --image (\S+) ", result.output) == [
        "example.com/mfx:1"
    ]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 5 * * *", "30 5 * * ? *"),
        ("*/15 * * * *", "*/15 * * * ? *"),
        ("0 0 1 1,7 *", "0 0 1 1,7 ? *"),
        ("0 6 * * 1-5", "0 6 ? * MON-FRI *"),
        ("0 6 * * 0", "0 6 ? * SUN *"),
        ("0 6 * * 7", "0 6 ? * SUN *"),
        ("0 6 * * mon,3", "0 6 ? * MON,WED *"),
        ("0 6 * * 1-5/2", "0 6 ? * MON-FRI/2 *"),
    ],
)
def test_cron_for_eventbridge(cron, expected):
    assert decorators.aws_cron(cron) == expected


def test_a_schedule_by_both_kinds_of_day_is_refused_for_eventbridge():
    with pytest.raises(MfxError, match="a day of month and a day of week"):
        decorators.aws_cron("0 6 1 * MON")


def test_flow_decorators():
    given = Deploy(schedule="30 5 * * 1", timezone="Europe/Paris", trigger="new_data")
    argo = {"cron": "30 5 * * 1", "timezone": "Europe/Paris"}
    assert dict(decorators.flow_decorators(given, KUBERNETES)) == {
        "schedule": argo,
        "trigger": {"event": "new_data"},
    }
    assert dict(decorators.flow_decorators(given, BATCH))["schedule"]["cron"] == "30 5 ? * MON *"
    assert list(decorators.flow_decorators(Deploy(), None)) == []


def test_step_decorators():
    given = Deploy(image="i:1", secrets=["s3"], timeouts={"train": 600}, environment={"A": "b"})
    argo = dict(decorators.step_decorators(given, KUBERNETES, "ingest"))
    resources = {"image": "i:1", "cpu": 1, "memory": 4096}
    assert argo == {
        "kubernetes": {**resources, "disk": 10240, "secrets": ["s3"]},
        "retry": {"times": 2, "minutes_between_retries": 2},
        "timeout": {"minutes": 120},
        "environment": {"vars": {"A": "b"}},
    }
    batch = dict(decorators.step_decorators(given, BATCH, "train"))
    assert batch["batch"] == resources
    assert batch["secrets"] == {"sources": ["aws-secrets-manager.s3"]}
    assert batch["timeout"] == {"minutes": 600}


def test_options_of_create():
    given = Deploy(max_workers=3, workflow_timeout=90, webhook_variable="HOOK")
    prefix = "METAFLOW_ARGO_WORKFLOWS_CREATE_"
    assert decorators.create_options(given, KUBERNETES, True, {"HOOK": "https://h"}) == {
        f"{prefix}MAX_WORKERS": "3",
        f"{prefix}WORKFLOW_TIMEOUT": "5400",
        f"{prefix}NOTIFY_ON_ERROR": "true",
        f"{prefix}NOTIFY_SLACK_WEBHOOK_URL": "https://h",
    }
    assert decorators.create_options(given, BATCH, False, {}) == {
        "METAFLOW_STEP_FUNCTIONS_CREATE_MAX_WORKERS": "3",
        "METAFLOW_STEP_FUNCTIONS_CREATE_WORKFLOW_TIMEOUT": "5400",
    }


def test_failures_cannot_be_reported_without_the_webhooks_url():
    with pytest.raises(MfxError, match="HOOK is not set"):
        decorators.create_options(Deploy(webhook_variable="HOOK"), KUBERNETES, True, {})
    quiet = Deploy(webhook_variable="HOOK", notify=["pushed"])
    assert list(decorators.create_options(quiet, KUBERNETES, True, {})) == [
        "METAFLOW_ARGO_WORKFLOWS_CREATE_MAX_WORKERS"
    ]


def test_no_step_tries_to_send_events_that_nobody_takes():
    options = decorators.create_options(Deploy(), KUBERNETES, False, {})
    assert options["METAFLOW_ARGO_WORKFLOWS_CREATE_AUTO_EMIT_ARGO_EVENTS"] == "false"


@pytest.fixture
def remote(settings):
    return settings.override(data__path="s3://b/data", push__destination="/mnt/models")


def test_paths_that_containers_see_are_accepted(remote):
    decorators.check(remote, KUBERNETES)


@pytest.mark.parametrize(
    ("change", "where", "expected"),
    [
        ({"data__path": "../../data/taxi"}, KUBERNETES, r"data\.path: '\.\./\.\./data/taxi'"),
        ({"push__destination": "pushed"}, BATCH, r"push\.destination: 'pushed' is on this"),
        ({"pipeline__module": "../model.py"}, KUBERNETES, r"pipeline\.module: .* outside"),
        ({"schema__path": "/schema.pbtxt"}, KUBERNETES, r"schema\.path: .* outside"),
        ({"deploy__trigger": "event"}, BATCH, r"deploy\.trigger: Step Functions does not have it"),
        ({"deploy__timezone": "UTC"}, BATCH, r"deploy\.timezone: Step Functions does not have it"),
    ],
)
def test_what_cannot_run_there_is_refused(remote, change, where, expected):
    with pytest.raises(MfxError, match=expected) as error:
        decorators.check(remote.override(**change), where)
    assert error.value.remedy


def test_the_files_that_the_config_names_travel(remote, tmp_path):
    taxi = ROOT / "flows" / "taxi"
    assert list(decorators.files(remote, taxi.parent)) == [
        (str(taxi / "model.py"), "mfx_home/model.py"),
        (str(taxi / "schema.pbtxt"), "mfx_home/schema.pbtxt"),
    ]
    first_run = remote.override(schema__path="none.pbtxt")
    assert [name for _, name in decorators.files(first_run, taxi.parent)] == ["mfx_home/model.py"]


def test_a_deployed_process_finds_them_in_its_code_package(remote, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(tmp_path / "pipeline.py"), "step"])
    assert remote.resolve("model.py") == str(ROOT / "flows" / "taxi" / "model.py")
    (tmp_path / ".mf_install").touch()
    assert remote.resolve("model.py") == str(tmp_path / "mfx_home" / "model.py")
    assert remote.resolve("s3://b/k") == "s3://b/k"


def test_the_project_is_named_after_the_pipeline(settings):
    assert settings.deploy.project == "taxi"
    tables = settings.to_dict() | {"pipeline": {"name": "Big-Taxi"}, "deploy": {}}
    assert config.from_dict(tables, "c").deploy.project == "big_taxi"
    assert settings.override(deploy__project="rides").deploy.project == "rides"


@pytest.mark.parametrize("schedule", ["daily", "0 6 * *", "0 6 * * 9", "0 6 * * ? *"])
def test_a_schedule_that_is_not_cron_is_one_line(settings, schedule):
    with pytest.raises(MfxError, match=r"deploy\.schedule: expected five fields of cron"):
        settings.override(deploy__schedule=schedule)


def test_a_webhooks_url_in_the_config_is_refused(settings):
    with pytest.raises(MfxError, match=r"deploy\.webhook_variable"):
        settings.override(deploy__webhook_variable="https://hooks.example.com/x")


def test_the_documented_table_is_read(tmp_path):
    """The `[deploy]` of docs/how-to/deploy/index.md, as it stands there."""
    text = (ROOT / "docs" / "how-to" / "deploy" / "index.md").read_text()
    (table,) = [part.split("```")[0] for part in text.split("```toml\n")[1:] if "[deploy]" in part]
    base = (ROOT / "flows" / "taxi" / "config.toml").read_text()
    for key in ("[data]\npath = ", "[push]\ndestination = "):
        head, _, tail = base.partition(key)
        base = head + key.split("\n")[0] + "\n" + tail.partition("\n")[2]
    documented = dict(part.split("]\n", 1) for part in ("\n" + table).split("\n[")[1:])
    for name in ("data", "push"):
        base = base.replace(f"[{name}]\n", f"[{name}]\n{documented[name]}\n")
    (tmp_path / "model.py").write_text("")
    made = config.parse(base + f"\n[deploy]\n{documented['deploy']}", Path(tmp_path, "config.toml"))
    decorators.check(made, KUBERNETES)
    assert made.deploy.image and made.deploy.schedule
