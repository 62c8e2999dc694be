"""What the functions of all steps make of a pipeline, without a flow: the hashes that a run of it
must leave.

    PYTHONPATH=tests python -m helpers.steps_here CONFIG FOLDER
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from helpers.checkpoints import Checkpoints
from helpers.storing import saving
from mfx import config


def digests(
    examples: Any,
    statistics: Any,
    schema: Any,
    transform_graph: Any,
    transformed: Any,
    model: Any,
    evaluation: Any,
) -> dict[str, Any]:
    """Hashes of a pipeline's results, and what else must not differ; can be written as JSON."""
    made = dict(locals())
    names = ("examples", "statistics", "schema", "transform_graph", "transformed", "model")
    return {
        **{name: made[name].digest for name in names},
        "rows": examples.rows,
        "weights": model.weights,
        "files": model.payload.digest,
        "history": model.history,
        "metrics": [[str(row.slice), row.metrics] for row in evaluation.rows],
        "predictions": evaluation.predictions.digest,
        "candidates": evaluation.candidates,
        "blessed": evaluation.blessing.blessed,
    }


def make(path: Path, folder: Path) -> dict[str, Any]:
    """Make all results of the pipeline with this config; `folder` is for what they leave."""
    from mfx.evaluate.evaluate import evaluate
    from mfx.flow import start
    from mfx.ingest import ingest
    from mfx.transform.transform import transform
    from mfx.validate.validate import validate

    settings = config.load(path)
    with saving(folder / "datastore"):
        sources = start.resolve(settings)
        parts = [ingest.ingest(shard, sources, settings) for shard in sources.shards]
        examples = ingest.merge(parts, sources)
        statistics, schema, _ = validate(examples, settings)
        graph, transformed = transform(examples, schema, settings)
        # The names in a SavedModel count what its process has made before.
        with ProcessPoolExecutor(1, get_context("spawn")) as another:
            model = another.submit(train, graph, transformed, settings, folder).result()
        model, evaluation = evaluate([model], examples, transformed, settings, None)
        return digests(examples, statistics, schema, graph, transformed, model, evaluation)


def train(graph: Any, transformed: Any, settings: Any, folder: Path) -> Any:
    """Train the first candidate."""
    from mfx.train.train import train

    with saving(folder / "datastore"):
        kept = Checkpoints(folder / "kept")
        return train(graph, transformed, settings, 0, kept, lambda line: None)


if __name__ == "__main__":
    json.dump(make(Path(sys.argv[1]), Path(sys.argv[2])), sys.stdout)
