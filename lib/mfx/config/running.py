"""Where models go, and how runs execute."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mfx.config.table import Table


class Push(Table):
    """Where blessed models go."""

    destination: str
    """A folder (or `s3://bucket/prefix`) that holds `<name>/<version>/`; `start` tries it out."""
    promote: Literal["auto", "manual"] = "auto"
    """Whether a run promotes its blessed and valid model, or leaves that to `mfx promote`."""
    keep: int | None = Field(None, ge=2)
    """Versions kept at the destination after a push; older ones are removed there, but can still be
    rolled back to. By default all, as TFX's Pusher does. Not 1: until servers have switched, they
    serve the version before."""
    replay_rows: int = Field(100, ge=1)
    """Raw eval rows that the model, served in a clean process, must answer as the evaluator did."""
    batch_sizes: list[Annotated[int, Field(ge=1)]] = Field([1, 8, 32, 128], min_length=1)
    """Rows in a request when they are asked for; a server's `allowed_batch_sizes`. Ascending."""
    tolerance: float = Field(1e-5, ge=0)
    """How far an answer may be from the evaluator's."""

    @field_validator("batch_sizes")
    @classmethod
    def _ascend(cls, value: list[int]) -> list[int]:
        if value != sorted(set(value)):
            raise ValueError("sizes must ascend")
        return value


class Beam(Table):
    """Where statistics, TFT's analysis and metrics are computed when not in the step's process."""

    options: list[str] = []
    """Beam's pipeline options, each `--name=value` or `--name`, the runner among them; with any,
    TFDV and TFMA run on Beam too. Empty: in the step's process, on Beam only where need be."""
    temp: str | None = None
    """A folder that this machine and all workers see; by default a temporary one on this machine,
    which is right for workers on this machine."""

    @model_validator(mode="after")
    def _names_a_runner(self) -> Beam:
        for option in self.options:
            if not option.startswith("--"):
                raise ValueError(f"options: expected '--name=value' or '--name', found {option!r}")
        if self.options and not any(o.startswith("--runner=") for o in self.options):
            raise ValueError("options: no runner among them, such as '--runner=PortableRunner'")
        if self.temp is not None and not (self.temp.startswith("/") or "://" in self.temp):
            raise ValueError(f"temp: expected an absolute path or URL, found {self.temp!r}")
        return self


class Deploy(Table):
    """How deployed runs execute, on Argo Workflows or Step Functions; `run` leaves it aside.

    Secrets are named here, never stated: this file goes into the code package.
    """

    image: str | None = None
    """Container image of every step; None is Metaflow's own default."""
    cpu: int = Field(1, ge=1)
    memory: int = Field(4096, ge=512)
    """MB of every step; `train` takes the larger of this and its own under `[train]`."""
    disk: int = Field(10240, ge=1024)
    """MB of scratch space of every step, on Kubernetes."""
    retries: int = Field(2, ge=0)
    """Further attempts of a step that failed; `train` has its own."""
    minutes_between_retries: int = Field(2, ge=0)
    timeout: int = Field(120, ge=1)
    """Minutes after which an attempt of a step is stopped."""
    timeouts: dict[str, int] = {}
    """The same by step, where it differs."""
    workflow_timeout: int | None = Field(None, ge=1)
    """Minutes after which the whole run is stopped."""
    max_workers: int = Field(20, ge=1)
    """Tasks of one run at the same time."""
    project: str = Field("mfx", pattern=r"^[a-z0-9_]+$")
    """Metaflow's `@project`: deployments of one name, branches and production apart. In a config
    the default is the pipeline's name."""
    schedule: str | None = None
    """Five fields of cron: minute, hour, day of month, month, day of week; UTC."""
    timezone: str | None = None
    """Of the schedule, such as `Europe/Paris`; Argo Workflows only."""
    trigger: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]+$")
    """The Argo event that starts a run."""
    secrets: list[str] = []
    """Secrets whose keys become environment variables of every step: names of Kubernetes secrets on
    Argo Workflows, of AWS Secrets Manager's on Step Functions."""
    environment: dict[str, str] = {}
    """Environment variables of every step; nothing secret."""
    webhook_variable: str | None = Field(None, pattern=r"^[A-Z][A-Z0-9_]*$")
    """Environment variable that holds the URL of a webhook which takes Slack's `{"text": …}`."""
    notify: list[Literal["failure", "pushed"]] = ["failure", "pushed"]
    """What is said there: a failed run (Argo Workflows only), a newly pushed model."""

    @field_validator("schedule")
    @classmethod
    def _five_fields(cls, value: str | None) -> str | None:
        fields = (value or "* * * * *").split()
        weekdays = re.findall(r"\d+", fields[-1].partition("/")[0])
        if len(fields) != 5 or any(int(day) > 7 for day in weekdays):
            raise ValueError(
                f"expected five fields of cron, such as '30 5 * * MON-FRI', found {value!r}"
            )
        return value
