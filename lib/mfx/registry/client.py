"""Metaflow's client asked with care: what is absent, what cannot be read, who does not answer."""

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
    """A result that is there, but cannot be read."""


def read(artifact: Any, run: str, step: str) -> Any:
    """What an artifact of Metaflow's client holds.

    Args:
        artifact: The artifact.
        run: The run's pathspec, for errors.
        step: The step, for errors.

    Raises:
        UnreadableError: Its bytes are not there, or of a class that this version does not have.
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
        # Metaflow's way to say that a file is not there.
        why = "it is not there" if isinstance(error, TypeError) else error
        raise UnreadableError(
            f"{what} from the datastore at {where}: {why}",
            "Was the datastore moved or cleaned? Run the pipeline again to make it anew.",
        ) from None


def at_home(settings: Settings) -> Settings:
    """A run's settings in this project: older versions kept where the project was."""
    for project in metaflow_local.former_projects():
        if Path(settings.home).is_relative_to(project):
            home = Path(settings.home).relative_to(project).as_posix()
            return settings.model_copy(update={"home": home})
    return settings


@contextmanager
def asking() -> Iterator[None]:
    """Around what asks Metaflow's metadata: a service that does not answer is no absent run.

    What is not there stays Metaflow's exception.

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
            "Is it up, and METAFLOW_SERVICE_URL its address? "
            "METAFLOW_DEFAULT_METADATA=local asks for this machine's own runs.",
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
    """Metaflow's exceptions for what is not there; others say that it cannot be found out."""
    from metaflow.exception import (
        MetaflowInvalidPathspec,
        MetaflowNamespaceMismatch,
        MetaflowNotFound,
    )

    return MetaflowNotFound, MetaflowNamespaceMismatch, MetaflowInvalidPathspec, *more


def began(run: Any) -> datetime:
    """When a run began, local time, with its zone: an hour that comes twice in autumn is in order.

    Metaflow's local metadata forgets it when a run is tagged: `created_at` is then the time of the
    tag. But there the id is the time, in microseconds since 1970.
    """
    return time_named(run.id) or run.created_at.astimezone()


def time_named(run: str) -> datetime | None:
    """When a run began, local time, if its id says so."""
    if not (run.isdecimal() and len(run) == 16):
        return None
    return datetime.fromtimestamp(int(run) / 1e6, timezone.utc).astimezone()
