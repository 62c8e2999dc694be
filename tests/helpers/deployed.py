"""What tests of deployed runs share: a small pipeline on S3, its compiled workflow, its results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers.flows import FLOW, ROOT, SAMPLE, shell

PLANTED = ("hush-the-aws-key", "hush-the-webhook", "hush-the-file", "hush-the-variable")
"""Secrets in the environment, in files that git ignores, and in what reaches the store."""

DIGESTS = """
import json, sys
from helpers.steps_here import digests
from metaflow.datastore import FlowDataStore
from metaflow.metaflow_config import DEFAULT_DATASTORE
from metaflow.plugins import DATASTORES
(storage,) = [d for d in DATASTORES if d.TYPE == DEFAULT_DATASTORE]
storage.datastore_root = storage.get_datastore_root_from_config(print)
(end,) = FlowDataStore("Pipeline", None, storage_impl=storage).get_task_datastores(
    sys.argv[1], ["end"])
print(json.dumps(digests(end) | {"pushed": end["pushed"].path}))
"""


@dataclass(frozen=True)
class Place:
    """Where a test's pipeline lies.

    Args:
        config: Its `config.toml`.
        environment: The deploying user's environment.
        bucket: The S3 bucket with everything.
    """

    config: Path
    environment: dict[str, str]
    bucket: str

    def flow(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The flow's command line."""
        return subprocess.run(
            [sys.executable, str(FLOW), "--config", "config", str(self.config), *arguments],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def made_here(self, folder: Path) -> dict[str, object]:
        """What the steps make of it on this machine, as `results` without the pushed model."""
        return self._python("-m", "helpers.steps_here", str(self.config), str(folder))

    def results(self, run: str) -> dict[str, object]:
        """What a run left, by hash, read from its datastore in another process."""
        return self._python("-c", DIGESTS, run)

    def _python(self, *arguments: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**shell(), **self.environment, "PYTHONPATH": str(ROOT / "tests")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def make(folder: Path, bucket: str, aws: dict[str, str], deploy: str, train: str = "") -> Place:
    """A taxi pipeline with two small shards on S3.

    Args:
        folder: Where its config's folder is made.
        bucket: A new bucket.
        aws: What reaches AWS.
        deploy: Its `[deploy]` table.
        train: Further keys under `[train]`.
    """
    import boto3

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    header, *rows = SAMPLE.read_text().splitlines(keepends=True)
    for name, part in (("a", rows[:1500]), ("b", rows[1500:3000])):
        s3.put_object(Bucket=bucket, Key=f"data/{name}.csv", Body="".join([header, *part]).encode())
    home = folder / "taxi"
    home.mkdir(parents=True)
    taxi = ROOT / "flows" / "taxi"
    for name in ("model.py", "schema.pbtxt"):
        (home / name).write_bytes((taxi / name).read_bytes())
    (home / ".env").write_text("TOKEN=hush-the-file\n")
    (home / "credentials.json").write_text('{"token": "hush-the-file"}\n')
    text = (taxi / "config.toml").read_text()
    text = text.replace("../../data/taxi/trips.csv", f"s3://{bucket}/data")
    text = text.replace("[data]", "[data]\nshard_mb = 0.01")
    text = text.replace("../../pushed", f"s3://{bucket}/models")
    text = text.replace("steps = 1000\n", f"steps = 40\n{train}").replace(
        "epochs = 10", "epochs = 2"
    )
    # A model of 40 steps is no good; what counts here is that it is pushed.
    text = text[: text.index("[[evaluate.thresholds]]")] + text[text.index("[push]") :]
    (home / "config.toml").write_text(f"{text}\n[deploy]\n{deploy}\n")
    environment = {
        **aws,
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{bucket}/metaflow",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
        "METAFLOW_S3_ENDPOINT_URL": aws["AWS_ENDPOINT_URL"],
        "METAFLOW_HOME": str(folder / "home"),
        "METAFLOW_USER": "tester",
        "MFX_PLANTED": "hush-the-variable",
    }
    return Place(home / "config.toml", environment, bucket)


def container_environment(aws: dict[str, str]) -> dict[str, str]:
    """What a cluster gives its containers: the way to S3, and a role's credentials."""
    return {k: v for k, v in aws.items() if not k.endswith("_FILE")}


def stored(bucket: str) -> dict[str, bytes]:
    """Every object of a bucket, unpacked where it is compressed."""
    import gzip

    import boto3

    s3 = boto3.client("s3")
    objects = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            objects[entry["Key"]] = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    return objects
