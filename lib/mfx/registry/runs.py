"""Runs as Metaflow's client knows them: found, listed, and their results read."""

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
"""What may stand for a run's id."""
_SEARCHED = 2000
"""Most runs looked at for a prefix, newest first."""


class NoSuchRunError(MfxError):
    """There is no such run, or none at all."""


@dataclass(frozen=True)
class RunSummary:
    """A run in one line.

    Args:
        run: Its id.
        flow: The flow that it is of.
        pipeline: The pipeline's name; empty if it did not get that far, or cannot be read.
        created: When it began, local time.
        user: Who ran it.
        branch: Its `@project` branch, or empty.
        state: `finished`, `running`, `failed`, `killed` or `unknown`; see `mfx.registry.states`.
        files: Input files, first and last.
        rows: Examples in all splits; None if it did not get that far.
        commit: Git commit, with `+` if there were changes besides.
        metrics: Metrics of the whole eval split.
        blessed: None if it was not evaluated.
        version: Version that the run itself pushed, or None.
        production: Whether its model is in production now; None if that cannot be read, or was not
            asked.
        unreadable: Why its results cannot be read; empty if they can.
        place: Where its model is served from, if it is promoted; None if it did not get that far.
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
    """The results of one run's steps; each is None where the run did not get that far."""

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
        """What it was made with."""
        return self.get("start", "code")

    @property
    def examples(self) -> Examples | None:
        """All rows."""
        return self.get("validate", "examples")

    @property
    def evaluation(self) -> Evaluation | None:
        """Metrics and blessing."""
        return self.get("evaluate", "evaluation")

    @property
    def pushed(self) -> PushedModel | None:
        """What `push` did."""
        return self.get("push", "pushed")

    def get(self, step: str, name: str) -> Any:
        """An artifact; None if the run did not make it.

        Raises:
            UnreadableError: It is there, but cannot be read.
            MfxError: Metaflow's metadata service does not answer.
        """
        try:
            with asking():
                if step not in self._steps:  # each takes a service several requests
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
        """An artifact.

        Raises:
            MfxError: The run did not get that far.
        """
        found = self.get(step, name)
        if found is None:
            raise MfxError(
                f"run {self.run.pathspec} has no '{name}' of step '{step}'",
                "It stopped or is not there yet; `mfx ls` lists runs.",
            )
        return found

    @property
    def place(self) -> Place:
        """Where its model is served from, if it is promoted."""
        return for_settings(self.need("start", "settings"), branch_of(self.run))

    @property
    def state(self) -> str:
        """What became of it, in one word; see `mfx.registry.states`."""
        with asking():
            return state_of(self.run, began(self.run)).name


def results(run: str, flow: str = "") -> Results:
    """A run's results.

    Args:
        run: Its id, the beginning of one, `latest`, or a pathspec such as `Pipeline/1795224967`.
            A whole id is found in any namespace, the others in the client's.
        flow: The flow's name, where `run` does not say it. By default an id is looked for in all
            flows of the project, and the latest run is that of its only one.

    Raises:
        NoSuchRunError: There is no such run.
        MfxError: There are several; or it is `latest`, and the project has several flows.
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
        raise NoSuchRunError(
            f"no run {what}{_within()}", "`mfx ls --all` lists the runs there are."
        )
    shown = ", ".join(r.id for r in fitting[:3]) + (", …" if len(fitting) > 3 else "")
    raise MfxError(f"run {run} may be any of {len(fitting)}: {shown}", "Give more of the id.")


def newest(flow: str = "", count: int | None = None) -> Iterator[Results]:
    """Runs in the client's namespace, newest first.

    Args:
        flow: The flow's name; by default runs of all flows of the project.
        count: How many at most; by default all.

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
        production: Id of the run in production by place, None where that cannot be read; filled as
            needed, so that each place is read once. Without it nothing is asked, and the summary's
            `production` is None.
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
        # One run that cannot be read must not hide the other runs.
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
    """What a run's results say of it."""
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
    """Id of the run in production at a place, empty if there is none; None if it cannot be read."""
    from mfx.registry.promotion import read_view

    try:
        current = read_view(place.open()).current
    except MfxError:
        # One run's destination that is out of reach must not hide the other runs.
        return None
    return current.run if current else ""


def _files(sources: Sources) -> str:
    names = [file.path.replace("\\", "/").rsplit("/", 1)[-1] for file in sources.files]
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)})"
