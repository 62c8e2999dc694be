"""Use Metaflow's client and tell three cases apart: absent, unreadable, service out of reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfx.artifacts import _private, metaflow_local, metaflow_s3
from mfx.errors import MfxError

if TYPE_CHECKING:
    from mfx.config import Settings


class UnreadableError(MfxError):
    """A result exists, but cannot be read."""


def read(artifact: Any, run: str, step: str) -> Any:
    """Read the value of an artifact.

    Args:
        artifact: The artifact, an object of Metaflow's client.
        run: The run's pathspec, for messages.
        step: The step's name, for messages.

    Raises:
        UnreadableError: Its data is missing, or has a class that this version does not have.
    """
    what = f"run {run}: '{artifact.id}' of step '{step}' cannot be read"
    try:
        return artifact.data
    except (ImportError, AttributeError) as error:
        raise UnreadableError(
            f"{what}: another version of MFX made it ({error})",
            "Install that version to look at the run, or run the pipeline again.",
        ) from None
    except Exception as error:
        if metaflow_s3.is_own_error(error):
            raise
        where = str(_private.record(artifact).get("location", "")).removeprefix(":root:")
        # With a TypeError, Metaflow says that a file does not exist.
        why = "it does not exist" if isinstance(error, TypeError) else error
        raise UnreadableError(
            f"{what} from the datastore at {where}: {why}",
            "Was the datastore moved or cleaned? Run the pipeline again to make it again.",
        ) from None


def at_home(settings: Settings) -> Settings:
    """A run's settings with the present folder of the project.

    Runs of older versions have the absolute path that the project had then.
    """
    for project in metaflow_local.former_projects():
        if Path(settings.home).is_relative_to(project):
            home = Path(settings.home).relative_to(project).as_posix()
            return settings.model_copy(update={"home": home})
    return settings


@contextmanager
def asking() -> Iterator[None]:
    """A context for calls to Metaflow's metadata. It tells a failing service from an absent run.

    For something that does not exist, Metaflow's own exception is raised (see `absent`).

    Raises:
        MfxError: The metadata service is out of reach, or answers with an error.
    """
    from metaflow import get_metadata
    from metaflow.exception import MetaflowException
    from requests import RequestException

    metaflow_local.look_beside_records()
    try:
        yield
    except absent():
        raise
    except (MetaflowException, RequestException) as error:
        where = get_metadata()
        if not where.startswith("service@"):
            raise
        raise MfxError(
            f"Metaflow's metadata service at {where.removeprefix('service@')}: {error}",
            "Is it running, and is METAFLOW_SERVICE_URL its address? To see this machine's own "
            "runs, set METAFLOW_DEFAULT_METADATA=local.",
        ) from None


def source() -> str:
    """Where the metadata of runs are, such as `local@/home/ada/taxi`."""
    from metaflow import get_metadata

    return get_metadata()


def is_metaflows(error: BaseException) -> bool:
    """Whether an error is Metaflow's own, which says in one message what is wrong."""
    from metaflow.exception import MetaflowException

    return isinstance(error, MetaflowException)


def absent(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Metaflow's exceptions for something that does not exist, and `more`.

    Other exceptions mean that it is not known whether it exists.
    """
    from metaflow.exception import (
        MetaflowInvalidPathspec,
        MetaflowNamespaceMismatch,
        MetaflowNotFound,
    )

    return MetaflowNotFound, MetaflowNamespaceMismatch, MetaflowInvalidPathspec, *more


def began(run: Any) -> datetime:
    """When a run began, in local time with its time zone.

    With the zone, runs are in order even in the hour that comes twice in autumn. Metaflow's local
    metadata forgets the time when a run is tagged: `created_at` is then the time of the tag. But
    there the id is the time, in microseconds since 1970.
    """
    return time_named(run.id) or run.created_at.astimezone()


def time_named(run: str) -> datetime | None:
    """When a run began, in local time, if its id says so; otherwise None."""
    if not (run.isdecimal() and len(run) == 16):
        return None
    return datetime.fromtimestamp(int(run) / 1e6, timezone.utc).astimezone()
