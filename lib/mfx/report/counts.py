"""What a card says of the examples: how many rows there are, of each kind, and changed cells."""

from __future__ import annotations

from metaflow.cards import Markdown

from mfx.artifacts import Examples
from mfx.report.card_parts import Components, table
from mfx.report.vega_lite import text


def row_counts(examples: Examples) -> Components:
    """Rows of each split, rejected ones by reason, and all that were read."""
    counts = [*examples.rows.items()]
    counts += [(f"rejected: {reason}", rows) for reason, rows in examples.rejected.items()]
    total = max(examples.rows_in, 1)
    rows = [[text(name), f"{rows:,}", f"{rows / total:.1%}"] for name, rows in counts]
    if not examples.rejected:
        rows.append(["rejected", "0", "0.0%"])
    rows.append(["read", f"{examples.rows_in:,}", "100.0%"])
    drawn = table(["", "rows", "share"], rows)
    if examples.misfits:
        drawn.append(
            Markdown(
                "Rows that do not fit are kept aside: `run.data.examples.rejected_rows()` has "
                f"their files, places and texts. `[data] tolerate` is {examples.tolerate}."
            )
        )
    return drawn


def spans(examples: Examples) -> Components:
    """The rows of each span, if there are spans."""
    if not examples.spans:
        return []
    rows = [
        [text(str(part.span)), *(f"{part.rows[split]:,}" for split in examples.rows)]
        for part in examples.spans
    ]
    return table(["span", *examples.rows], rows)


def cells_changed(examples: Examples) -> Components:
    """Cells whose value in the examples is not what the input says."""
    rows = [
        [text(column), text(repr(said)), what, f"{cells:,}"]
        for found, what in (
            (examples.missing, "taken as missing"),
            (examples.rounded, "rounded to float32"),
        )
        for column, said, cells in found
    ]
    if not rows:
        return []
    return [Markdown("## Cells"), *table(["column", "text", "", "cells"], rows, "texts")]
