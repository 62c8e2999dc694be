"""See and change what is in production: compare, promote and roll back runs.

    from mfx import registry

    registry.production("taxi").run  # id of the run whose model is served
    registry.history("taxi")  # who promoted what, when and why: a DataFrame
    registry.compare(["1795224967205223", "1795231122334455"])  # metrics, differences, intervals
    registry.promote("1795231122334455", reason="more data")
    registry.rollback("taxi", reason="complaints from drivers")
    registry.load("production").signatures["predict"]

Name a run by its id, the begin of an id, `latest`, `production`, or a pathspec. Functions that list
or search runs use the namespace of Metaflow's client (`metaflow.namespace`). What is in production
is read from the push destination, whoever put it there.
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
        run: The id of the run that made it; `unknown` if something else pushed it.
        version: Its version at the destination.
        destination: The destination, with the versions and the log.
        entry: The log's entry of its promotion; None if no promotion put it there.
    """

    run: str
    version: int
    destination: Destination
    entry: Entry | None = None

    @property
    def digest(self) -> str:
        """A hash that differs for each model that is or was in production."""
        return hash_json([self.run, self.version])

    @contextmanager
    def files(self) -> Iterator[Path]:
        """A context that gives the served SavedModel in a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            self.destination.fetch(self.version, Path(directory))
            yield Path(directory)


Model = str | Settings | Place | None
"""A model: its name, its config or its place; None for the model of the latest run."""


def find_place(model: Model = None, flow: str = "", branch: str = "") -> Place:
    """Find the place from which a model is served.

    Args:
        model: The model. For a name, it is the destination of the latest run that makes a model
            with this name.
        flow: The flow whose runs are searched. By default, for a name all flows of the project; for
            the latest run the default flow (`flows.default`).
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
    """The model in production; None before the first push.

    It is the highest version at the push destination, since this is what servers serve.

    Args:
        model: The model's name, config or place.
        flow: The flow whose runs say the destination, if only a name is given.
        branch: The `@project` branch; by default that of the running flow, or else the production
            branch.

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
    """The whole log of promotions, oldest first, with entries that were undone."""
    return Log(find_place(model, flow, branch).open()).entries()


def history(model: Model = None, flow: str = "", branch: str = "") -> pd.DataFrame:
    """The whole log of promotions as a table, oldest first, with a column per field of `Entry`."""
    import pandas as pd

    columns = list(Entry.__dataclass_fields__)
    rows = [asdict(entry) for entry in entries(model, flow, branch)]
    return pd.DataFrame(rows, columns=columns).set_index("number")


def at(time: str, model: Model = None, flow: str = "", branch: str = "") -> Entry | None:
    """The entry that was in production at a time; None if there was none yet.

    Args:
        time: A time in ISO 8601; without a zone it is local time.
        model: The model's name, config or place.
        flow: The flow whose runs say the destination, if only a name is given.
        branch: The `@project` branch; by default the production branch.

    Raises:
        MfxError: `time` is not a time, or the destination cannot be read.
    """
    moment = parse_time(time)
    served = promotion.read_view(find_place(model, flow, branch).open()).served
    before = [entry for entry in served if parse_time(entry.since) <= moment]
    return before[-1] if before else None


def run(name: str, flow: str = "") -> Results:
    """Find a run. Its results are only read when they are used.

    Args:
        name: The run's id, the begin of it, `latest`, `production`, or a pathspec.
        flow: The flow's name; by default any flow of the project that has the run.

    Raises:
        MfxError: There is no such run, or there are several.
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

    If it is in production already, nothing changes.

    Args:
        name: The run.
        reason: Why; it is written to the log.
        override: Why a model is promoted although it is not blessed or not valid; it is written to
            the log.
        flow: The flow's name; by default any flow of the project that has the run.
        branch: The `@project` branch to promote to; by default the run's own. Another branch needs
            `override`, since the model was not compared with the one that is served there.
        dry_run: Check everything, but change nothing.

    Returns:
        The entry in the log.

    Raises:
        ConflictError: Another promotion came first.
        MfxError: There is no such run, its model is not blessed or not valid, or the destination
            cannot be written.
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
    """Serve an earlier production model again, with the same files, under a new, higher version.

    Args:
        model: The model's name, config or place.
        to: A run that was in production; by default the one before the present one. Two rollbacks
            go back two models.
        reason: Why; it is written to the log.
        flow: The flow whose runs say the destination, if only a name is given.
        branch: The `@project` branch; by default the production branch.
        dry_run: Check everything, even the files' hash, but change nothing.

    Returns:
        The entry in the log.

    Raises:
        ConflictError: Another promotion came first.
        MfxError: There is nothing to roll back to, or its files do not exist any more.
    """
    where = find_place(model, flow, branch)
    return actions.rollback(where, to, reason, dry_run=dry_run).entry


def load(name: str, flow: str = "") -> Any:
    """Load a run's SavedModel, for example: `load("production").signatures["predict"]`.

    Args:
        name: The run, or `production` for the files that are served.
        flow: The flow's name; by default any flow of the project that has the run.

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
    """Compare the metrics of several runs on the same eval rows.

    Args:
        names: Two runs or more. Differences are from the first.
        flow: The flow's name; by default any flow of the project that has the run.

    Returns:
        A table with one row per slice and metric. There is a column for each run. Each run except
        the first also has `<run> difference` and the bounds of its 95% interval (paired bootstrap),
        `<run> low` and `<run> high`; NaN if there is none. `attrs["notes"]` says what could not be
        compared and why.

    Raises:
        MfxError: There is no such run, or fewer than two runs can be compared.
    """
    from mfx.registry.comparison import compare_metrics

    return compare_metrics([run(name, flow) for name in names]).frame()


def artifact(flow: str, run: str | None, step: str, name: str) -> Any:
    """Read a result of a run's step. The run may have stopped later.

    Args:
        flow: The flow's name; '' for the flow of the project that has the run.
        run: The run's id; None for the latest run of any user.
        step: The step that made the result.
        name: The artifact's name.

    Raises:
        MfxError: There is no such flow, run or result, or the metadata service does not answer.
    """
    (found,) = artifacts(flow, run, (step, name))
    return found


def artifacts(flow: str, run: str | None, *wanted: tuple[str, str]) -> list[Any]:
    """Read several results of one run, each given by step and name; see `artifact`."""
    from metaflow import Flow, Run

    step, name = wanted[0]
    flow = flow or (flows.flow_of_run(run) if run else flows.default())
    which = f"run {flow}/{run}" if run else f"latest run of {flow}"
    lacking = MfxError(
        f"the {which} has no '{name}' of step '{step}'",
        "Give the id of a run that got that far; `mfx ls --all` lists all runs.",
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
