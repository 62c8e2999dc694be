"""Find and list runs with Metaflow's client, and read their results."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mfx.errors import MfxError
from mfx.registry import flows
from mfx.registry.client import UnreadableError, absent, asking, at_home, began, read
from mfx.registry.place import Place, branch_of, for_settings
from mfx.registry.states import state_of

if TYPE_CHECKING:
    from mfx.artifacts import Code, Evaluation, Examples, PushedModel, Sources
    from mfx.config import Settings

LATEST, PRODUCTION = "latest", "production"
"""Names that can be used instead of a run's id."""
_SEARCHED = 2000
"""How many of the newest runs are searched for the begin of an id."""


class NoSuchRunError(MfxError):
    """There is no such run, or there are no runs at all."""


@dataclass(frozen=True)
class RunSummary:
    """A run in one line.

    Args:
        run: The run's id.
        flow: The run's flow.
        pipeline: The pipeline's name; empty if the run did not get that far, or cannot be read.
        created: When it began, in local time.
        user: The user who started it.
        branch: Its `@project` branch, or empty.
        state: `finished`, `running`, `failed`, `killed` or `unknown`; see `mfx.registry.states`.
        files: The first and the last input file.
        rows: The number of examples in all splits; None if it did not get that far.
        commit: The Git commit, with `+` if there were uncommitted changes.
        metrics: The metrics on the whole split on which the model was evaluated.
        blessed: Whether the model was blessed; None if it was not evaluated.
        version: The version that the run itself pushed, or None.
        production: Whether its model is in production now; None if that cannot be read, or was not
            asked for.
        unreadable: Why its results cannot be read; empty if they can.
        place: The place from which its model is served when it is promoted; None if the run did not
            get that far.
    """

    run: str
    flow: str
    pipeline: str
    created: datetime
    user: str
    branch: str
    state: str
    files: str
    rows: int | None
    commit: str
    metrics: dict[str, float]
    blessed: bool | None
    version: int | None
    production: bool | None
    unreadable: str = ""
    place: Place | None = None


class Results:
    """The results of a run's steps. A result is None if the run did not get that far."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self._steps: dict[str, Any] = {}

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def settings(self) -> Settings | None:
        """The effective config."""
        return self.get("start", "settings")

    @property
    def sources(self) -> Sources | None:
        """The input files."""
        return self.get("start", "sources")

    @property
    def code(self) -> Code | None:
        """The code of the run."""
        return self.get("start", "code")

    @property
    def examples(self) -> Examples | None:
        """The examples of all shards."""
        return self.get("validate", "examples")

    @property
    def evaluation(self) -> Evaluation | None:
        """The metrics and the blessing."""
        return self.get("evaluate", "evaluation")

    @property
    def pushed(self) -> PushedModel | None:
        """The result of the step `push`."""
        return self.get("push", "pushed")

    def get(self, step: str, name: str) -> Any:
        """Read an artifact; None if the run did not make it.

        Raises:
            UnreadableError: It exists, but cannot be read.
            MfxError: Metaflow's metadata service does not answer.
        """
        try:
            with asking():
                if step not in self._steps:  # Kept, since it takes several requests to a service.
                    self._steps[step] = self.run[step].task
                task = self._steps[step]
                artifact = task[name] if task else None
        except absent(KeyError):
            return None
        if artifact is None:
            return None
        found = read(artifact, self.run.pathspec, step)
        return at_home(found) if name == "settings" else found

    def need(self, step: str, name: str) -> Any:
        """Read an artifact that must exist.

        Raises:
            MfxError: The run did not get that far, or the artifact cannot be read.
        """
        found = self.get(step, name)
        if found is None:
            raise MfxError(
                f"run {self.run.pathspec} has no '{name}' of step '{step}'",
                "The run has stopped before, or is not that far yet. `mfx ls` shows its state.",
            )
        return found

    @property
    def place(self) -> Place:
        """The place from which its model is served when it is promoted."""
        return for_settings(self.need("start", "settings"), branch_of(self.run))

    @property
    def state(self) -> str:
        """The run's state in one word; see `mfx.registry.states`."""
        with asking():
            return state_of(self.run, began(self.run)).name


