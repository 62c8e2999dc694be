"""What Metaflow's `resume` and `spin` lack (2.19), added before they begin.

- `resume --origin-run-id=ID` (with `=`) took the config of another run, the latest.
- `resume` of a run that is not there was a traceback.
- `resume` with `--run-id` of a run that is there went on inside that run.
- A resumed run lost the tags that its user gave, and did not count as the latest.
- `spin`, which records no run, counted as the latest, so that the next `resume` found nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mfx.artifacts import _private
from mfx.errors import MfxError

ORIGIN = "--origin-run-id"
_DECIDED = "production:"
"""Tags that tell what is served are the registry's to give."""


def split_option(arguments: list[str]) -> None:
    """Write `--origin-run-id=ID` as two words, in place: Metaflow looks for the first of two."""
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == ORIGIN and equals and "resume" in arguments[:number]:
            arguments[number : number + 1] = [ORIGIN, value]


def refuse_unknown(stopped: type[Exception]) -> None:
    """Have `resume` say in one message that there is no such run.

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
            # So `resume` looks for the config of the run that it resumes.
            if steps == ["_parameters"] and not self.task_datastores:
                run = f"{flow_datastore.flow_name}/{run_id}"
                raise stopped(
                    f"run {run} is not there, or left nothing to resume\n"
                    f"`mfx ls --all` lists the runs there are; resume {ORIGIN} ID goes on from one."
                )

        return read_or_refuse

    _private.around_tasks_of_run(refusing)


def prepare(flow: str, options: dict[str, Any], metadata: Any) -> None:
    """Check a `resume` that is about to begin, and give it the tags of the run it resumes.

    Args:
        flow: The flow's name.
        options: The command's, by name.
        metadata: Metaflow's metadata provider of the new run.

    Raises:
        MfxError: There is a run of the id that the new one shall have.
    """
    from metaflow.util import get_latest_run_id

    taken = options["run_id"]
    # Metaflow itself resumes so, from several processes.
    if taken and not (options["reentrant"] or options["clone_only"]) and _find(flow, taken):
        raise MfxError(
            f"--run-id: there is a run {flow}/{taken} already",
            f"Give an id that is not taken, or none. To resume that run: resume {ORIGIN} {taken}",
        )
    origin = options["origin_run_id"] or get_latest_run_id(lambda *_, **__: None, flow)
    if found := origin and _find(flow, origin):
        tags = {tag for tag in found.user_tags if not tag.startswith(_DECIDED)}
        metadata.add_sticky_tags(tags=tags)


def count_as_latest(flow: str, run: str) -> None:
    """Have the next `resume` without an id go on from this run."""
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
