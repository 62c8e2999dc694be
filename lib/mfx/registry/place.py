"""The place from which the model of a pipeline and branch is served."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mfx.config import Settings
from mfx.destinations import open_destination
from mfx.destinations.base import Destination

PRODUCTION_BRANCH = "prod"
"""Metaflow's name for the branch of `--production`."""
_TAG = "project_branch:"


@dataclass(frozen=True)
class Place:
    """A model at a push destination.

    Args:
        destination: A folder, or a URL such as `s3://bucket/prefix`.
        name: The pipeline's name.
        branch: Metaflow's `@project` branch; empty without `@project`. Runs of the production
            branch and runs without `@project` share one place. Every other branch has its own
            place, `<name>.<branch>`, so that experiments never change what is served.
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
        """The tag of the run whose model is in production at this place."""
        return f"production:{self.model}"

    def open(self) -> Destination:
        """Open the destination, which has the versions and the log."""
        return open_destination(self.destination, self.model)

    def __str__(self) -> str:
        return f"{self.destination.rstrip('/')}/{self.model}"


def for_settings(settings: Settings, branch: str = "") -> Place:
    """The place to which a config pushes."""
    return Place(settings.resolve(settings.push.destination), settings.pipeline.name, branch)


def current_branch() -> str:
    """The `@project` branch of the running flow; empty outside a flow and without `@project`."""
    from metaflow import current

    return current.get("branch_name") or ""


def branch_of(run: Any) -> str:
    """The `@project` branch to which a run belongs, by its system tags; '' if it has none."""
    return _branch(run.system_tags)


def _branch(tags: Iterable[str]) -> str:
    return next((tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)), "")


def user() -> str:
    """The name of the present user, as in Metaflow."""
    from metaflow.util import get_username

    return get_username() or getpass.getuser()
