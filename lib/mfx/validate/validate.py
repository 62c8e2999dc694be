"""Make the statistics, schema and anomalies of a run's examples.

In TFX these are the jobs of StatisticsGen, SchemaGen and ExampleValidator.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from mfx import label
from mfx.artifacts import Anomalies, Anomaly, Examples, Schema, Statistics, store
from mfx.artifacts.span_cache import SpanCache
from mfx.beam import runner
from mfx.config import Beam
from mfx.splits import EVAL, TRAIN
from mfx.validate import (
    schema_file,
    schema_rules,
    splits_compared,
    tfdv_beam,
    tfdv_by_span,
    tfdv_local,
)
from mfx.validate.anomalies import explain, not_checked, too_rare_for_statistics
from mfx.validate.infer_schema import allow_chance, fitting, infer_schema

if TYPE_CHECKING:
    from mfx.validate.spec import Reads

__all__ = ["infer_schema", "validate"]


def validate(
    examples: Examples, settings: Reads, cache: SpanCache | None = None
) -> tuple[Statistics, Schema, Anomalies]:
    """Compute each split's statistics and check them against the schema.

    The schema is the committed one, or else one inferred from all rows. The caller stores the
    three results before it calls `stop_on_errors`, so that they can be read after a stopped run.

    Args:
        examples: The rows of all splits.
        settings: The config's tables `[schema]`, `[label]`, `[data]` and `[beam]`.
        cache: Has what earlier runs kept of the examples' spans, and gets what this run keeps.

    Returns:
        The statistics of each split, the schema, and the anomalies found.

    Raises:
        MfxError: The committed schema cannot be read, or has a rule that cannot be checked; or
            TFDV's Beam pipeline failed.
    """
    path = Path(settings.resolve(settings.schema_.path))
    committed = schema_file.read(path)
    held_to = None if committed is None else schema_rules.for_tfdv(committed)
    protos, engine = _statistics(examples, settings.beam, held_to, cache)
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        for split, proto in protos.items():
            Path(directory, f"{split}.pb").write_bytes(proto.SerializeToString(deterministic=True))
        lineage = examples.lineage.derived(examples.digest)
        statistics = Statistics(store.save(directory), lineage, engine)

    others = [proto for split, proto in protos.items() if split not in (TRAIN, EVAL)]
    inferred = infer_schema(protos[TRAIN], protos[EVAL], settings, others)
    allow_chance(inferred, _judge(inferred, protos)["train"], examples, settings.data.split)
    proposal = fitting(inferred, _judge(inferred, protos)["train"])
    in_one_split = splits_compared.in_one_split(protos, held_to, examples, settings.data.split)
    schema = Schema(
        text=text_format.MessageToString(committed or inferred),
        path=str(path),
        inferred=committed is None,
        proposal=text_format.MessageToString(proposal),
        lineage=statistics.lineage.derived(statistics.digest),
        fits=not _broken(proposal, protos) and all(a.severity != "ERROR" for a in in_one_split),
    )
    found = [
        a
        for split in examples.splits
        for a in label.missing(protos[split], examples.columns, settings.label, split)
    ]
    found += _explained(held_to or inferred, protos, examples, in_file=committed is not None)
    found += [*in_one_split, *(not_checked(committed) if committed else ())]
    return statistics, schema, Anomalies(tuple(found), schema.lineage.derived(schema.digest))


def _judge(schema: Any, protos: dict[str, Any]) -> dict[str, anomalies_pb2.Anomalies]:
    """TFDV's anomalies of each split. Skew between the splits is among those of train."""
    return {
        split: tfdv.validate_statistics(
            proto,
            schema,
            environment=schema_rules.environment(schema),
            serving_statistics=protos["eval"] if split == "train" else None,
        )
        for split, proto in protos.items()
    }


def _broken(schema: Any, protos: dict[str, Any]) -> bool:
    return any(
        info.severity == anomalies_pb2.AnomalyInfo.ERROR
        for judged in _judge(schema, protos).values()
        for info in (*judged.anomaly_info.values(), judged.dataset_anomaly_info)
    )


def _explained(
    schema: Any, protos: dict[str, Any], examples: Examples, in_file: bool
) -> list[Anomaly]:
    found = []
    for split, judged in _judge(schema, protos).items():
        given = protos[split], schema, split, partial(_column, examples, split)
        seen = list(explain(judged, *given, in_file))
        found += [*seen, *too_rare_for_statistics(seen, *given)]
    return found


def _column(examples: Examples, split: str, name: str) -> Iterator[pa.Array]:
    for batch in examples.batches(split, columns=[name]):
        yield batch.column(0)


def _statistics(
    examples: Examples, options: Beam, schema: Any, cache: SpanCache | None
) -> tuple[dict[str, Any], str]:
    """TFDV's statistics of each split, and the name of the engine that computed them."""
    why_not = tfdv_local.not_covered()
    if why_not or options.options:
        made = {
            split: tfdv_beam.describe(
                [payload.only(f"{split}.parquet") for payload in examples.shards], options, schema
            )
            for split in examples.splits
        }
        engine = runner.engine(tfdv_beam.ENGINE, options)
        note = "" if options.options else f" (the engine in memory does not cover {why_not})"
        return made, engine + note
    if cache is not None and len(examples.spans) > 1:
        found = tfdv_by_span.describe(examples, schema, cache)
    else:
        found = {s: tfdv_local.describe(examples.batches(s), schema) for s in examples.splits}
    estimated = sorted({name for _, names in found.values() for name in names})
    note = f" (unique and top values of {', '.join(estimated)} are estimates)" if estimated else ""
    return {split: proto for split, (proto, _) in found.items()}, tfdv_local.ENGINE + note
