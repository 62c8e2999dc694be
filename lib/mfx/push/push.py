"""Push the candidate if it is blessed and was served for real (TFX: Pusher)."""

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

_ELSEWHERE = (
    "To push elsewhere: `run --from-run ID --destination …` takes over what run ID made; "
    "`resume` keeps its destination."
)


def push(
    model: Model,
    evaluation: Evaluation,
    examples: Examples,
    settings: Settings,
    run: str,
    report: Callable[[str], object] = lambda line: None,
) -> PushedModel:
    """Replay eval rows; push only a model that is blessed and answered as it was evaluated.

    Args:
        model: The SavedModel to push.
        evaluation: Its blessing, and the predictions that it must repeat.
        examples: Raw rows to replay.
        settings: Where to push, and how many rows to replay.
        run: Id of the run; a second call for it pushes nothing more. A trial pushes nothing.
        report: Takes a line on what a trial has left undone.

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
        requests = warm_up(folder, examples, settings) if replayed.valid else None
    if reasons := registry.actions.refusals(evaluation, replayed):
        return PushedModel("", None, "; ".join(reasons), replayed, lineage, requests)
    if trying:
        report(f"spin records no run, and so promotes none: nothing was changed at {place}")
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
    """Say how a run that has trained can still be pushed, where its destination fails it."""
    try:
        yield
    except registry.ConflictError:
        raise
    except MfxError as error:
        raise MfxError(error.what, f"{error.remedy}\n{_ELSEWHERE}") from None


def warm_up(folder: Path, examples: Examples, settings: Settings) -> Payload:
    """Warm-up requests for the SavedModel in `folder`, made of rows that `replay_rows` asks."""
    chosen = _chosen(examples.rows["eval"], settings)[: max(warmup.SIZES)]
    rows = _raw_rows(examples, chosen, leave_out=settings.label.columns)
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        requests = warmup.requests(folder, rows, settings.pipeline.name)
        warmup.write(Path(directory), requests)
        return store.save(directory)


def replay_rows(
    folder: Path, evaluation: Evaluation, examples: Examples, settings: Settings, kind: str = ""
) -> Replay:
    """Serve the SavedModel in `folder`, ask for eval rows, and compare with what the evaluator got
    as answers; by a server of the kind, or the best there is."""
    with evaluation.predictions.files() as directory:
        table = pq.read_table(directory / "predictions.parquet")
    # Runs before answers were kept had no others than predictions.
    answers = table["answer" if "answer" in table.column_names else "prediction"]
    expected = np.asarray(answers.to_pylist(), np.float64).reshape(table.num_rows, -1)
    chosen = _chosen(table.num_rows, settings)
    rows = _raw_rows(examples, chosen, settings.label.columns).to_pylist()
    name = settings.pipeline.name
    return infra_validation.validate(folder, name, rows, expected[chosen], settings.push, kind)


def _chosen(rows: int, settings: Settings) -> np.ndarray:
    """Numbers of the rows asked, spread over the eval split, int64 in ascending order."""
    spread = np.linspace(0, rows - 1, settings.push.replay_rows)
    return np.unique(spread.round().astype(np.int64))


def _raw_rows(examples: Examples, chosen: np.ndarray, leave_out: list[str]) -> pa.RecordBatch:
    """The eval rows with these numbers."""
    columns = [name for name in examples.columns if name not in leave_out]
    found = []
    begin = 0
    for batch in examples.batches("eval", columns=columns):
        here = chosen[(chosen >= begin) & (chosen < begin + batch.num_rows)] - begin
        found.append(batch.take(pa.array(here)))
        begin += batch.num_rows
        if begin > chosen[-1]:
            break
    (rows,) = pa.Table.from_batches(found).combine_chunks().to_batches()
    return rows