def results(run: str, flow: str = "") -> Results:
    """Find a run and give its results.

    Args:
        run: The run's id, the begin of it, `latest`, or a pathspec such as `Pipeline/1795224967`.
            A whole id is found in any namespace, all others only in that of Metaflow's client.
        flow: The flow's name, if `run` does not have it. By default, an id is looked for in all
            flows of the project, and `latest` is the latest run of the default flow
            (`flows.default`).

    Raises:
        NoSuchRunError: There is no such run.
        MfxError: There are several such runs; or it is not clear which flow's run is `latest`.
    """
    from metaflow import Run

    flow, _, run = run.rpartition("/") if "/" in run else (flow, "", run)
    searched = [flow or flows.default()] if run == LATEST else [flow] if flow else flows.known()
    for name in searched if run not in ("", LATEST) else ():
        try:
            with asking():
                return Results(Run(f"{name}/{run}", _namespace_check=False))
        except absent(ValueError):
            pass
    found = list(itertools.islice(_runs(searched), 1 if run == LATEST else _SEARCHED))
    fitting = [r for r in found if run == LATEST or (run and r.id.startswith(run))]
    if len(fitting) == 1:
        return Results(fitting[0])
    if not fitting:
        what = f"{searched[0]}/{run}" if len(searched) == 1 else f"{run} of {', '.join(searched)}"
        raise NoSuchRunError(f"no run {what}{_within()}", "`mfx ls --all` lists all runs.")
    shown = ", ".join(r.id for r in fitting[:3]) + (", …" if len(fitting) > 3 else "")
    raise MfxError(f"{len(fitting)} runs begin with {run}: {shown}", "Give more of the id.")


def newest(flow: str = "", count: int | None = None) -> Iterator[Results]:
    """Yield the runs in the namespace of Metaflow's client, newest first.

    Args:
        flow: The flow's name; by default runs of all flows of the project.
        count: The most runs; by default all.

    Raises:
        NoSuchRunError: There is no run.
    """
    searched = [flow] if flow else flows.known()
    found = False
    for run in itertools.islice(_runs(searched), count):
        found = True
        yield Results(run)
    if not found:
        raise NoSuchRunError(
            f"no run of {' or '.join(searched) or 'any flow'}{_within()} yet",
            "Run the pipeline first, or look elsewhere: --all, --flow, METAFLOW_PROFILE.",
        )


def _runs(searched: Iterable[str]) -> Iterator[Any]:
    from metaflow import Flow

    found: list[Any] = []
    for flow in searched:
        try:
            with asking():
                found += Flow(flow)
        except absent():
            continue
    yield from sorted(found, key=began, reverse=True)


def _within() -> str:
    from metaflow import get_namespace

    return f" in namespace {get_namespace()}" if get_namespace() else ""


def summary(found: Results, production: dict[Place, str | None] | None = None) -> RunSummary:
    """One line of `mfx ls`.

    Args:
        found: The run.
        production: The id of the run in production for each place; None if it cannot be read. It is
            filled here as needed, so that each place is read only once. Without this dict, nothing
            is read, and the summary's `production` is None.
    """
    about: dict[str, Any] = {
        "run": found.id,
        "flow": found.run.pathspec.partition("/")[0],
        "created": began(found.run),
        "user": next((t[5:] for t in found.run.tags if t.startswith("user:")), ""),
        "branch": branch_of(found.run),
        "state": found.state,
    }
    try:
        return RunSummary(**about, **_told(found, production))
    except UnreadableError as error:
        # If one run cannot be read, the other runs must still be shown.
        unknown: dict[str, Any] = {f.name: None for f in fields(RunSummary) if f.name not in about}
        unknown |= {
            "pipeline": "",
            "files": "",
            "commit": "",
            "metrics": {},
            "unreadable": error.what,
        }
        return RunSummary(**about, **unknown)


def _told(found: Results, production: dict[Place, str | None] | None) -> dict[str, Any]:
    """The part of a summary that comes from the run's results."""
    settings, sources, evaluation = found.settings, found.sources, found.evaluation
    examples, pushed, code = found.examples, found.pushed, found.code
    place = found.place if settings else None
    served: str | None = "" if production is not None else None
    if place and production is not None:
        if place not in production:
            production[place] = production_run(place)
        served = production[place]
    overall = evaluation.overall if evaluation else {}
    return {
        "pipeline": settings.pipeline.name if settings else "",
        "files": _files(sources) if sources else "",
        "rows": sum(examples.rows.values()) if examples else None,
        "commit": f"{code.commit[:8]}{'+' * code.changed}" if code else "",
        "metrics": {k: v for k, v in overall.items() if v is not None},
        "blessed": evaluation.blessing.blessed if evaluation else None,
        "version": pushed.version if pushed else None,
        "production": None if served is None else served == found.id,
        "place": place,
    }


def production_run(place: Place) -> str | None:
    """The id of the run in production at a place; "" if there is none, None if not readable."""
    from mfx.registry.promotion import read_view

    try:
        current = read_view(place.open()).current
    except MfxError:
        # If the destination of one run is out of reach, the other runs must still be shown.
        return None
    return current.run if current else ""


def _files(sources: Sources) -> str:
    names = [file.path.replace("\\", "/").rsplit("/", 1)[-1] for file in sources.files]
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)})"
