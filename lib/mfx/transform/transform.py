"""Analyse the train split with TFT and transform all splits with the graph (TFX: Transform)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public.tfxio import TensorAdapterConfig

from mfx import label
from mfx.artifacts import Examples, Schema, TransformGraph, store
from mfx.artifacts.span_cache import SpanCache
from mfx.beam import runner, source
from mfx.columns import _private
from mfx.columns.raw_features import raw_inputs
from mfx.columns.row_groups import ROW_GROUP, RowGroups
from mfx.columns.tensors import to_batch
from mfx.columns.types import as_lists, is_list, kind_of
from mfx.config import Beam
from mfx.errors import MfxError
from mfx.export._private import write_metadata
from mfx.transform import by_span
from mfx.transform.declared import labels
from mfx.transform.declared.preprocessing import Preprocessing
from mfx.user_code import failures, loading
from mfx.user_code.portable_function import PortableFunction

if TYPE_CHECKING:
    from mfx.transform.spec import Reads

ENGINE = "TFT on Beam"


def transform(
    examples: Examples,
    schema: Schema,
    settings: Reads,
    report: Callable[[str], None] = lambda line: None,
    cache: SpanCache | None = None,
) -> tuple[TransformGraph, Examples]:
    """Analyse the train split, then transform all splits with the graph.

    Args:
        examples: The rows as ingested.
        schema: Their schema.
        settings: The config's tables `[pipeline]`, `[label]`, `[features]` and `[beam]`.
        report: Called with one line of text for each finding about the label's values, if any.
        cache: Has what earlier runs kept of the examples' spans, and gets what this run keeps.

    Returns:
        The graph, and the transformed examples: the same rows in the same order.

    Raises:
        MfxError: `preprocessing_fn` fails, returns no label or returns features that cannot be
            stored; the label is not a number, is not finite or has a single value; `[beam]` is
            wrong.
    """
    path = loading.path_of(settings)
    module = loading.load(settings)
    function = loading.CheckedFunction(
        Preprocessing(settings.features, settings.label, examples.columns)
        if settings.features
        else PortableFunction(module, "preprocessing_fn"),
        path,
        examples.columns,
        settings.label.name,
    )
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        graph = Path(directory, "graph")
        counting = label.Counting(settings.label, examples.splits)
        with failures.running(path, "preprocessing_fn"):
            present = _present(schema, examples)
            _analyse(examples, function, present, settings.beam, graph, cache)
            labels.sort_classes(graph)
            output = tft.TFTransformOutput(str(graph))
            transformed = _apply(output, examples, Path(directory, "examples"), counting)
        _check_label(transformed, settings.label.name)
        label.check(found := counting.values())
        for line in label.describe(found):
            report(line)
        features = {n: s.dtype.name for n, s in output.transformed_feature_spec().items()}
        lineage = examples.lineage.derived(examples.digest, schema.digest)
        engine = runner.engine(ENGINE, settings.beam)
        graph_result = TransformGraph(store.save(graph), features, lineage, engine, found)
    return graph_result, transformed


def _present(schema: Schema, examples: Examples) -> schema_pb2.Schema:
    """The schema, with only the columns that are in the data: others cannot be analysed.

    It says of each feature whether rows may have several values, as the columns are. A single value
    is a sparse tensor, whatever shape its schema gives it; lists with a shape are dense.
    """
    proto = schema.proto()
    kept = [feature for feature in proto.feature if feature.name in examples.columns]
    for feature in kept:
        if not is_list(examples.columns[feature.name]):
            feature.ClearField("shape")
            feature.value_count.max = 1
        elif not feature.HasField("shape"):
            feature.value_count.SetInParent()
    del proto.feature[:]
    proto.feature.extend(kept)
    return proto


def _analyse(
    examples: Examples,
    preprocessing_fn: Any,
    schema: schema_pb2.Schema,
    options: Beam,
    graph: Path,
    cache: SpanCache | None,
) -> None:
    """Write TFT's output for the train split into the folder `graph`."""
    files = [payload.only("train.parquet") for payload in examples.shards]
    columns = source.open_parquet(files[0]).schema_arrow
    arrow_schema = as_lists(pa.RecordBatch.from_pylist([], columns)).schema
    config = TensorAdapterConfig(arrow_schema, _private.tensor_representations(schema))
    with runner.folder(options) as work:
        write, counted = tft_beam.WriteTransformFn(f"{work}/graph"), 0
        if cache is not None and len(examples.spans) > 1:
            of_spans = by_span.Analysis(preprocessing_fn, config, options)
            counted = of_spans.of_spans(examples, cache, work, write)
        else:
            with (
                runner.pipeline(options) as pipeline,
                tft_beam.Context(temp_dir=f"{work}/tmp"),
            ):
                data = pipeline | source.Read(files, as_lists)
                transform_fn = (data, config) | tft_beam.AnalyzeDataset(preprocessing_fn)
                _ = transform_fn | write
        runner.fetch(f"{work}/graph", graph)
        _make_reproducible(graph, work, counted)
    raw = tft.DatasetMetadata(schema)
    write_metadata(raw, str(graph / tft.TFTransformOutput.RAW_METADATA_DIR))


