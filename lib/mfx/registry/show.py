"""One run: what it was made from, what changed against its parent, what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mfx.artifacts import SPLITS
from mfx.artifacts.examples import shown
from mfx.errors import MfxError
from mfx.registry import runs
from mfx.registry.changes import Changes, changes, commit
from mfx.registry.log import Entry, Log
from mfx.registry.place import branch_of
from mfx.registry.promotion import UNKNOWN
from mfx.registry.runs import Results


@dataclass(frozen=True)
class Shown:
    """A run.

    Args:
        facts: By name, for people.
        parent: What changed against its parent: the run in production that it was compared with,
            or else the finished run before it; None if there is none.
        failures: Checks that the model did not pass.
        anomalies: Of the data.
        promotions: Its entries in the log.
    """

    facts: dict[str, str]
    parent: Changes | None
    failures: list[str]
    anomalies: list[str]
    promotions: list[Entry]


def show(found: Results) -> Shown:
    """Gather what is known of a run, however far it got."""
    evaluation, anomalies = found.evaluation, found.get("validate", "anomalies")
    parent = _parent(found)
    facts, promotions = _facts(found), []
    if found.settings:
        try:
            log = Log(found.place.open()).entries()
            promotions = [entry for entry in log if entry.run == found.id]
        except MfxError as error:
            facts["log"] = f"cannot be read: {error.what}"
    return Shown(
        facts=facts,
        parent=changes(parent, found, with_drift=False) if parent and found.settings else None,
        failures=[str(check) for check in evaluation.blessing.failures] if evaluation else [],
        anomalies=[str(anomaly) for anomaly in anomalies.found] if anomalies else [],
        promotions=promotions,
    )


def _facts(found: Results) -> dict[str, str]:
    run = found.run
    user = next((tag for tag in run.tags if tag.startswith("user:")), "")
    branch = branch_of(run)
    facts = {
        "run": f"{run.pathspec}, {found.state}, {runs.began(run):%Y-%m-%d %H:%M:%S}, {user}"
        + (f", branch {branch}" if branch else ""),
        "tags": ", ".join(sorted(run.user_tags)),
    }
    if sources := found.sources:
        facts["data"] = f"{sources.lineage.data[:12]}  {shown(sources.files)}"
        facts["code"] = f"{sources.lineage.code[:12]}  commit {commit(found) or 'unknown'}"
        facts["config"] = sources.lineage.config[:12]
    if examples := found.examples:
        rows = ", ".join(f"{split} {examples.rows[split]:,}" for split in SPLITS)
        rejected = sum(examples.rejected.values())
        facts["examples"] = f"{examples.digest[:12]}  {rows}, rejected {rejected:,}"
    if schema := found.get("validate", "schema"):
        facts["schema"] = f"{schema.digest[:12]}  {'inferred' if schema.inferred else schema.path}"
    if graph := found.get("transform", "transform_graph"):
        facts["transform"] = graph.digest[:12]
    return {name: text for name, text in (facts | _outcome(found)).items() if text}


def _outcome(found: Results) -> dict[str, str]:
    """The model, its metrics, and whether it was blessed and pushed."""
    facts: dict[str, Any] = {}
    if model := found.get("evaluate", "model"):
        facts["model"] = (
            f"{model.digest[:12]}  candidate {model.candidate}, {model.steps:,} steps on "
            f"{model.device}, {model.payload.size / 1e6:.1f} MB"
        )
    if evaluation := found.evaluation:
        overall = {k: v for k, v in evaluation.rows[0].items() if k != "slice" and v is not None}
        facts["metrics"] = ", ".join(
            f"{k} {v:,.0f}" if k == "example_count" else f"{k} {v:.4f}" for k, v in overall.items()
        )
        blessing = evaluation.blessing
        passed = len(blessing.checks) - len(blessing.failures)
        facts["blessed"] = (
            f"{'yes' if blessing.blessed else 'NO'}, {passed} of {len(blessing.checks)} checks, "
            f"compared with {blessing.baseline}"
        )
    if pushed := found.pushed:
        facts["pushed"] = f"{pushed.path}  {pushed.reason}" if pushed.pushed else pushed.reason
    return facts


def _parent(found: Results) -> Results | None:
    flow = found.run.parent.id
    if evaluation := found.evaluation:
        baseline = evaluation.blessing.baseline.split(" ")[0]
        try:
            if baseline not in ("first", UNKNOWN):
                return runs.results(baseline, flow)
        except MfxError:  # its run is no longer in Metaflow
            pass
    earlier = [run for run in found.run.parent if runs.began(run) < runs.began(found.run)]
    for run in sorted(earlier, key=runs.began, reverse=True):
        if run.finished and Results(run).settings:
            return Results(run)
    return None
