"""Where models go, and how runs execute."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from mfx.config.table import Spelled, Table, VariableName

ProjectName = Annotated[str, AfterValidator(Spelled("[a-z0-9_]+", "small letters, digits and '_'"))]
EventName = Annotated[
    str, AfterValidator(Spelled("[A-Za-z0-9_.-]+", "letters, digits, '.', '-' and '_'"))
]


class Push(Table):
    """Where blessed models go, and how they are tested before."""

    destination: str = Field(examples=["s3://example-mfx/models"])
    """A folder, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. Models go to
    `<name>/<version>/` below it, where `name` is the pipeline's. A relative path starts at the
    config's folder. The step `start` tries out whether the destination works, before the expensive
    steps. The command line's `--destination` is used instead, if given."""
    promote: Literal["auto", "manual"] = Field("auto", examples=["manual"])
    """Who puts a blessed and valid model into production: with `"auto"` the run does, with
    `"manual"` you do, by `mfx promote`."""
    keep: int | None = Field(None, ge=2, examples=[10])
    """How many versions stay at the destination after a push. Older ones are removed there, and can
    still be rolled back to. If not set, all stay. It cannot be 1: until servers have switched, they
    serve the version before."""
    replay_rows: int = Field(100, ge=1, examples=[500])
    """How many of the rows that the model was evaluated on are sent to it before it is pushed. It
    is served in a clean process, and must answer as it did when it was evaluated."""
    batch_sizes: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 8, 32, 128], min_length=1, examples=[[1, 16, 64]]
    )
    """How many rows those requests have: each size is tried, in ascending order. The server also
    fills batches up to these sizes (TensorFlow Serving's `allowed_batch_sizes`)."""
    tolerance: float = Field(1e-5, ge=0, examples=[1e-3])
    """The largest difference allowed between an answer and the prediction that was evaluated."""

    @field_validator("batch_sizes")
    @classmethod
    def _ascend(cls, value: list[int]) -> list[int]:
        if value != sorted(set(value)):
            raise ValueError("expected sizes in ascending order, each once")
        return value


class Beam(Table):
    """Where statistics, TFT's analysis and TFMA's metrics are computed.

    By default that is the step's own process.
    """

    options: list[str] = Field([], examples=[["--runner=FlinkRunner", "--flink_master=flink:8081"]])
    """Beam's pipeline options, each `--name=value` or `--name`, the runner among them. With any,
    statistics, analysis and metrics run on Beam; if empty, in the step's process, and on Beam there
    only where they must."""
    temp: str | None = Field(None, examples=["s3://bucket/beam"])
    """A folder that this machine and all workers see: an absolute path or a URL. If not set, a
    temporary one on this machine, which is right for workers on this machine."""

    @field_validator("options")
    @classmethod
    def _name_a_runner(cls, value: list[str]) -> list[str]:
        for option in value:
            if not option.startswith("--"):
                raise ValueError(f"expected '--name=value' or '--name', found {option!r}")
        if value and not any(option.startswith("--runner=") for option in value):
            raise ValueError("expected a runner among them, such as '--runner=PortableRunner'")
        return value

    @field_validator("temp")
    @classmethod
    def _is_absolute(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith("/") or "://" in value):
            raise ValueError("expected an absolute path or URL")
        return value


class Deploy(Table):
    """How deployed runs execute, on Argo Workflows or Step Functions.

    A `run` on your own machine leaves it aside; `run --with kubernetes` and `--with batch` take
    image, cpu, memory and secrets from it. Secrets are named here, never stated: the config goes
    into the code package.
    """

    image: str | None = Field(None, examples=["registry.example.com/mfx:1"])
    """Container image of every step. If not set, Metaflow's own default."""
    cpu: int = Field(1, ge=1, examples=[2])
    """CPUs of every step; `train` gets the larger of this and `cpu` under `[train]`."""
    memory: int = Field(4096, ge=512, examples=[8192])
    """MB of memory of every step; `train` gets the larger of this and `memory` under `[train]`."""
    disk: int = Field(10240, ge=1024, examples=[51200])
    """MB of scratch space of every step; Argo Workflows only."""
    retries: int = Field(2, ge=0, examples=[3])
    """How many times a step that failed is tried again; `train` has its own `@retry` in the
    flow."""
    minutes_between_retries: int = Field(2, ge=0, examples=[5])
    """Minutes of waiting before a step is tried again."""
    timeout: int = Field(120, ge=1, examples=[60])
    """Minutes after which an attempt of a step is stopped."""
    timeouts: dict[str, int] = Field({}, examples=[{"train": 600}])
    """The timeout of single steps, by the step's name, where it differs."""
    workflow_timeout: int | None = Field(None, ge=1, examples=[1440])
    """Minutes after which the whole run is stopped. If not set, never. Choose it shorter than the
    schedule's interval, or runs overlap."""
    max_workers: int = Field(20, ge=1, examples=[50])
    """Most tasks of a run that execute at the same time."""
    project: ProjectName = Field(
        "mfx",
        examples=["taxi_tips"],
        json_schema_extra={"default": "the pipeline's name, in small letters, with `_` for `-`"},
    )
    """Metaflow's `@project`: how the names of deployments begin, such as `taxi.prod.pipeline` for
    production."""
    schedule: str | None = Field(None, examples=["30 5 * * MON-FRI"])
    """When runs start, as five fields of cron: minute, hour, day of month, month, day of week. In
    UTC, unless `timezone` is set. If not set, no schedule."""
    timezone: str | None = Field(None, examples=["Europe/Paris"])
    """The schedule's time zone; Argo Workflows only."""
    trigger: EventName | None = Field(None, examples=["new_trips"])
    """The Argo event that starts a run; Argo Workflows only."""
    secrets: list[str] = Field([], examples=[["mfx"]])
    """Secrets whose keys become environment variables of every step: names of Kubernetes secrets on
    Argo Workflows, of secrets in AWS Secrets Manager on Step Functions."""
    environment: dict[str, str] = Field({}, examples=[{"TZ": "UTC"}])
    """Environment variables of every step; nothing secret."""
    webhook_variable: VariableName | None = Field(None, examples=["MFX_WEBHOOK"])
    """The environment variable that holds the URL of a webhook which takes Slack's `{"text": …}`,
    for notifications. If not set, there are none."""
    notify: list[Literal["failure", "pushed"]] = Field(["failure", "pushed"], examples=[["pushed"]])
    """Which notifications are sent: of a failed run (Argo Workflows only), of a newly pushed
    model."""

    @field_validator("schedule")
    @classmethod
    def _five_fields(cls, value: str | None) -> str | None:
        if not value:
            return value
        fields = value.split()
        weekdays = re.findall(r"\d+", fields[-1].partition("/")[0]) if fields else []
        if len(fields) != 5 or any(int(day) > 7 for day in weekdays):
            raise ValueError("expected five fields of cron, such as '30 5 * * MON-FRI'")
        return value
