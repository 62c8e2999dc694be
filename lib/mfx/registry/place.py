"""Where the models of one pipeline and branch are served from."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mfx.config import Settings
from mfx.destinations import open_destination
from mfx.destinations.base import Destination

PRODUCTION_BRANCH = "prod"
"""Metaflow's name of the branch of `--production`."""
_TAG = "project_branch:"


@dataclass(frozen=True)
class Place:
    """A model at a push destination.

    Args:
        destination: A folder or `s3://bucket/prefix`.
        name: The pipeline's name.
        branch: Metaflow's `@project` branch; empty without `@project`. Runs of the production
            branch and of flows without `@project` share one place; every other branch has its own,
            `<name>.<branch>`, so that trying things out never changes what is served.
    """

    destination: str
    name: str
    branch: str = ""

    @property
    def model(self) -> str:
        """The model's folder below the destination, which is its name for a model server."""
        ours = self.branch in ("", PRODUCTION_BRANCH)
        return self.name if ours else f"{self.name}.{self.branch}"

    @property
    def tag(self) -> str:
        """The tag of the run whose model is in production here."""
        return f"production:{self.model}"

    def open(self) -> Destination:
        """The place's versions and log."""
        return open_destination(self.destination, self.model)

    def __str__(self) -> str:
        return f"{self.destination.rstrip('/')}/{self.model}"


def for_settings(settings: Settings, branch: str = "") -> Place:
    """The place that a config pushes to."""
    return Place(settings.resolve(settings.push.destination), settings.pipeline.name, branch)


def current_branch() -> str:
    """The `@project` branch of the running flow; empty outside a flow and without `@project`."""
    from metaflow import current

    return current.get("branch_name") or ""


def branch_of(run: Any) -> str:
    """The `@project` branch that a run belongs to, by its system tags."""
    return _branch(run.system_tags)


def _branch(tags: Iterable[str]) -> str:
    return next((tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)), "")


def user() -> str:
    """Who is asking, as Metaflow names users."""
    from metaflow.util import get_username

    return get_username() or getpass.getuser()
