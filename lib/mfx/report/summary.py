"""The summary of a finished run, in a dozen lines."""

from __future__ import annotations

from typing import Any

from mfx import label
from mfx.artifacts import OVERALL
from mfx.artifacts.spans import in_words
from mfx.figures import metric

_ASIDE = "              run.data.examples.rejected_rows() has those that do not fit"
_ACCEPT = "              inferred in this run; accept it with .venv/bin/mfx schema accept {}"


def summarize(run: Any, run_id: str) -> str:
    """The summary that `end` prints.

    Args:
        run: The flow at its end: its artifacts examples, schema, anomalies, transform_graph,
            evaluation and pushed, and `script_name`, its file's name.
        run_id: The run's id.
    """
    examples, evaluation, pushed = run.examples, run.evaluation, run.pushed
    blessing = evaluation.blessing
    rows = ", ".join(f"{split} {count:,}" for split, count in examples.rows.items())
    rejected = sum(examples.rejected.values())
    why = (evaluation.no_value or {}).get(OVERALL, {})
    shown = {
        n: metric(v) + (f" ({why[n]})" if n in why else "") for n, v in evaluation.overall.items()
    }
    metrics = ", ".join(f"{n} {value}" for n, value in shown.items())
    graph = getattr(run, "transform_graph", None)
    said = label.describe(graph.label) if graph else []
    python = f".venv/bin/python flows/{run.script_name}"
    lines = [
        f"rows        {rows}" + (f", rejected {rejected:,}" if rejected else ""),
        *([f"spans       {in_words(p.span for p in examples.spans)}"] if examples.spans else []),
        *(
            f"              {n:,} rejected: {why}"
            for why, n in [*examples.rejected.items()][:5]
            if n
        ),
        *([_ASIDE] if examples.misfits else []),
        f"schema      {run.schema.path}",
        *([_ACCEPT.format(run_id)] if run.schema.inferred else []),
        *(f"label       {line.removeprefix('label ')}" for line in said),
        f"anomalies   {len(run.anomalies.found) or 'none'}",
        f"metrics     {evaluation.where}{metrics}",
        f"blessed     {'yes' if blessing.blessed else 'NO'} "
        f"({blessing.outcome}; baseline: {blessing.baseline})",
        *(f"              {check}" for check in blessing.failures[:5]),
        *(f"              {check}" for check in blessing.unchecked[:2]),
        f"pushed      {pushed.path if pushed.pushed else 'NO: ' + pushed.reason}",
        f"cards       {python} card view {run_id}/evaluate  (or validate, train, push)",
        f"resume      {python} resume  (after a failure)",
    ]
    return "\n".join(lines)
