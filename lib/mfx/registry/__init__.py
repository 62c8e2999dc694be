"""What is in production, what was, and how to change it: runs compared, promoted, rolled back.

    from mfx import registry

    registry.production("taxi").run  # id of the run whose model is served
    registry.history("taxi")  # who promoted what, when and why: a DataFrame
    registry.compare(["1795224967205223", "1795231122334455"])  # metrics, differences, intervals
    registry.promote("1795231122334455", reason="more data")
    registry.rollback("taxi", reason="complaints from drivers")
    registry.load("production").signatures["predict"]

A run is given by its id, the beginning of one, `latest`, `production`, or a pathspec. Functions
that list or search honour the namespace of Metaflow's client (`metaflow.namespace`); what is in
production is read from the push destination, whoever put it there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfx.artifacts.lineage import hash_json
from mfx.config import Settings
from mfx.destinations.base import Destination
from mfx.errors import MfxError
from mfx.registry import actions, flows, place, promotion, runs
from mfx.registry.client import absent, asking, began
from mfx.registry.log import Entry, Log, parse_time
from mfx.registry.place import Place
from mfx.registry.promotion import ConflictError
from mfx.registry.runs import PRODUCTION, Results

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ConflictError",
    "Entry",
    "Place",
    "Production",
    "artifact",
    "artifacts",
    "at",
    "compare",
    "entries",
    "find_place",
    "history",
    "load",
    "production",
    "promote",
    "rollback",
    "run",
]


@dataclass(frozen=True)
class Production:
    """The model now in production.

    Args:
        run: Id of the run that made it; `unknown` if something else pushed it.
        version: Its version at the destination.
        destination: The versions and the log.
        entry: How it got there; None if no promotion put it there.
    """

    run: str
    version: int
    destination: Destination
    entry: Entry | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over what tells it from other models that are or were in production."""
        return hash_json([self.run, self.version])

    @contextmanager
    def files(self) -> Iterator[Path]:
        """The served SavedModel in a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            self.destination.fetch(self.version, Path(directory))
            yield Path(directory)


Model = str | Settings | Place | None
"""A model: its name, its config, its place, or None for that of the latest run."""


def find_place(model: Model = None, flow: str = "", branch: str = "") -> Place:
    """Where a model is served from.

    Args:
        model: Its name: the destination is that of the latest run that has one of this name.
        flow: The flow whose runs are looked through; by default all of the project's for a name,
            and its only one for the latest run.
        branch: The `@project` branch; by default the production branch.

    Raises:
        MfxError: There is no such run.
    """
    if isinstance(model, Place):
        return model
    if isinstance(model, Settings):
        return place.for_settings(model, branch)
    seen = set()
    flow = flow or ("" if model else flows.default())
    for found in runs.newest(flow):
        if (settings := found.settings) is None:
            continue
        if model in (None, settings.pipeline.name):
            return place.for_settings(settings, branch)
        seen.add(settings.pipeline.name)
    names = f"; there are {', '.join(sorted(seen))}" if seen else ""
    of = flow or " or ".join(flows.known())
    raise MfxError(f"no run of {of} makes a model '{model or ''}'{names}")


def production(model: Model = None, flow: str = "", branch: str | None = None) -> Production | None:
    """The model in production: the highest version at the push destination, which is what servers
    serve; None before the first push.

    Args:
        model: Its name, config or place.
        flow: The flow whose runs tell the destination, where only a name is given.
        branch: The `@project` branch; by default that of the running flow, or the
            production branch.

    Raises:
        MfxError: The destination cannot be read.
    """
    branch = place.current_branch() if branch is None else branch
    destination = find_place(model, flow, branch).open()
    view = promotion.read_view(destination)
    if not view.versions:
        return None
    version = view.versions[-1]
    if view.current:
        return Production(view.current.run, version, destination, view.current)
    record = destination.record(version)
    return Production(record.get("run", promotion.UNKNOWN), version, destination)


def entries(model: Model = None, flow: str = "", branch: str = "") -> list[Entry]:
    """The whole log of promotions, oldest first, also what was undone."""
    return Log(find_place(model, flow, branch).open()).entries()


def history(model: Model = None, flow: str = "", branch: str = "") -> pd.DataFrame:
    """The whole log of promotions as a table, oldest first, one column a field of `Entry`."""
    import pandas as pd

    columns = list(Entry.__dataclass_fields__)
    rows = [asdict(entry) for entry in entries(model, flow, branch)]
    return pd.DataFrame(rows, columns=columns).set_index("number")


def at(time: str, model: Model = None, flow: str = "", branch: str = "") -> Entry | None:
    """What was in production at a time; None if nothing was yet.

    Args:
        time: ISO 8601; local time where no zone is given.
        model: The model's name, config or place.
        flow: The flow whose runs tell the destination, where only a name is given.
        branch: The `@project` branch; by default the production branch.

    Raises:
        MfxError: It is no time, or the destination cannot be read.
    """
    moment = parse_time(time)
    served = promotion.read_view(find_place(model, flow, branch).open()).served
    before = [entry for entry in served if parse_time(entry.since) <= moment]
    return before[-1] if before else None


def run(name: str, flow: str = "") -> Results:
    """A run's results, lazily read.

    Args:
        name: Its id, the beginning of one, `latest`, `production`, or a pathspec.
        flow: The flow's name; by default any of the project's that has the run.

    Raises:
        MfxError: There is no such run, or several.
    """
    if name == PRODUCTION:
        flow = flow or flows.default()
        where = find_place(None, flow)
        found = production(where, flow, "")
        if found is None or found.run == promotion.UNKNOWN:
            raise MfxError(f"no run of {flow} is in production at {where}", "See `mfx history`.")
        name = f"{found.entry.flow or flow}/{found.run}" if found.entry else found.run
    return runs.results(name, flow)


def promote(
    name: str,
    reason: str = "",
    override: str = "",
    *,
    flow: str = "",
    branch: str | None = None,
    dry_run: bool = False,
) -> Entry:
    """Put a run's model into production, under a new, higher version.

    Promoting what is in production changes nothing.

    Args:
        name: The run.
        reason: Why; goes into the log.
        override: Why a model that is not blessed or not valid shall be promoted; goes into the log.
        flow: The flow's name; by default any of the project's that has the run.
        branch: The `@project` branch to promote to; by default the run's own. Another needs
            `override`: the model was never compared with what is served there.
        dry_run: Check everything, change nothing.

    Returns:
        The entry in the log.

    Raises:
        ConflictError: Another promotion came first.
        MfxError: No such run, not blessed or not valid, or the destination cannot be written.
    """
    found = run(name, flow)
    asked = (found.run.pathspec, reason, override)
    return actions.promote(*asked, branch=branch, dry_run=dry_run).entry


def rollback(
    model: Model = None,
    to: str | None = None,
    reason: str = "",
    *,
    flow: str = "",
    branch: str = "",
    dry_run: bool = False,
) -> Entry:
    """Serve an earlier production model's bytes again, under a new, higher version.

    Args:
        model: The model's name, config or place.
        to: A run that was in production; by default the one before the present. Rolling back twice
            goes back twice.
        reason: Why; goes into the log.
        flow: The flow whose runs tell the destination, where only a name is given.
        branch: The `@project` branch; by default the production branch.
        dry_run: Check everything, also the bytes' hash; change nothing.

    Returns:
        The entry in the log.

    Raises:
        ConflictError: Another promotion came first.
        MfxError: There is nothing to roll back to, or its bytes are gone.
    """
    where = find_place(model, flow, branch)
    return actions.rollback(where, to, reason, dry_run=dry_run).entry


def load(name: str, flow: str = "") -> Any:
    """A run's SavedModel, ready to be called: `load("production").signatures["predict"]`.

    Args:
        name: The run, or `production` for the files that are served.
        flow: The flow's name; by default any of the project's that has the run.

    Raises:
        MfxError: There is no such run, or it made no model.
    """
    import tensorflow as tf

    if name == PRODUCTION and (served := production(None, flow, "")):
        with served.files() as folder:
            return tf.saved_model.load(str(folder))
    with run(name, flow).need("evaluate", "model").payload.files() as folder:
        return tf.saved_model.load(str(folder))


def compare(names: Sequence[str], flow: str = "") -> pd.DataFrame:
    """Metrics of several runs on the same eval rows, with differences from the first.

    Args:
        names: Two runs or more.
        flow: The flow's name; by default any of the project's that has the run.

    Returns:
        One row a slice and metric; a column a run, and for each but the first `<run> difference`,
        `<run> low` and `<run> high`, the bounds of the 95% interval (paired bootstrap), NaN where
        there is none. `attrs["notes"]` says what could not be compared and why.

    Raises:
        MfxError: There is no such run, or its metrics cannot be compared with the others'.
    """
    from mfx.registry.comparison import compare_metrics

    return compare_metrics([run(name, flow) for name in names]).frame()


def artifact(flow: str, run: str | None, step: str, name: str) -> Any:
    """A result that a run's step left, also of a run that was stopped.

    Args:
        flow: The flow's name; by default any of the project's that has the run.
        run: Id of the run; None is the latest, of any user.
        step: The step that made it.
        name: The artifact's name.

    Raises:
        MfxError: There is no such flow, run or result; the metadata service does not answer.
    """
    (found,) = artifacts(flow, run, (step, name))
    return found


def artifacts(flow: str, run: str | None, *wanted: tuple[str, str]) -> list[Any]:
    """Results of one run, each by step and name; otherwise as `artifact`."""
    from metaflow import Flow, Run

    step, name = wanted[0]
    flow = flow or (flows.flow_of_run(run) if run else flows.default())
    which = f"run {flow}/{run}" if run else f"latest run of {flow}"
    lacking = MfxError(
        f"the {which} has no '{name}' of step '{step}'",
        "Give the id of a run that got that far; `mfx ls --all` lists runs.",
    )
    try:
        with asking():
            if run is None:
                found = max(Flow(flow, _namespace_check=False), key=began)
            else:
                found = Run(f"{flow}/{run}", _namespace_check=False)
    except absent(ValueError):
        raise lacking from None
    kept = []
    for step, name in wanted:
        if (one := Results(found).get(step, name)) is None:
            raise lacking
        kept.append(one)
    return kept
