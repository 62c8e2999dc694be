"""Promote and roll back: what is asked for, whether it may be, and the tags that tell of it."""

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
    """What came of asking for a change.

    Args:
        entry: The entry of the log that is in production now; in a dry run the planned one.
        remarks: For people.
        new: Whether this call made the entry.
        place: What was changed.
    """

    entry: Entry
    remarks: list[str]
    new: bool
    place: Place


def facts(model: Model, evaluation: Evaluation, replayed: Replay | None) -> dict[str, Any]:
    """What the version's record and the log say of a model."""
    # Not `asdict`: what older runs left has no latencies.
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
    """What the flow's `push` does with a blessed and valid model: the code path of `promote`.

    `warmup` are files that go with the model's, `keep` is `[push] keep`, `replayed` is how the
    model was served.

    Returns:
        The entry in the log, and what is to be said of the run's tags and older versions, or ''.
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
            f"of branch {found.place.branch or PRODUCTION_BRANCH}: not compared with what "
            f"{place} serves"
        )
    if reasons and not override:
        raise MfxError(
            f"run {found.id} is {'; '.join(reasons)}",
            'Nothing was changed. Promote it nevertheless with --override "why"; that is recorded.',
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
            f"it was compared with {evaluation.blessing.baseline}; run {view.current.run} is in "
            "production since"
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
        # Whoever asked did not know of it: going back one more might be one too many.
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
    """What rolling back would serve, nearest first, after the entry in production.

    Rolling back twice goes back twice: entries that were rolled back from do not come up again.
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
                "No earlier model was in production; `mfx history` shows the log.",
            )
        return earlier[0]
    to = to.rpartition("/")[2]
    fitting = {entry.run: entry for entry in view.served if to and entry.run.startswith(to)}
    if to in fitting:
        return fitting[to]
    if len(fitting) > 1:
        raise MfxError(f"run {to} may be any of {', '.join(fitting)}", "Give more of the id.")
    if not fitting:
        raise MfxError(
            f"{place}: run {to} was never in production",
            f"`mfx history` shows what was; to serve it for the first time: mfx promote {to}",
        )
    return next(iter(fitting.values()))


def _bring_back(destination: Destination, view: View, target: Entry, folder: Path) -> None:
    """The bytes of an earlier entry: from a version still there, else from the run's payload."""
    for entry in view.served:
        there = entry.digest == target.digest and entry.version in view.versions
        if there and destination.digest(entry.version) == target.digest:
            with suppress(MfxError):  # removed while we read it, by another's `[push] keep`
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
            f"the bytes of run {target.run} are neither at the destination nor in Metaflow's "
            f"datastore: {error.what}",
            "Nothing was changed.",
        ) from None


def _save(model: Model, warmup: Payload | None, folder: Path) -> None:
    """All files of a version but its record."""
    model.save_to(folder)
    if warmup:
        warmup.save_to(folder)


def _after(place: Place, view: View, entry: Entry) -> list[str]:
    remarks = []
    if view.finished:
        e = view.finished
        remarks.append(
            f"{e.who} had been interrupted in the {e.kind} of run {e.run} ({e.time}): "
            + ("finished now" if not e.outcome else f"undone, {e.outcome}")
        )
    if entry.state not in (PLANNED, UNDONE) and (untagged := tag(place, entry)):
        remarks.append(untagged)
    return remarks


def tag(place: Place, entry: Entry) -> str:
    """Give the run in production, and no other, the place's tag; why that was not possible, or ''.

    Tags are for people and may be edited by anyone; the log at the destination is the truth.
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