def _make_reproducible(graph: Path, directory: str, counted: int) -> None:
    """Rewrite the SavedModel so that equal graphs are equal bytes.

    Two things differ between runs: the name of the temporary folder, which is part of the names of
    vocabulary tables; and the order of nodes in functions, which has no meaning (edges go by name).
    """
    path = graph / "transform_fn" / "saved_model.pb"
    # The new name has the same length, so that the serialized message stays valid.
    same_length = b"_" * len(directory.encode())
    content = path.read_bytes().replace(directory.encode(), same_length)
    if counted:  # The graph of several spans: functions were made for each of them before.
        content = by_span.counted_from(content, counted)
    model = saved_model_pb2.SavedModel.FromString(content)
    for meta_graph in model.meta_graphs:
        if counted:
            meta_graph.graph_def.library.function.sort(key=lambda one: one.signature.name)
        for function in meta_graph.graph_def.library.function:
            function.node_def.sort(key=lambda node: node.name)
    path.write_bytes(model.SerializeToString(deterministic=True))
    # It holds a checksum of the old bytes. Readers do not need it.
    (graph / "transform_fn" / "fingerprint.pb").unlink(missing_ok=True)


def _apply(
    output: tft.TFTransformOutput, examples: Examples, directory: Path, counting: label.Counting
) -> Examples:
    directory.mkdir()
    layer = output.transform_features_layer()
    specs = output.raw_feature_spec()
    rows = {}
    for split in examples.splits:
        path = directory / f"{split}.parquet"
        written = RowGroups(path)
        for batch in examples.batches(split, ROW_GROUP):
            features = to_batch(layer(raw_inputs(batch, specs)))
            counting.add(split, batch, features)
            written.add(features)
        written.close()
        rows[split] = pq.read_metadata(path).num_rows
        if rows[split] != examples.rows[split]:
            raise MfxError(f"{split}: {examples.rows[split]} rows in, {rows[split]} transformed")
        kinds = {f.name: _kind(f.type) for f in pq.read_schema(path)}
    return Examples(
        shards=(store.save(directory),),
        rows=rows,
        rows_in=sum(rows.values()),
        rejected={},
        columns=kinds,
        lineage=examples.lineage.derived(examples.digest),
    )


def _check_label(transformed: Examples, name: str) -> None:
    if (kind := transformed.columns[name]) not in ("int64", "float32"):
        raise MfxError(
            f"preprocessing_fn: the label '{name}' is {kind}",
            "Return it as int64 or float32 of shape [batch]. Turn a text into a class number.",
        )


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"{_kind(kind.value_type)}[{kind.list_size}]"
    return kind_of(kind) or str(kind)
