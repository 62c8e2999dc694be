"""Turn `[deploy]` into Metaflow's decorators, for Argo Workflows and Step Functions."""

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
from mfx.user_code import loading, source

KUBERNETES, BATCH = "kubernetes", "batch"
"""Metaflow's names for the systems that run the steps of Argo Workflows and of Step Functions."""

_COMMANDS = {"argo-workflows": KUBERNETES, "step-functions": BATCH}
_CONTAINERS = ("ARGO_WORKFLOW_TEMPLATE", "SFN_STATE_MACHINE")
"""Environment variables of containers of deployed runs; those of `run --with …` lack them."""
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def platform(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The system to which this process deploys, or for which it runs a step.

    Args:
        arguments: The command line.
        environment: The environment variables. Metaflow sets some of them in a container.

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
    """Whether this process belongs to a deployed run, or runs a command for deployments.

    A container of `run --with kubernetes` or `--with batch` does not: that run has no branch.
    """
    asked = any(command in arguments for command in _COMMANDS)
    return asked or any(name in environment for name in _CONTAINERS)


def is_creating(arguments: Sequence[str]) -> bool:
    """Whether the command line deploys the flow."""
    return "create" in arguments and any(command in arguments for command in _COMMANDS)


def check(settings: Settings, where: str) -> None:
    """Check that the pipeline can run on a platform.

    Args:
        settings: The config.
        where: `KUBERNETES` or `BATCH`.

    Raises:
        MfxError: Containers cannot see a path, or the platform does not have a setting.
    """
    check_seen_by_containers(
        {**settings.data.addresses, "push.destination": [settings.push.destination]}
    )
    for key, name in (
        ("pipeline.module", settings.pipeline.module or ""),
        ("schema.path", settings.schema_.path),
        ("data.source", settings.data.source or ""),
    ):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise MfxError(
                f"{key}: {name!r} is outside the config's folder, and only that folder is deployed",
                f"Move it below {settings.resolve('.')}.",
            )
    if where == BATCH:
        for key in ("trigger", "timezone"):
            if getattr(settings.deploy, key) is not None:
                raise MfxError(
                    f"deploy.{key}: Step Functions does not have it",
                    "Remove it, or deploy to Argo Workflows.",
                )


def check_seen_by_containers(addresses: Mapping[str, Sequence[str]]) -> None:
    """Refuse relative paths: in a container they mean another folder, and a model would be lost.

    Args:
        addresses: Paths and URLs as given, by the name of the setting.

    Raises:
        MfxError: One is a relative path.
    """
    for key, path in ((key, path) for key, paths in addresses.items() for path in paths):
        if not address.is_absolute(path):
            raise MfxError(
                f"{key}: {path!r} is on this machine, where no container can see it",
                "Use s3://bucket/… (or the absolute path of a volume that every step mounts).",
            )


def files(settings: Settings, flows: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that the pipeline adds to Metaflow's code package.

    The config itself is not among them: it is part of Metaflow's own `config`, checked and with its
    defaults.

    Args:
        settings: The config.
        flows: The flow's folder. Metaflow packs its Python files itself.

    Yields:
        Each file's path, and its name below the flow's folder in the package.

    Raises:
        MfxError: A file that the module imports cannot be read, or is not Python.
    """
    found = [loading.find(settings)]
    if given := settings.data.source:
        found.append(source.find(settings.resolve(given)))
    home = Path(settings.resolve("."))
    schema = Path(settings.resolve(settings.schema_.path))
    for path in sorted({schema, *(path for bundle in found for path in bundle.files().values())}):
        if path.is_file() and path.is_relative_to(home):
            yield str(path), f"{HOME}/{path.relative_to(home).as_posix()}"
    for other, name in dict(pair for bundle in found for pair in bundle.elsewhere()).items():
        if not Path(other).is_relative_to(flows):
            yield other, name


def flow_decorators(deploy: Deploy, where: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield Metaflow's decorators for the flow: name and arguments.

    `@project` is not among them: its options on the command line are read earlier.
    """
    if deploy.schedule:
        cron = aws_cron(deploy.schedule) if where == BATCH else deploy.schedule
        yield "schedule", {"cron": cron, "timezone": deploy.timezone}
    if deploy.trigger:
        yield "trigger", {"event": deploy.trigger}


def remote_steps(deploy: Deploy, arguments: Sequence[str]) -> Iterator[str]:
    """Complete `--with kubernetes` or `--with batch` of a run by the settings of `[deploy]`.

    The command line has precedence, such as the image in `--with kubernetes:image=…`.

    Yields:
        Decorators for all steps, as Metaflow's command line takes them.
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
    """Yield Metaflow's decorators for a step: name and arguments.

    If the flow's code gives a step a decorator with the same name, the step keeps that one.
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
    """Defaults for the options of Metaflow's `create`, as environment variables.

    The command line, and variables that are already set, have precedence.

    Args:
        deploy: The config's table `[deploy]`.
        where: `KUBERNETES` or `BATCH`.
        events: Whether Metaflow knows where to send Argo events. If not, no step should try.
        environment: Where the webhook's variable is looked up.

    Raises:
        MfxError: Failures should be reported, but the webhook's variable is not set.
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
                "Argo Workflows reports failures itself, so it needs the URL when you deploy. "
                "Set the variable, or remove 'failure' from deploy.notify.",
            )
        options["NOTIFY_ON_ERROR"] = "true"
        options["NOTIFY_SLACK_WEBHOOK_URL"] = environment[deploy.webhook_variable]
    return {prefix + name: value for name, value in options.items()}


def aws_cron(cron: str) -> str:
    """Convert the five fields of a cron schedule to EventBridge's six.

    EventBridge counts days of the week from 1 (Sunday; cron from 0), needs `?` in one of the two
    fields for days, and has a field for years. Source: "Cron expressions reference", Amazon
    EventBridge User Guide.

    Raises:
        MfxError: The schedule has a day of month and a day of week, which EventBridge cannot have.
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
    """Replace numbers of weekdays by names, which mean the same in both. A step after `/` stays."""
    days = []
    for part in field.split(","):
        span, slash, step = part.partition("/")
        names = [_DAYS[int(day)] if day.isdecimal() else day.upper() for day in span.split("-")]
        days.append("-".join(names) + slash + step)
    return ",".join(days)
