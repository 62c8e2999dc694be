"""Fix gaps in Metaflow's `resume` and `spin` (version 2.19) before they begin.

- `resume --origin-run-id=ID` (with `=`) took the config of the latest run instead of run ID.
- `resume` of a run that does not exist showed a traceback.
- `resume` with the `--run-id` of an existing run continued inside that run.
- A resumed run lost its user's tags, and was not recorded as the latest run.
- `spin` records no run, but was recorded as the latest. So the next `resume` found nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mfx.artifacts import _private
from mfx.errors import MfxError

ORIGIN = "--origin-run-id"
_DECIDED = "production:"
"""Prefix of tags that say what is in production. Only the registry gives such tags."""


def split_option(arguments: list[str]) -> None:
    """Split `--origin-run-id=ID` into two words, in place: Metaflow looks for the option alone."""
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == ORIGIN and equals and "resume" in arguments[:number]:
            arguments[number : number + 1] = [ORIGIN, value]


def refuse_unknown(stopped: type[Exception]) -> None:
    """Make `resume` say in one message that a run does not exist.

    Args:
        stopped: The exception that Metaflow shows as its message.
    """

    def refusing(read: Callable[..., None]) -> Callable[..., None]:
        def read_or_refuse(
            self: Any,
            flow_datastore: Any,
            run_id: str,
            steps: list[str] | None = None,
            *arguments: Any,
            **options: Any,
        ) -> None:
            read(self, flow_datastore, run_id, steps, *arguments, **options)
            # With these steps, `resume` asks for the config of the run that it resumes.
            if steps == ["_parameters"] and not self.task_datastores:
                run = f"{flow_datastore.flow_name}/{run_id}"
                raise stopped(
                    f"run {run} does not exist, or left nothing to resume\n"
                    f"`mfx ls --all` lists all runs. To resume one: resume {ORIGIN} ID"
                )

        return read_or_refuse

    _private.around_tasks_of_run(refusing)


def prepare(flow: str, options: dict[str, Any], metadata: Any) -> None:
    """Check a `resume` that is about to begin; give the new run the tags of the run it resumes.

    Args:
        flow: The flow's name.
        options: The command's options, by name.
        metadata: Metaflow's metadata provider of the new run.

    Raises:
        MfxError: The id for the new run is already taken.
    """
    from metaflow.util import get_latest_run_id

    taken = options["run_id"]
    # With these two options Metaflow itself resumes one run from several processes.
    if taken and not (options["reentrant"] or options["clone_only"]) and _find(flow, taken):
        raise MfxError(
            f"--run-id: there is a run {flow}/{taken} already",
            f"Give another id, or none. To resume that run: resume {ORIGIN} {taken}",
        )
    origin = options["origin_run_id"] or get_latest_run_id(lambda *_, **__: None, flow)
    if found := origin and _find(flow, origin):
        tags = {tag for tag in found.user_tags if not tag.startswith(_DECIDED)}
        metadata.add_sticky_tags(tags=tags)


def count_as_latest(flow: str, run: str) -> None:
    """Record a run as the latest: the next `resume` without an id resumes it."""
    from types import SimpleNamespace

    from metaflow.util import write_latest_run_id

    given = SimpleNamespace(flow=SimpleNamespace(name=flow), echo=lambda *_, **__: None)
    write_latest_run_id(given, run)


def _find(flow: str, run: str) -> Any:
    from metaflow import Run
    from metaflow.exception import MetaflowException

    from mfx.registry.client import asking

    try:
        with asking():
            return Run(f"{flow}/{run}", _namespace_check=False)
    except (MetaflowException, ValueError):
        return None
