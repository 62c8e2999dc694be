"""What the functions of all steps make of a pipeline, without a flow: the hashes that a run of it
must leave.

    PYTHONPATH=tests python -m helpers.steps_here CONFIG FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from helpers.checkpoints import Checkpoints
from helpers.storing import saving
from mfx import config


def digests(made: Mapping[str, Any]) -> dict[str, Any]:
    """Hashes of a pipeline's results, and what else must not differ; can be written as JSON."""
    names = ("examples", "statistics", "schema", "transform_graph", "transformed", "model")
    model, evaluation = made["model"], made["evaluation"]
    return {
        **{name: made[name].digest for name in names},
        "rows": made["examples"].rows,
        "weights": model.weights,
        "files": model.payload.digest,
        "history": model.history,
        "metrics": [[str(row.slice), row.metrics] for row in evaluation.rows],
        "predictions": evaluation.predictions.digest,
        "candidates": evaluation.candidates,
        "blessed": evaluation.blessing.blessed,
    }


def results(settings: Any, folder: Path) -> dict[str, Any]:
    """What each step makes; `folder` is for what they leave."""
    from mfx.evaluate.evaluate import evaluate
    from mfx.flow import start
    from mfx.ingest import ingest
    from mfx.transform.transform import transform
    from mfx.validate.validate import validate

    with saving(folder / "datastore"):
        sources = start.resolve(settings)
        parts = [ingest.ingest(shard, sources, settings) for shard in sources.shards]
        examples = ingest.merge(parts, sources)
        statistics, schema, anomalies = validate(examples, settings)
        graph, transformed = transform(examples, schema, settings)
        # The names in a SavedModel count what its process has made before.
        with ProcessPoolExecutor(1, get_context("spawn")) as another:
            model = another.submit(train, graph, transformed, settings, folder).result()
        model, evaluation = evaluate([model], examples, transformed, settings, None)
        return {
            "examples": examples,
            "statistics": statistics,
            "schema": schema,
            "anomalies": anomalies,
            "transform_graph": graph,
            "transformed": transformed,
            "model": model,
            "evaluation": evaluation,
        }


def train(graph: Any, transformed: Any, settings: Any, folder: Path) -> Any:
    """Train the first candidate."""
    from mfx.train.train import train

    with saving(folder / "datastore"):
        kept = Checkpoints(folder / "kept")
        return train(graph, transformed, settings, 0, kept, lambda line: None)


if __name__ == "__main__":
    json.dump(digests(results(config.load(sys.argv[1]), Path(sys.argv[2]))), sys.stdout)
