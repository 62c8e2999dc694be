"""The flow on AWS Step Functions: what is created there, and what its Batch jobs do."""

from __future__ import annotations

import json

import pytest
from helpers import deployed
from helpers.flows import ROOT
from helpers.pods import isolated  # noqa: F401 (a fixture)  # noqa: F401 (a fixture)
from helpers.step_functions_harness import Execution

DEPLOY = """
image = "registry.example.com/mfx:1"
schedule = "30 5 * * 1-5"
secrets = ["mfx-webhook"]
environment = { MFX_TEST = "shown" }
timeouts = { train = 600 }
workflow_timeout = 1440
max_workers = 7
webhook_variable = "MFX_WEBHOOK"
"""


@pytest.fixture(scope="module")
def account(aws):
    """What docs/how-to/deploy/ has made in an account: roles, a queue, a table."""
    import boto3

    iam, batch, ec2 = (boto3.client(name) for name in ("iam", "batch", "ec2"))
    roles = {
        name: iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        for name in ("mfx-task", "mfx-execution", "mfx-step-functions", "mfx-events", "mfx-batch")
    }
    batch.create_compute_environment(
        computeEnvironmentName="mfx",
        type="MANAGED",
        state="ENABLED",
        serviceRole=roles["mfx-batch"],
        computeResources={
            "type": "FARGATE",
            "maxvCpus": 16,
            "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
            "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
        },
    )
    batch.create_job_queue(
        jobQueueName="mfx",
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "mfx"}],
    )
    boto3.client("dynamodb").create_table(
        TableName="mfx",
        KeySchema=[{"AttributeName": "pathspec", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pathspec", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return {
        "METAFLOW_BATCH_JOB_QUEUE": "mfx",
        "METAFLOW_ECS_S3_ACCESS_IAM_ROLE": roles["mfx-task"],
        "METAFLOW_ECS_FARGATE_EXECUTION_ROLE": roles["mfx-execution"],
        "METAFLOW_SFN_IAM_ROLE": roles["mfx-step-functions"],
        "METAFLOW_EVENTS_SFN_ACCESS_IAM_ROLE": roles["mfx-events"],
        "METAFLOW_SFN_DYNAMO_DB_TABLE": "mfx",
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory, aws, account):
    made = deployed.make(tmp_path_factory.mktemp("sfn"), "sfn", aws, DEPLOY)
    made.environment.update(account)
    return made


@pytest.fixture(scope="module")
def machine(place):
    done = place.flow("step-functions", "create", "--only-json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def jobs(machine):
    """Each step's Batch job."""
    states = dict(machine["States"])
    for state in machine["States"].values():
        states |= state.get("Iterator", {}).get("States", {})
    return {n: s["Parameters"] for n, s in states.items() if "batch" in s.get("Resource", "")}


def test_the_order_is_the_flows(machine):
    state, order = machine["StartAt"], []
    while state:
        order.append(state)
        state = machine["States"][state].get("Next")
    ingest, train = ["#ingest", "*ingest"], ["#train", "*train"]
    assert order == ["start", *ingest, "validate", "transform", *train, "evaluate", "push", "end"]
    assert machine["TimeoutSeconds"] == 1440 * 60
    assert machine["States"]["*ingest"]["MaxConcurrency"] == 7


def test_every_job_is_as_deploy_says(jobs, account):
    import boto3

    assert len(jobs) == 8
    for name, job in jobs.items():
        (made,) = boto3.client("batch").describe_job_definitions(
            jobDefinitions=[job["JobDefinition"]]
        )["jobDefinitions"]
        assert made["containerProperties"]["image"] == "registry.example.com/mfx:1"
        assert made["containerProperties"]["jobRoleArn"].endswith("/mfx-task")
        assert job["JobQueue"] == "mfx"
        assert job["RetryStrategy"]["Attempts"] == 3
        assert job["Timeout"]["AttemptDurationSeconds"] == 60 * (600 if name == "train" else 120)
        variables = job["ContainerOverrides"]["Environment"]
        assert {"Name": "MFX_TEST", "Value": "shown"} in variables
        resources = {
            r["Type"]: r["Value"] for r in job["ContainerOverrides"]["ResourceRequirements"]
        }
        assert float(resources["VCPU"]) == (2 if name == "train" else 1)
        assert float(resources["MEMORY"]) == 4096


def test_what_step_functions_lacks_is_refused(place, tmp_path):
    home = tmp_path / "taxi"
    home.mkdir()
    for path in place.config.parent.iterdir():
        (home / path.name).write_bytes(path.read_bytes())
    text = place.config.read_text() + 'trigger = "new_trips"\n'
    (home / "config.toml").write_text(text)
    given = deployed.Place(home / "config.toml", place.environment, place.bucket)
    done = given.flow("step-functions", "create", "--only-json")
    assert done.returncode == 1
    assert "deploy.trigger: Step Functions does not have it" in done.stderr


def test_it_is_created_with_its_schedule(place):
    """State machine and EventBridge rule, at the API."""
    import boto3

    done = place.flow("--production", "step-functions", "create")
    assert done.returncode == 0, done.stdout + done.stderr
    machines = boto3.client("stepfunctions").list_state_machines()["stateMachines"]
    assert [m["name"] for m in machines] == ["taxi.prod.Pipeline"]
    (rule,) = boto3.client("events").list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "cron(30 5 ? * MON-FRI *)"


def policy(heading: str) -> str:
    """A policy from the pages about AWS, for this account.

    moto looks at the resource of S3's actions only, so the others' are widened; and it reads the
    names of Batch's actions off their paths, in small letters.
    """
    pages = [ROOT / "docs/how-to/deploy" / f"{name}.md" for name in ("aws-batch", "step-functions")]
    text = "".join(page.read_text() for page in pages).split(f"## {heading}\n")[1]
    found = json.loads(text.split("```json\n")[1].split("```")[0])
    for statement in found["Statement"]:
        if not statement["Resource"].startswith("arn:aws:s3:"):
            statement["Resource"] = "*"
        if isinstance(statement["Action"], list):
            statement["Action"] += [action.lower() for action in statement["Action"]]
    return json.dumps(found).replace("example-mfx", "sfn")


@pytest.fixture
def only(aws, monkeypatch):
    """Keys of a user with one policy of the docs; from here on moto enforces policies."""
    import boto3
    from moto import settings

    def make(heading: str) -> dict[str, str]:
        iam = boto3.client("iam")
        name = heading.replace(" ", "-")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy(heading))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        return {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    return make


def test_the_deployers_policy_is_enough_and_no_more(place, only):
    """Everything of `create`; and nothing that it does not need, such as deleting."""
    import boto3
    from botocore.exceptions import ClientError

    keys = only("The deployer policy")
    done = place.flow("--branch", "narrow", "step-functions", "create", **keys)
    assert done.returncode == 0, done.stdout + done.stderr
    session = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
    for call in (
        lambda: session.client("s3").delete_object(Bucket="sfn", Key="metaflow/x"),
        lambda: session.client("s3").put_object(Bucket="sfn", Key="models/x", Body=b""),
        lambda: session.client("iam").list_users(),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            call()


@pytest.mark.deploy
def test_its_jobs_leave_what_the_steps_make_here(
    place,
    machine,
    aws,
    only,
    tmp_path,
    webhook,
    isolated,  # noqa: F811
    monkeypatch,
):
    """Executed with the task policy of the page on AWS Batch, and nothing else allowed."""
    import boto3
    from moto import settings

    boto3.client("secretsmanager").create_secret(
        Name="mfx-webhook", SecretString=json.dumps({"MFX_WEBHOOK": webhook.url})
    )
    keys = only("The task policy")
    session = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
    execution = Execution(
        machine,
        tmp_path,
        session.client("dynamodb"),
        deployed.container_environment(aws) | keys,
        parameters=json.dumps({"destination": f"s3://{place.bucket}/by-sfn"}),
    )
    assert execution.run(), execution.output()
    assert "Traceback" not in execution.output()
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf"))
    there = place.results(f"sfn-{execution.name}")
    assert there.pop("pushed").startswith(f"s3://{place.bucket}/by-sfn/taxi.user.tester/")
    (tmp_path / "here").mkdir()
    assert there == place.made_here(tmp_path / "here")
    (said,) = webhook.bodies
    assert json.loads(said)["text"].startswith("Pipeline/sfn-5b1e: new model at s3://sfn/by-sfn/")
    objects = deployed.stored(place.bucket)
    for secret in (*deployed.PLANTED, keys["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in execution.output()
        for key, content in objects.items():
            assert secret.encode() not in content, key
