"""Statistics, schema and anomalies of a run's examples (TFX: StatisticsGen, SchemaGen,
ExampleValidator)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from mfx import beam_pipeline, label, schema_file, store, tfdv_beam, tfdv_local
from mfx.anomalies import explain
from mfx.artifacts import SPLITS, Anomalies, Examples, Schema, Statistics
from mfx.config import Beam, Settings

TRAINING, SERVING = "TRAINING", "SERVING"
"""Schema environments: label columns are not in the second."""

RARE = 100
"""A feature present in fewer examples may be absent from a split without being wrong."""


def validate(examples: Examples, settings: Settings) -> tuple[Statistics, Schema, Anomalies]:
    """Describe each split and hold it to the committed schema, or to one inferred from all rows.

    The caller stores the three results, then calls `stop_on_errors`, so that a stopped run can
    be looked into.
    """
    protos, engine = _statistics(examples, settings.beam)
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        for split, proto in protos.items():
            Path(directory, f"{split}.pb").write_bytes(proto.SerializeToString(deterministic=True))
        lineage = examples.lineage.after(examples.digest)
        statistics = Statistics(store.save(directory), lineage, engine)

    proposal = infer_schema(protos["train"], protos["eval"], settings)
    path = Path(settings.resolve(settings.schema_.path))
    committed = schema_file.read(path)
    schema = Schema(
        text=text_format.MessageToString(committed or proposal),
        path=str(path),
        inferred=committed is None,
        proposal=text_format.MessageToString(proposal),
        lineage=statistics.lineage.after(statistics.digest),
    )
    found = [
        anomaly
        for split in SPLITS
        for anomaly in label.missing(protos[split], settings.label, split)
    ]
    found += [
        anomaly
        for split in SPLITS
        for anomaly in explain(
            tfdv.validate_statistics(
                protos[split],
                committed or proposal,
                environment=TRAINING,
                serving_statistics=protos["eval"] if split == "train" else None,
            ),
            protos[split],
            committed or proposal,
            split,
            partial(_column, examples, split),
        )
    ]
    return statistics, schema, Anomalies(tuple(found), schema.lineage.after(schema.digest))


def _column(examples: Examples, split: str, name: str) -> Iterator[pa.Array]:
    for batch in examples.batches(split, columns=[name]):
        yield batch.column(0)


def _statistics(examples: Examples, options: Beam) -> tuple[dict[str, Any], str]:
    """TFDV's statistics of each split, and what made them."""
    why_not = tfdv_local.covers()
    if why_not or options.options:
        made = {
            split: tfdv_beam.describe(
                [payload.only(f"{split}.parquet") for payload in examples.shards], options
            )
            for split in SPLITS
        }
        engine = beam_pipeline.engine(tfdv_beam.ENGINE, options)
        return made, engine if options.options else f"{engine} (in memory does not cover {why_not})"
    found = {split: tfdv_local.describe(examples.batches(split)) for split in SPLITS}
    estimated = sorted({name for _, names in found.values() for name in names})
    note = f" (unique and top values of {', '.join(estimated)} are estimates)" if estimated else ""
    return {split: proto for split, (proto, _) in found.items()}, tfdv_local.ENGINE + note


def infer_schema(
    train: statistics_pb2.DatasetFeatureStatisticsList,
    eval_: statistics_pb2.DatasetFeatureStatisticsList,
    settings: Settings,
) -> schema_pb2.Schema:
    """TFDV's schema of both splits (as SchemaGen), with what a pipeline's schema needs besides.

    Label columns are not in the SERVING environment; categories get a bound on train/eval skew
    (numbers do not: TFDV's distance between histograms of unlike range is large for samples of
    one distribution when there are outliers); very rare features need not be in every split.
    """
    schema = tfdv.infer_schema(train, infer_feature_shape=False)
    present = Counter(
        {
            f.path.step[0]: getattr(f, f.WhichOneof("stats")).common_stats.num_non_missing
            for f in train.datasets[0].features
        }
    )
    for feature in schema.feature:
        if present[feature.name] < RARE:
            feature.ClearField("presence")
    schema = tfdv.update_schema(schema, eval_)
    schema.default_environment.extend([TRAINING, SERVING])
    for feature in schema.feature:
        if feature.name in settings.label.columns:
            feature.not_in_environment.append(SERVING)
        if feature.type == schema_pb2.BYTES and present[feature.name] >= RARE:
            feature.skew_comparator.infinity_norm.threshold = settings.schema_.skew_threshold
    return schema
