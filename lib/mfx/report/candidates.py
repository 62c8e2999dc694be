"""What a card says of the candidates: which rows chose among them, and which judge."""

from __future__ import annotations

from metaflow.cards import Markdown

from mfx import figures
from mfx.artifacts import Evaluation
from mfx.report.card_parts import Components, cell, code, table
from mfx.splits import EVAL

SAME_ROWS = (
    "The eval rows that chose among the {} candidates also bless the model, so its metrics may be "
    "a little too good. A `test` split keeps rows apart for that: `split` under `[data]`."
)


def chosen_on(evaluation: Evaluation) -> Components:
    """Which rows chose the model, and which judge it."""
    count = len(evaluation.candidates)
    if evaluation.split != EVAL and evaluation.chosen is not None:
        value = figures.metric(evaluation.candidates[evaluation.chosen])
        chosen = f" among {count} candidates" if count > 1 else ""
        return [
            Markdown(
                f"All metrics and checks are of the {evaluation.split} split. The model was chosen"
                f"{chosen} on eval, where {code(evaluation.select)} is {value}."
            )
        ]
    return [Markdown(SAME_ROWS.format(count))] if count > 1 else []


def table_of(evaluation: Evaluation) -> Components:
    """The figure of each candidate; nothing if there is only one."""
    if len(evaluation.candidates) < 2:
        return []
    rows = [[str(place), cell(value)] for place, value in enumerate(evaluation.candidates)]
    return [
        Markdown("## Candidates"),
        *table(["candidate", f"selecting metric, on {EVAL}"], rows, "candidates"),
    ]
