"""Promote and roll back: check whether it is allowed, change production, update the runs' tags."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfx.artifacts import OVERALL, Evaluation, Model, Replay
from mfx.artifacts.store import Payload
from mfx.destinations.base import MEASURED, Destination, folder_digest
from mfx.errors import MfxError
from mfx.registry import place as places
from mfx.registry import promotion, retention, runs
from mfx.registry.log import PLANNED, UNDONE, Entry
from mfx.registry.place import PRODUCTION_BRANCH, Place
from mfx.registry.promotion import Request, View


@dataclass(frozen=True)
class Outcome:
    """The result of a promotion or rollback.

    Args:
        entry: The log's entry that is in production now; in a dry run the planned one.
        remarks: Lines of text for people.
        new: Whether this call made the entry.
        place: The place that was changed.
    """

    entry: Entry
    remarks: list[str]
    new: bool
    place: Place


def facts(model: Model, evaluation: Evaluation, replayed: Replay | None) -> dict[str, Any]:
    """Facts about a model for the version's record and the log."""
    # `asdict` does not work here: results of older runs have no latencies.
    served = dict(vars(replayed)) if replayed else {}
    served["latencies"] = [asdict(latency) for latency in served.get("latencies", [])]
    return {
        "model": model.digest,
        "files": model.payload.digest,
        "data": model.lineage.data,
        "code": model.lineage.code,
        "config": model.lineage.config,
        "baseline": str(evaluation.blessing.baseline),
        "metrics": {"slice": str(OVERALL), **evaluation.overall},
        MEASURED: served,
    }


def refusals(evaluation: Evaluation, replayed: Replay | None) -> list[str]:
    """Why a model may not be promoted; empty if it may."""
    reasons = []
    if not evaluation.blessing.blessed:
        failures = evaluation.blessing.failures
        shown = "; ".join(str(check) for check in failures[:3])
        more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
        reasons.append(f"not blessed: {shown}{more}")
    if replayed is None:
        reasons.append("not valid: its run did not replay eval rows")
    elif not replayed.valid:
        reasons.append(f"not valid: {replayed.error}")
    return reasons


def promote_model(
    place: Place,
    view: View,
    model: Model,
    evaluation: Evaluation,
    run: str,
    warmup: Payload | None = None,
    keep: int | None = None,
    replayed: Replay | None = None,
) -> tuple[Entry, str]:
    """Promote a blessed and valid model. The flow's step `push` calls this.

    Args:
        place: Where the model is served from.
        view: The state of the destination on which the decision is based.
        model: The model.
        evaluation: Its evaluation.
        run: The run's id.
        warmup: Warm-up requests to add to the model's files.
        keep: The config's `[push] keep`; None to keep all versions.
        replayed: How a model server answered with the model.

    Returns:
        The entry in the log, and remarks about the run's tags and older versions, or ''.
    """
    flow = model.payload.flow
    known = {"flow": flow, "run": run, **facts(model, evaluation, replayed)}
    request = Request("promote", flow, run, known)
    entry = promotion.apply(place.open(), view, request, lambda to: _save(model, warmup, to))
    remarks = [tag(place, entry), retention.retain_or_warn(place.open(), keep, entry.version)]
    return entry, "; ".join(filter(None, remarks))


def promote(
    run: str,
    reason: str = "",
    override: str = "",
    *,
    branch: str | None = None,
    flow: str = "",
    dry_run: bool = False,
) -> Outcome:
    """Put a run's model into production; see `mfx.registry.promote`."""
    found = runs.results(run, flow)
    place = found.place
    if branch is not None:
        place = places.for_settings(found.need("start", "settings"), branch)
    destination = place.open()
    view = promotion.read_view(destination) if dry_run else promotion.begin(destination)
    evaluation: Evaluation = found.need("evaluate", "evaluation")
    model: Model = found.need("evaluate", "model")
    pushed = found.pushed
    replayed = pushed.replay if pushed else None
    reasons = refusals(evaluation, replayed)
    if place.model != found.place.model:
        reasons.append(
            f"of branch {found.place.branch or PRODUCTION_BRANCH}: not compared with the model "
            f"that {place} serves"
        )
    if reasons and not override:
        raise MfxError(
            f"run {found.id} is {'; '.join(reasons)}",
            'Nothing was changed. To promote it anyway: --override "why"; this is recorded.',
        )
    request = Request(
        "promote",
        found.run.parent.id,
        found.id,
        {"flow": found.run.parent.id, "run": found.id, **facts(model, evaluation, replayed)},
        reason,
        override if reasons else "",
    )
    remarks = [f"overridden: {line}" for line in reasons]
    compared = evaluation.blessing.baseline.run
    if view.current and view.current.run not in (compared, found.id):
        remarks.append(
            f"it was compared with {evaluation.blessing.baseline}, but now run "
            f"{view.current.run} is in production"
        )
    warmup = pushed.warmup if pushed else None
    entry = promotion.apply(
        destination, view, request, lambda to: _save(model, warmup, to), dry_run
    )
    remarks += _after(place, view, entry)
    if not dry_run:
        keep = found.need("start", "settings").push.keep
        remarks += filter(None, [retention.retain_or_warn(destination, keep, entry.version)])
    return Outcome(entry, remarks, entry.number > view.number, place)


