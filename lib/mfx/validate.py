"""Statistics, schema and anomalies of a run's examples (TFX: StatisticsGen, SchemaGen,
ExampleValidator)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from mfx import schema_file, store
from mfx.anomalies import explain
from mfx.artifacts import SPLITS, Anomalies, Examples, Schema, Statistics
from mfx.columns import as_lists
from mfx.config import Settings
from mfx.errors import MfxError

TRAINING, SERVING = "TRAINING", "SERVING"
"""Schema environments: label columns are not in the second."""

RARE = 100
"""A feature present in fewer examples may be absent from a split without being wrong."""


def validate(examples: Examples, settings: Settings) -> tuple[Statistics, Schema, Anomalies]:
    """Describe each split and hold it to the committed schema, or to one inferred from all rows.

    The caller stores the three results, then calls `stop_on_errors`, so that a stopped run can
    be looked into.
    """
    protos = {split: describe(examples.batches(split)) for split in SPLITS}
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        for split, proto in protos.items():
            Path(directory, f"{split}.pb").write_bytes(proto.SerializeToString(deterministic=True))
        statistics = Statistics(store.save(directory), examples.lineage.after(examples.digest))

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


def describe(batches: Iterable[pa.RecordBatch]) -> statistics_pb2.DatasetFeatureStatisticsList:
    """TFDV's statistics of flat batches, by its own combiners in this process, without Beam."""
    combiners = stats_impl.get_generators(tfdv.StatsOptions(), in_memory=True)
    sums: list[Any] = [combiner.create_accumulator() for combiner in combiners]
    for batch in batches:
        lists = as_lists(batch)
        sums = [c.add_input(s, lists) for c, s in zip(combiners, sums, strict=True)]
    return stats_impl.extract_statistics_output(sums, combiners)


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


def stop_on_errors(anomalies: Anomalies, schema: Schema) -> None:
    """Stop the run if the examples break the schema.

    Raises:
        MfxError: All errors, one line each.
    """
    if anomalies.errors:
        raise MfxError(
            f"the data breaks {schema.path} in {len(anomalies.errors)} ways:\n"
            + "\n".join(f"- {anomaly}" for anomaly in anomalies.errors),
            "Mend the data or edit the schema; to take over what this run's data would give: "
            "mfx schema accept",
        )
