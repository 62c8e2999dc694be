"""The `[deploy]` table, put onto a flow: what Argo Workflows and Step Functions run, and where."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mfx.config import Deploy, Settings
from mfx.environment import HOME
from mfx.errors import MfxError
from mfx.storage import address
from mfx.user_code import loading

KUBERNETES, BATCH = "kubernetes", "batch"
"""Metaflow's names of what executes the steps of Argo Workflows and of Step Functions."""

_COMMANDS = {"argo-workflows": KUBERNETES, "step-functions": BATCH}
_CONTAINERS = ("ARGO_WORKFLOW_TEMPLATE", "SFN_STATE_MACHINE")
"""Variables of the containers of what was deployed, and not of `run --with kubernetes`."""
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def platform(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Where this process deploys to, or runs as one step or starts one's container.

    Args:
        arguments: The command line.
        environment: The environment variables, with what Metaflow sets in a container.

    Returns:
        `KUBERNETES`, `BATCH`, or None for anything else, such as a run on this machine.
    """
    for command, name in _COMMANDS.items():
        if command in arguments and "create" in arguments:
            return name
    for name in (KUBERNETES, BATCH):
        if (name, "step") in pairwise(arguments):
            return name
    if "METAFLOW_KUBERNETES_WORKLOAD" in environment:
        return KUBERNETES
    return BATCH if "AWS_BATCH_JOB_ID" in environment else None


def is_deployed(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether this process is a deployed run's, or deals with deployments.

    A container of `run --with kubernetes` or `--with batch` is neither: that run has no branch.
    """
    asked = any(command in arguments for command in _COMMANDS)
    return asked or any(name in environment for name in _CONTAINERS)


def is_creating(arguments: Sequence[str]) -> bool:
    """Whether the command line deploys the flow."""
    return "create" in arguments and any(command in arguments for command in _COMMANDS)


def check(settings: Settings, where: str) -> None:
    """Refuse to deploy what cannot run there.

    Raises:
        MfxError: A path that containers cannot see, or a setting that the platform does not have.
    """
    check_seen_by_containers(
        {"data.path": settings.data.path, "push.destination": settings.push.destination}
    )
    for key, name in (
        ("pipeline.module", settings.pipeline.module),
        ("schema.path", settings.schema_.path),
    ):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise MfxError(
                f"{key}: {name!r} is outside the config's folder, which is what is deployed",
                f"Move it below {settings.resolve('.')}.",
            )
    if where == BATCH:
        for key in ("trigger", "timezone"):
            if getattr(settings.deploy, key) is not None:
                raise MfxError(
                    f"deploy.{key}: Step Functions has none",
                    "Take it out, or deploy to Argo Workflows.",
                )


def check_seen_by_containers(addresses: Mapping[str, str]) -> None:
    """Refuse addresses that mean another place in a container, where a model would be lost.

    Args:
        addresses: As they were given, by what says so.

    Raises:
        MfxError: One is a relative path.
    """
    for key, path in addresses.items():
        if not address.is_absolute(path):
            raise MfxError(
                f"{key}: {path!r} lies on this machine, where no container sees it",
                "Give s3://bucket/… (or the absolute path of a volume that every step mounts).",
            )


def files(settings: Settings, flows: Path) -> Iterator[tuple[str, str]]:
    """What the pipeline adds to the code package: path, and name below the flow's folder.

    The config itself travels as Metaflow's own `config`, checked and with its defaults.

    Args:
        settings: The config.
        flows: The flow's folder, whose Python files Metaflow packs itself.

    Raises:
        MfxError: A file that the module imports is not Python.
    """
    found = loading.find(settings)
    home = Path(settings.resolve("."))
    schema = Path(settings.resolve(settings.schema_.path))
    for path in sorted({*found.files().values(), schema}):
        if path.is_file() and path.is_relative_to(home):
            yield str(path), f"{HOME}/{path.relative_to(home).as_posix()}"
    for other, name in found.elsewhere():
        if not Path(other).is_relative_to(flows):
            yield other, name


def flow_decorators(deploy: Deploy, where: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Metaflow's decorators for the flow, by name, with their arguments.

    `@project` is not among them: it has options on the command line, which is read before.
    """
    if deploy.schedule:
        cron = aws_cron(deploy.schedule) if where == BATCH else deploy.schedule
        yield "schedule", {"cron": cron, "timezone": deploy.timezone}
    if deploy.trigger:
        yield "trigger", {"event": deploy.trigger}


def remote_steps(deploy: Deploy, arguments: Sequence[str]) -> Iterator[str]:
    """The `--with kubernetes` or `--with batch` of a run, with what `[deploy]` says of containers.

    What the command line says has precedence, such as the image of `--with kubernetes:image=…`.

    Returns:
        Metaflow's specifications of decorators, for all steps.
    """
    if not {"run", "resume"} & set(arguments):
        return
    values = [a.removeprefix("--with=") for a in arguments if a.startswith("--with=")]
    values += [b for a, b in pairwise(arguments) if a == "--with"]
    for value in values:
        name, _, given = value.partition(":")
        if name not in (KUBERNETES, BATCH):
            continue
        attributes = dict(step_decorators(deploy, name, ""))[name]
        stated = re.findall(r"(?:^|,)\s*(\w+)=", given)
        added = [
            f"{key}={attribute if isinstance(attribute, str) else json.dumps(attribute)}"
            for key, attribute in attributes.items()
            if attribute is not None and key not in stated
        ]
        yield f"{name}:{','.join([given] * bool(given) + added)}"


def step_decorators(deploy: Deploy, where: str, step: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Metaflow's decorators for a step, by name, with their arguments.

    A step keeps those of the same name that the flow itself states.
    """
    resources = {"image": deploy.image, "cpu": deploy.cpu, "memory": deploy.memory}
    if where == KUBERNETES:
        yield KUBERNETES, {**resources, "disk": deploy.disk, "secrets": deploy.secrets or None}
    else:
        yield BATCH, resources
        if deploy.secrets:
            sources = [f"aws-secrets-manager.{name}" for name in deploy.secrets]
            yield "secrets", {"sources": sources}
    yield (
        "retry",
        {
            "times": deploy.retries,
            "minutes_between_retries": deploy.minutes_between_retries,
        },
    )
    yield "timeout", {"minutes": deploy.timeouts.get(step, deploy.timeout)}
    if deploy.environment:
        yield "environment", {"vars": dict(deploy.environment)}


def create_options(
    deploy: Deploy, where: str, events: bool, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Defaults of the options of Metaflow's `create`, as the environment variables it reads.

    What is given on the command line, or already in the environment, has precedence.

    Args:
        deploy: The config's table.
        where: `KUBERNETES` or `BATCH`.
        events: Whether Metaflow knows where to send Argo events; without, no step shall try to.
        environment: Where the webhook's variable is looked up.

    Raises:
        MfxError: Failures are to be reported, and the webhook's variable is not set.
    """
    prefix = f"METAFLOW_{'ARGO_WORKFLOWS' if where == KUBERNETES else 'STEP_FUNCTIONS'}_CREATE_"
    options = {"MAX_WORKERS": str(deploy.max_workers)}
    if deploy.workflow_timeout:
        options["WORKFLOW_TIMEOUT"] = str(deploy.workflow_timeout * 60)
    if where == KUBERNETES and not events:
        options["AUTO_EMIT_ARGO_EVENTS"] = "false"
    if where == KUBERNETES and deploy.webhook_variable and "failure" in deploy.notify:
        if not environment.get(deploy.webhook_variable):
            raise MfxError(
                f"deploy.webhook_variable: {deploy.webhook_variable} is not set",
                "Argo Workflows reports failures itself, so its URL is needed to deploy. "
                "Set the variable, or take 'failure' out of deploy.notify.",
            )
        options["NOTIFY_ON_ERROR"] = "true"
        options["NOTIFY_SLACK_WEBHOOK_URL"] = environment[deploy.webhook_variable]
    return {prefix + name: value for name, value in options.items()}


def aws_cron(cron: str) -> str:
    """Five fields of cron as EventBridge's six.

    EventBridge numbers days of the week from 1 (Sunday; cron: 0), wants `?` in one of the two
    fields for days, and has a field for years. Source: "Cron expressions reference", Amazon
    EventBridge User Guide.

    Raises:
        MfxError: Both a day of month and a day of week, which EventBridge cannot say.
    """
    minute, hour, day, month, weekday = cron.split()
    if weekday == "*":
        weekday = "?"
    elif day == "*":
        day, weekday = "?", _weekdays(weekday)
    else:
        raise MfxError(
            f"deploy.schedule: {cron!r} has a day of month and a day of week",
            "Step Functions' schedules take one of them; put * for the other.",
        )
    return f"{minute} {hour} {day} {month} {weekday} *"


def _weekdays(field: str) -> str:
    """Numbers as names, which both kinds of cron read alike; the step after `/` stays."""
    days = []
    for part in field.split(","):
        span, slash, step = part.partition("/")
        names = [_DAYS[int(day)] if day.isdecimal() else day.upper() for day in span.split("-")]
        days.append("-".join(names) + slash + step)
    return ",".join(days)
