"""Show one run: what it was made from, what has changed since its parent, and its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mfx import figures
from mfx.artifacts import Evaluation
from mfx.artifacts.examples import paths_in_words
from mfx.artifacts.spans import in_words
from mfx.errors import MfxError
from mfx.registry import runs
from mfx.registry.changes import Changes, changes, commit
from mfx.registry.client import UnreadableError, began
from mfx.registry.log import Entry, Log
from mfx.registry.place import branch_of
from mfx.registry.promotion import UNKNOWN
from mfx.registry.runs import Results

_SHOWN = 5
"""How many columns with missing or rounded cells are named."""


@dataclass(frozen=True)
class RunDetails:
    """Everything that is known about a run.

    Args:
        facts: Facts in words, by name.
        parent: What has changed since its parent: the run in production that it was compared with,
            or else the finished run before it; None if there is no parent.
        failures: The checks that failed.
        unchecked: The checks that could not be made, because a metric has no value.
        anomalies: The anomalies in the data.
        promotions: The run's entries in the log.
    """

    facts: dict[str, str]
    parent: Changes | None
    failures: list[str]
    unchecked: list[str]
    anomalies: list[str]
    promotions: list[Entry]


def gather(found: Results) -> RunDetails:
    """Gather everything that is known about a run, however far it got."""
    evaluation, anomalies = found.evaluation, found.get("validate", "anomalies")
    facts, promotions = _facts(found), []
    parent = None
    try:
        if (before := _parent(found)) and found.settings:
            parent = changes(before, found, with_drift=False)
    except UnreadableError as error:
        facts["changes"] = f"not known: {error.what}"
    if found.settings:
        try:
            log = Log(found.place.open()).entries()
            promotions = [entry for entry in log if entry.run == found.id]
        except MfxError as error:
            facts["log"] = f"cannot be read: {error.what}"
    return RunDetails(
        facts=facts,
        parent=parent,
        failures=[str(check) for check in evaluation.blessing.failures] if evaluation else [],
        unchecked=[str(check) for check in evaluation.blessing.unchecked] if evaluation else [],
        anomalies=[str(anomaly) for anomaly in anomalies.found] if anomalies else [],
        promotions=promotions,
    )


def _facts(found: Results) -> dict[str, str]:
    run = found.run
    user = next((tag for tag in run.tags if tag.startswith("user:")), "")
    branch = branch_of(run)
    facts = {
        "run": f"{run.pathspec}, {found.state}, {began(run):%Y-%m-%d %H:%M:%S}, {user}"
        + (f", branch {branch}" if branch else ""),
        "tags": ", ".join(sorted(run.user_tags)),
    }
    if sources := found.sources:
        resolve = found.settings.resolve if found.settings else str
        facts["data"] = f"{sources.lineage.data[:12]}  {paths_in_words(sources.files, resolve)}"
        facts["spans"] = in_words(sources.spans)
        library = f", mfx {found.code.library}" if found.code and found.code.library else ""
        made_with = f"commit {commit(found) or 'unknown'}{library}"
        facts["code"] = f"{sources.lineage.code[:12]}  {made_with}"
        facts["config"] = sources.lineage.config[:12]
    if examples := found.examples:
        rows = ", ".join(f"{split} {examples.rows[split]:,}" for split in examples.splits)
        rejected = sum(examples.rejected.values())
        facts["examples"] = f"{examples.digest[:12]}  {rows}, rejected {rejected:,}"
        counts = sorted(examples.rejected.items(), key=lambda one: -one[1])
        facts["rejected"] = ", ".join(f"{why} ({n:,})" for why, n in counts[:_SHOWN] if n)
        facts["missing"] = _cells(examples.missing)
        facts["rounded"] = _cells(examples.rounded)
    if schema := found.get("validate", "schema"):
        # `schema.path` is not used: it is the path at the time of the run.
        settings = found.need("start", "settings")
        path = "inferred" if schema.inferred else settings.resolve(settings.schema_.path)
        facts["schema"] = f"{schema.digest[:12]}  {path}"
    if graph := found.get("transform", "transform_graph"):
        facts["transform"] = graph.digest[:12]
    return {name: text for name, text in (facts | _outcome(found)).items() if text}


def _cells(counted: tuple[tuple[str, str, int], ...]) -> str:
    """Columns and texts in words, those with the most cells first."""
    ordered = sorted(counted, key=lambda one: -one[2])
    shown = [f"{column} {cells:,} ({text!r})" for column, text, cells in ordered[:_SHOWN]]
    more = len(ordered) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _outcome(found: Results) -> dict[str, str]:
    """The model, its metrics, and whether it was blessed and pushed."""
    facts: dict[str, Any] = {}
    if model := found.get("evaluate", "model"):
        facts["model"] = (
            f"{model.digest[:12]}  candidate {model.candidate}, {model.steps:,} steps on "
            f"{model.device}, {figures.megabytes(model.payload.size)}"
        )
    if evaluation := found.evaluation:
        facts["metrics"] = evaluation.where + ", ".join(
            f"{name} {_metric(evaluation, name, value)}"
            for name, value in evaluation.overall.items()
        )
        blessing = evaluation.blessing
        facts["blessed"] = (
            f"{'yes' if blessing.blessed else 'NO'}, {blessing.outcome}, "
            f"compared with {blessing.baseline}"
        )
    if pushed := found.pushed:
        version = pushed.version
        path = found.place.open().path(version) if version else ""
        facts["pushed"] = f"{path}  {pushed.reason}" if pushed.pushed else pushed.reason
    return facts


def _metric(evaluation: Evaluation, name: str, value: float | None) -> str:
    if value is None:
        return f"no value ({evaluation.why_none(name) or 'the reason is not known'})"
    return figures.metric(value)


def _parent(found: Results) -> Results | None:
    flow = found.run.parent.id
    if evaluation := found.evaluation:
        compared = evaluation.blessing.baseline.run
        try:
            if compared not in (None, UNKNOWN):
                return runs.results(compared, flow)
        except MfxError:  # Metaflow does not have that run any more.
            pass
    earlier = [run for run in found.run.parent if began(run) < began(found.run)]
    for run in sorted(earlier, key=began, reverse=True):
        if run.finished and Results(run).settings:
            return Results(run)
    return None