def rollback(
    place: Place, to: str | None = None, reason: str = "", *, dry_run: bool = False
) -> Outcome:
    """Serve an earlier production model again; see `mfx.registry.rollback`."""
    destination = place.open()
    view = promotion.read_view(destination) if dry_run else promotion.begin(destination)
    if view.finished and to is None:
        # The user did not know of this change. To go back once more might be once too often.
        return Outcome(view.finished, _after(place, view, view.finished), False, place)
    target = _target(place, view, to)
    request = Request(
        "rollback",
        target.flow,
        target.run,
        target.facts or {},
        reason,
        restores=target.number,
        digest=target.digest,
    )
    entry = promotion.apply(
        destination, view, request, lambda to: _bring_back(destination, view, target, to), dry_run
    )
    return Outcome(entry, _after(place, view, entry), entry.number > view.number, place)


def candidates(view: View) -> list[Entry]:
    """The entries to which one can roll back from the present one, nearest first.

    Entries from which somebody rolled back are left out. So two rollbacks go back two models.
    """
    by_number = {entry.number: entry for entry in view.served}
    stack: list[Entry] = []
    for entry in view.served:
        origin = _origin(entry, by_number)
        places = [_origin(e, by_number).number for e in stack]
        if entry.restores is not None and origin.number in places:
            del stack[places.index(origin.number) :]
        stack.append(entry)
    return stack[-2::-1]


def _origin(entry: Entry, by_number: dict[int, Entry]) -> Entry:
    while entry.restores is not None and entry.restores in by_number:
        entry = by_number[entry.restores]
    return entry


def _target(place: Place, view: View, to: str | None) -> Entry:
    if to is None:
        earlier = candidates(view)
        if not earlier:
            raise MfxError(
                f"{place}: nothing to roll back to",
                "No other model was in production before. `mfx history` shows the log.",
            )
        return earlier[0]
    to = to.rpartition("/")[2]
    fitting = {entry.run: entry for entry in view.served if to and entry.run.startswith(to)}
    if to in fitting:
        return fitting[to]
    if len(fitting) > 1:
        raise MfxError(
            f"several runs begin with {to}: {', '.join(fitting)}", "Give more of the id."
        )
    if not fitting:
        raise MfxError(
            f"{place}: run {to} was never in production",
            f"`mfx history` shows which runs were. To put it into production: mfx promote {to}",
        )
    return next(iter(fitting.values()))


def _bring_back(destination: Destination, view: View, target: Entry, folder: Path) -> None:
    """Write the files of an earlier entry: from a version at the destination, or from its run."""
    for entry in view.served:
        there = entry.digest == target.digest and entry.version in view.versions
        if there and destination.digest(entry.version) == target.digest:
            with suppress(MfxError):  # Another process's `[push] keep` may remove it meanwhile.
                destination.fetch(entry.version, folder)
                if folder_digest(folder) == target.digest:
                    return
    try:
        found = runs.results(target.pathspec)
        _save(
            found.need("evaluate", "model"), found.pushed.warmup if found.pushed else None, folder
        )
    except MfxError as error:
        raise MfxError(
            f"the files of run {target.run} are neither at the destination nor in Metaflow's "
            f"datastore: {error.what}",
            "Nothing was changed.",
        ) from None


def _save(model: Model, warmup: Payload | None, folder: Path) -> None:
    """Write all files of a version, except its record."""
    model.save_to(folder)
    if warmup:
        warmup.save_to(folder)


def _after(place: Place, view: View, entry: Entry) -> list[str]:
    remarks = []
    if view.finished:
        e = view.finished
        remarks.append(
            f"{e.who} was interrupted during the {e.kind} of run {e.run} ({e.time}): "
            + ("it is finished now" if not e.outcome else f"it was undone, {e.outcome}")
        )
    if entry.state not in (PLANNED, UNDONE) and (untagged := tag(place, entry)):
        remarks.append(untagged)
    return remarks


def tag(place: Place, entry: Entry) -> str:
    """Give the place's tag to the run in production, and remove it from all other runs.

    Tags are only for people, and anyone can edit them. What counts is the log at the destination.

    Returns:
        Why the run could not be tagged; '' if it was.
    """
    from metaflow import Flow, Run
    from metaflow.exception import MetaflowException

    try:
        for run in Flow(entry.flow, _namespace_check=False).runs(place.tag):
            if run.id != entry.run:
                run.remove_tag(place.tag)
        run = Run(entry.pathspec, _namespace_check=False)
        if place.tag not in run.tags:
            run.add_tag(place.tag)
    except (MetaflowException, OSError, ValueError) as error:
        return f"run {entry.run} could not be tagged {place.tag}: {str(error).splitlines()[0]}"
    return ""
