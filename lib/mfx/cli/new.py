"""`mfx new`: a pipeline for a table of your own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfx.cli.text import command, table
from mfx.environment import project_around
from mfx.errors import MfxError

if TYPE_CHECKING:
    from mfx.new.proposal import Proposal


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    new = command(
        commands,
        "new",
        run,
        "write a pipeline for your own data: a flow, a config that declares features, a test",
        "mfx new penguins --data data/penguins.csv --label species",
    )
    new.add_argument("name", help="the pipeline's name: small letters, digits and '_'")
    new.add_argument("--data", required=True, help="a file, a folder or a pattern")
    new.add_argument("--label", help="the column to predict; by default found by its name")
    new.add_argument("--yes", action="store_true", help="ask nothing")


def run(given: argparse.Namespace) -> str:
    """Write the pipeline, and return what was found."""
    from mfx.new import files, proposal, sample

    project = project_around(Path.cwd())
    files.check(given.name, project)
    taken = sample.take(given.data)
    proposed = proposal.propose(taken, given.label)
    if not given.yes and given.label is None and sys.stdin.isatty():
        asked = proposed.problem
        answer = input(f"Predict {asked.column!r} ({asked.chosen})? Enter, or another column: ")
        if answer.strip():
            proposed = proposal.propose(taken, answer.strip())
    if not proposed.features:
        raise MfxError(
            f"{given.data}: no column that can be a feature",
            "Expected numbers, dates, categories, texts or images beside the label.",
        )
    written = files.write(given.name, given.data, proposed, project)
    return "\n".join([*_found(proposed), "", *_next(given.name, written, project)])


def _found(proposed: Proposal) -> list[str]:
    asked, taken = proposed.problem, proposed.sample
    rows = [
        [one.column, _shown(one.features), one.warning or one.why] for one in proposed.treatments
    ]
    seen = f"{taken.table.num_rows:,} rows"
    if not taken.whole:
        seen += f", a sample of about {taken.about:,}"
    lines = [
        f"{seen}, {taken.table.num_columns} columns",
        f"label {asked.column!r} ({asked.chosen}): {asked.kind}, as it has {asked.why}",
        "",
        table(rows, ["column", "features", "why"]),
    ]
    if proposed.key:
        lines.append(f"\nrows with the same {proposed.key[0]!r} stay in one split")
    if asked.drop:
        from mfx.new.proposal import DROPPED

        lines.append(DROPPED.format(asked.drop))
    return lines


def _shown(features: dict[str, Any]) -> str:
    kinds = [one if isinstance(one, str) else one["kind"] for one in features.values()]
    return ", ".join(kinds) or "-"


def _next(name: str, written: list[Path], project: Path) -> list[str]:
    elsewhere = [f"  cd {project}"] if Path.cwd() != project else []
    files = [f"wrote {path if elsewhere else path.relative_to(project)}" for path in written]
    return [*files, "", "Now:", *elsewhere, f"  .venv/bin/python flows/{name}.py run"]
