"""One object of each class that travels between steps, as a run of some version left them.

`PYTHONPATH=tests python -m helpers.kept_artifacts` writes them to
`tests/data/artifacts-<version>.pkl`. Call it when a class changed and its version is not yet
released. The file of a released version is never written again: raise the version first. Runs of
old versions stay as they are, so a class that changed must still read them (`__setstate__`, or a
default for a new field).
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
PROTOCOL = 4
"""Of pickle, as Metaflow 2.19 writes artifacts."""
FILES = {
    "eval.parquet": b"eval rows",
    "train.parquet": b"train rows",
    "saved_model.pb": b"the graph",
    "variables/data": b"the weights",
}
"""What the payloads hold. Keys in the datastore are made of the bytes alone."""


def path_of(version: str) -> Path:
    """Where the objects of this version are kept."""
    return DATA / f"artifacts-{version}.pkl"


def payload(*names: str) -> Any:
    """A payload of some of FILES, in a bucket that is nowhere."""
    from hashlib import sha1

    from mfx.artifacts.store import Blob, Payload

    blobs = [Blob(n, len(FILES[n]), (sha1(FILES[n]).hexdigest(),)) for n in sorted(names)]
    return Payload("Pipeline", "s3", "s3://bucket/metaflow", tuple(blobs))


def made() -> dict[str, Any]:
    """The objects, by the names that they have in a run."""
    from mfx.artifacts.lineage import Lineage

    lineage = Lineage("data-hash", "code-hash", "config-hash", ("parent-1", "parent-2"))
    return {**_settings(), **_of_data(lineage), **_of_training(lineage), **_of_push(lineage)}


def _settings() -> dict[str, Any]:
    from mfx import config

    return {
        "settings": config.from_dict(
            {
                "pipeline": {"name": "taxi"},
                "data": {"path": "trips-*.csv"},
                "label": {"name": "tipped", "columns": ["tips"]},
                "evaluate": {"metrics": ["AUC"], "select": "auc"},
                "push": {"destination": "pushed"},
            },
            "kept_artifacts",
        )
    }


def _of_data(lineage: Any) -> dict[str, Any]:
    from mfx import __version__
    from mfx.artifacts import (
        Anomalies,
        Anomaly,
        Code,
        Examples,
        Schema,
        Shard,
        SourceFile,
        Sources,
        Statistics,
    )

    days = SourceFile("day-1.csv", "1" * 64, 10), SourceFile("größe 2.csv", "2" * 64, 20)
    columns = {"fare": "float32", "hour": "int64", "company": "bytes"}
    anomaly = Anomaly(
        *("eval", "company", "ENUM_TYPE_UNEXPECTED_STRING_VALUES", "WARNING"),
        *("one of its values", "'Blue'", 3, "Add it to the schema."),
    )
    rows = payload("train.parquet", "eval.parquet")
    schema = 'feature { name: "fare" type: FLOAT }\n'
    return {
        "sources": Sources((Shard(days),), columns, lineage, ("hour: nearly all are numbers",)),
        "code": Code("c0ffee", True, payload("saved_model.pb"), __version__),
        "examples": Examples(
            *((rows, payload("eval.parquet")), {"train": 8, "eval": 3}, 12),
            *({"has more cells than the header": 1}, columns, lineage),
            *((("fare", "NA", 2),), (("fare", "16777217", 1),)),
            *({"train": "a" * 64, "eval": "b" * 64},),
        ),
        "statistics": Statistics(payload("train.parquet"), lineage, "TFDV in process"),
        "schema": Schema(schema, "schema.pbtxt", False, schema, lineage, False),
        "anomalies": Anomalies((anomaly,), lineage),
    }


def _of_training(lineage: Any) -> dict[str, Any]:
    from mfx.artifacts import LabelValues, Model, TransformGraph

    counts = {"train": {0.0: 5, 1.0: 3}, "eval": {0.0: 2, 1.0: 1}}
    texts: dict[str, dict[tuple[bytes | None, float], int]]
    texts = {"train": {(b"no", 0.0): 5, (None, 1.0): 3}, "eval": {}}
    label = LabelValues("tipped", counts, texts, {"train": 0, "eval": 1}, 0.0, 1.0, 0)
    files = payload("saved_model.pb", "variables/data")
    history = {"loss": [0.5, 0.25], "val_loss": [0.5, 0.375]}
    return {
        "transform_graph": TransformGraph(
            payload("saved_model.pb"), {"fare": "float32"}, lineage, "TFT in process", label
        ),
        "model": Model(
            *(files, payload("variables/data"), 1, {"units": [16, 8], "rate": 0.5}, history),
            *("weights-hash", 40, "1 CPU", 1, lineage),
        ),
    }


def _of_push(lineage: Any) -> dict[str, Any]:
    from mfx.artifacts import (
        OVERALL,
        Blessing,
        Check,
        ComparedWith,
        Evaluation,
        Latency,
        PushedModel,
        Replay,
        SliceKey,
        SliceMetrics,
        SlicesBy,
    )

    blue, third = SliceKey((("company", "Blue"),)), SliceKey((("hour", 3),))
    checks = (
        Check("auc", OVERALL, "at least 0.5", 0.75, True),
        Check("auc", third, "at least 0.5", 0.25, False),
        Check("auc", blue, "at least 0.5", None, False, "one class", False),
        Check("auc", SlicesBy(("hour",)), "at least 0.5", None, False, "no slice", False),
    )
    metrics = [
        SliceMetrics(OVERALL, {"example_count": 3.0, "auc": 0.75}),
        SliceMetrics(blue, {"example_count": 1.0, "auc": None}),
    ]
    replay = Replay(
        *(3, 0.0, 1.5, "", "mfx serve", 300.0),
        [Latency("REST serving_default", 1, 100, 1.0, 2.5)],
    )
    return {
        "evaluation": Evaluation(
            *(metrics, metrics[:1], {"roc": {"candidate": [[0.0, 0.0], [1.0, 1.0]]}}),
            *(
                [0.5, 0.75, None],
                Blessing(False, checks, ComparedWith("17")),
                payload("eval.parquet"),
            ),
            *(payload("saved_model.pb"), "TFMA in process", lineage),
            *({blue: {"auc": "one class"}}, {}),
        ),
        "pushed": PushedModel(
            *("/models/taxi/3", 3, "blessed", replay, lineage, payload("variables/data"))
        ),
    }


def write(path: Path) -> None:
    """Write `made()`: each object a pickle of its own, as in Metaflow's datastore."""
    path.parent.mkdir(exist_ok=True)
    each = {name: pickle.dumps(found, PROTOCOL) for name, found in made().items()}
    path.write_bytes(pickle.dumps(each, PROTOCOL))


if __name__ == "__main__":
    from mfx import __version__

    write(path_of(__version__))
    sys.stdout.write(f"{path_of(__version__)}\n")
