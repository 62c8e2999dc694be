"""Push the model if it is blessed and a real server gave the right answers (TFX: Pusher)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mfx import registry
from mfx.artifacts import Evaluation, Examples, Model, PushedModel, Replay, store, trial
from mfx.artifacts.store import Payload
from mfx.config import Settings
from mfx.errors import MfxError
from mfx.export import warmup
from mfx.push import infra_validation
from mfx.splits import EVAL

_ELSEWHERE = (
    "To push somewhere else: `run --from-run ID --destination …` reuses the results of run ID. "
    "(`resume` keeps the old destination.)"
)


def push(
    model: Model,
    evaluation: Evaluation,
    examples: Examples,
    settings: Settings,
    run: str,
    report: Callable[[str], object] = lambda line: None,
) -> PushedModel:
    """Serve the model and replay rows, then push it if all is well.

    The model must be blessed, and its answers must be those it was evaluated with. A trial
    (Metaflow's `spin`) pushes nothing.

    Args:
        model: The SavedModel to push.
        evaluation: Its blessing, and the answers that it must repeat.
        examples: The rows as ingested; some that it was evaluated on are replayed.
        settings: Where to push, and how many rows to replay.
        run: The run's id. A second call with the same id does not push a second version.
        report: Called with one line of text if a trial leaves something undone.

    Returns:
        The pushed version and its address, or why nothing was pushed.

    Raises:
        MfxError: The destination cannot be read or written.
    """
    lineage = model.lineage.derived(model.digest, evaluation.predictions.digest)
    place = registry.place.for_settings(settings, registry.place.current_branch())
    trying = trial.is_trial()
    with _or_elsewhere():
        view = (registry.promotion.read_view if trying else registry.promotion.begin)(place.open())
    with model.payload.files() as folder:
        replayed = replay_rows(folder, evaluation, examples, settings)
        requests = None
        if replayed.valid:
            requests = warm_up(folder, examples, settings, evaluation.split)
    if reasons := registry.actions.refusals(evaluation, replayed):
        return PushedModel("", None, "; ".join(reasons), replayed, lineage, requests)
    if trying:
        report(f"spin records no run, so it promotes no model: nothing was changed at {place}")
        reason = "blessed and valid, not promoted by spin"
        return PushedModel("", None, reason, replayed, lineage, requests)
    if settings.push.promote == "manual":
        reason = f"blessed and valid, not promoted: mfx promote {run}"
        return PushedModel("", None, reason, replayed, lineage, requests)
    try:
        with _or_elsewhere():
            entry, remark = registry.actions.promote_model(
                place, view, model, evaluation, run, requests, settings.push.keep, replayed
            )
    except registry.ConflictError as error:
        reason = f"blessed and valid, but {error.what}; to promote it: mfx promote {run}"
        return PushedModel("", None, reason, replayed, lineage, requests)
    path = place.open().path(entry.version)
    reason = "; ".join(filter(None, ["blessed and valid", remark]))
    return PushedModel(path, entry.version, reason, replayed, lineage, requests)


@contextmanager
def _or_elsewhere() -> Iterator[None]:
    """If the destination fails, add to the error how to push the trained model somewhere else."""
    try:
        yield
    except registry.ConflictError:
        raise
    except MfxError as error:
        raise MfxError(error.what, f"{error.remedy}\n{_ELSEWHERE}") from None


def warm_up(folder: Path, examples: Examples, settings: Settings, split: str = EVAL) -> Payload:
    """Save warm-up requests for the SavedModel in `folder`; they use the rows of `replay_rows`."""
    chosen = _chosen(examples.rows[split], settings)[: max(warmup.SIZES)]
    rows = _raw_rows(examples, split, chosen, leave_out=settings.label.columns)
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        requests = warmup.requests(folder, rows, settings.pipeline.name)
        warmup.write(Path(directory), requests)
        return store.save(directory)


def replay_rows(
    folder: Path, evaluation: Evaluation, examples: Examples, settings: Settings, kind: str = ""
) -> Replay:
    """Serve the SavedModel in `folder`, replay rows, and compare the answers with evaluate's.

    The rows are of the split that it was evaluated on.

    Args:
        folder: The SavedModel.
        evaluation: Has the answers that evaluate got.
        examples: The rows as ingested.
        settings: Say how many rows to replay, the batch sizes and the tolerance.
        kind: The server, a name in `servers.SERVERS`; by default the best one on this machine.
    """
    with evaluation.predictions.files() as directory:
        table = pq.read_table(directory / "predictions.parquet")
    # Old runs kept no answers; theirs are equal to their predictions.
    answers = table["answer" if "answer" in table.column_names else "prediction"]
    expected = np.asarray(answers.to_pylist(), np.float64).reshape(table.num_rows, -1)
    chosen = _chosen(table.num_rows, settings)
    rows = _raw_rows(examples, evaluation.split, chosen, settings.label.columns).to_pylist()
    name = settings.pipeline.name
    return infra_validation.validate(folder, name, rows, expected[chosen], settings.push, kind)


def _chosen(rows: int, settings: Settings) -> np.ndarray:
    """Indices of the rows to replay, spread over a split; int64, ascending."""
    spread = np.linspace(0, rows - 1, settings.push.replay_rows)
    return np.unique(spread.round().astype(np.int64))


def _raw_rows(
    examples: Examples, split: str, chosen: np.ndarray, leave_out: list[str]
) -> pa.RecordBatch:
    """The rows of a split with these indices, without the columns in `leave_out`."""
    columns = [name for name in examples.columns if name not in leave_out]
    found = []
    begin = 0
    for batch in examples.batches(split, columns=columns):
        here = chosen[(chosen >= begin) & (chosen < begin + batch.num_rows)] - begin
        found.append(batch.take(pa.array(here)))
        begin += batch.num_rows
        if begin > chosen[-1]:
            break
    (rows,) = pa.Table.from_batches(found).combine_chunks().to_batches()
    return rows
