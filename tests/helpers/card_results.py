"""Results of a run to draw cards of, and ones with markup in every text."""

from dataclasses import replace
from types import SimpleNamespace

from tensorflow_metadata.proto.v0 import statistics_pb2

from helpers.charts import HOSTILE, add_numeric, add_text, dataset, models
from mfx.artifacts import (
    FIRST_RUN,
    OVERALL,
    Anomalies,
    Anomaly,
    Blessing,
    Check,
    ComparedWith,
    Evaluation,
    Examples,
    Latency,
    Model,
    PushedModel,
    Replay,
    Schema,
    SliceKey,
    SliceMetrics,
)
from mfx.artifacts.lineage import Lineage
from mfx.artifacts.store import Blob, Payload
from mfx.report import cards

LINEAGE = Lineage("d", "c", "f")
PAYLOAD = Payload("F", "local", "root", (Blob("model", 1_800_000, ("key",)),))
EXAMPLES = Examples((), {"train": 60, "eval": 30}, 93, {"ragged row": 3}, {}, LINEAGE)
SCHEMA = Schema("", "flows/schema.pbtxt", True, "", LINEAGE)
ANOMALIES = Anomalies((), LINEAGE)
ANOMALY = Anomaly("eval", "<dataset>", "SOME_RULE", "WARNING", "a", "b", None, "mend it")
MODEL = Model(
    PAYLOAD,
    PAYLOAD,
    1,
    {"units": [8, 4]},
    {"loss": [2.0, 1.0]},
    "ab" * 32,
    1000,
    "2 CPU",
    0,
    LINEAGE,
)
HOUR_9, HOUR_10 = (SliceKey((("hour", hour),)) for hour in (9, 10))
HOSTILE_SLICE = SliceKey(((HOSTILE, HOSTILE),))
CHECKS = (
    Check("auc", OVERALL, ">= 0.85", 0.9, True),
    Check("auc", HOUR_10, ">= 0.6", 0.7, True),
    Check("auc", HOUR_9, ">= 0.6", None, False),
)
ROWS = [
    SliceMetrics(OVERALL, {"example_count": 4897.0, "auc": 0.9312}),
    SliceMetrics(HOUR_10, {"example_count": 40.0, "auc": 0.7}),
    SliceMetrics(HOUR_9, {"example_count": 4.0, "auc": float("nan")}),
]
EVALUATION = Evaluation(
    ROWS,
    [SliceMetrics(OVERALL, {**ROWS[0].metrics, "auc": 0.95}), *ROWS[1:]],
    models("candidate", "baseline"),
    [0.9],
    Blessing(False, CHECKS, ComparedWith("1234")),
    PAYLOAD,
    PAYLOAD,
    "tfma 0.47",
    LINEAGE,
)
FIRST = replace(
    EVALUATION,
    baseline_rows=[],
    curves=models("candidate"),
    blessing=Blessing(True, CHECKS[:2], FIRST_RUN),
)
REPLAY = Replay(
    100, 3.2e-7, 1.834, "", "mfx serve", 612.5, [Latency("gRPC predict", 32, 104, 1.25, 3.5)]
)
PUSHED = PushedModel("models/taxi/3", 3, "blessed", REPLAY, LINEAGE)


def statistics(name: str = "fare", features: int = 1):
    """Statistics of two splits with numeric and text features."""
    data = dataset(60)
    for i in range(features):
        add_numeric(data, f"{name}{i or ''}", [(0, 1, 60)])
    add_text(data, f"{name} text", {name: 60})
    proto = statistics_pb2.DatasetFeatureStatisticsList(datasets=[data])
    return SimpleNamespace(proto=lambda split: proto, splits=("train", "eval"))


def hostile() -> dict[str, list]:
    """Every card with markup in each text that comes from data."""
    anomaly = replace(ANOMALY, feature=HOSTILE, observed=HOSTILE, expected=HOSTILE)
    metrics = [SliceMetrics(key, {HOSTILE: 1.0}) for key in (OVERALL, HOSTILE_SLICE)]
    checks = (Check(HOSTILE, HOSTILE_SLICE, HOSTILE, None, False),)
    evaluation = replace(
        FIRST,
        rows=metrics,
        baseline_rows=metrics,
        engine=HOSTILE,
        blessing=Blessing(False, checks, ComparedWith(HOSTILE, HOSTILE)),
    )
    replay = replace(REPLAY, error=HOSTILE, server=HOSTILE)
    pushed = PushedModel(HOSTILE, 1, HOSTILE, replay, LINEAGE)
    model = replace(MODEL, hyperparameters={HOSTILE: HOSTILE}, history={HOSTILE: [1.0]})
    return {
        "validate": cards.validate(
            replace(EXAMPLES, rejected={HOSTILE: 3}),
            statistics(HOSTILE),
            replace(SCHEMA, path=HOSTILE),
            Anomalies((anomaly,), LINEAGE),
        ),
        "train": cards.train(model),
        "evaluate": cards.evaluate(evaluation),
        "push": cards.push(pushed, evaluation),
    }
