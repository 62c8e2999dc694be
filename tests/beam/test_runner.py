"""`[beam]`: another runner gives the same results as this process; mistakes get clear messages.

The cluster is real: a job endpoint and two worker processes on localhost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_model_analysis as tfma
import tensorflow_transform as tft
from helpers import beam_cluster
from helpers.small_world import LINEAGE, MODEL_PY, SCHEMA, World, small_world, write_pipeline
from helpers.storing import saving
from helpers.tfdv_cases import BATCH, assert_same, exact

from mfx.artifacts import Schema
from mfx.beam import runner, source
from mfx.columns.raw_features import raw_inputs
from mfx.columns.tensors import to_batch
from mfx.columns.types import as_lists
from mfx.config import Beam, Evaluate
from mfx.errors import MfxError
from mfx.evaluate import tfma_beam, tfma_config, tfma_local
from mfx.evaluate.tfma_config import CANDIDATE, LABEL
from mfx.transform.transform import ENGINE, transform
from mfx.validate import tfdv_beam, tfdv_local


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Beam]:
    folder = tmp_path_factory.mktemp("cluster")
    with beam_cluster.running(folder) as options:
        yield Beam(options=options, temp=str(folder))


def on(cluster: Beam, folder: Path, model: str = MODEL_PY) -> World:
    """The small world, with the train split analysed by the cluster."""
    local = small_world()
    settings = write_pipeline(folder / "pipeline", model).model_copy(update={"beam": cluster})
    with saving(folder / "datastore"):
        schema = Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE)
        return World(settings, local.examples, *transform(local.examples, schema, settings))


def test_transform_elsewhere_gives_the_same_rows(cluster, tmp_path):
    local, remote = small_world(), on(cluster, tmp_path)
    assert remote.transformed.digest == local.transformed.digest
    assert remote.graph.features == local.graph.features
    assert local.graph.engine == ENGINE
    assert remote.graph.engine.startswith(f"{ENGINE} (PortableRunner at localhost:")


def test_the_graph_from_elsewhere_needs_nothing_from_there(cluster, tmp_path):
    remote = on(cluster, tmp_path / "there")
    output = tft.TFTransformOutput(str(remote.graph.save_to(tmp_path / "graph")))
    (batch,) = remote.examples.batches("eval")
    features = output.transform_features_layer()(raw_inputs(batch, output.raw_feature_spec()))
    assert to_batch(features)["word"].to_pylist() == [0, 3, 3]


def test_metrics_elsewhere_are_the_same(cluster, tmp_path, datastore):
    random = np.random.default_rng(0)
    score = random.random(400)
    table = tmp_path / "table.parquet"
    columns = {
        "hour": pa.array(random.integers(0, 3, 400)),
        LABEL: pa.array((random.random(400) < score).astype(np.float32)),
        CANDIDATE: pa.array(score.astype(np.float32)),
    }
    # Several row groups, so that several workers can share them.
    pq.write_table(pa.table(columns), table, row_group_size=100)
    options = Evaluate(metrics=["ExampleCount", "AUC"], select="auc", slices=[["hour"]])
    config = tfma_config.eval_config(options, has_baseline=False)
    tfma_local.evaluate(table, config, tmp_path / "local")
    tfma_beam.evaluate(table, config, tmp_path / "remote", cluster)
    rows = [tfma_config.rows(tmp_path / n, "", [["hour"]]) for n in ("local", "remote")]
    assert len(rows[0]) == 4
    for mine, theirs in zip(*rows, strict=True):
        assert mine.slice == theirs.slice
        assert mine.metrics == pytest.approx(theirs.metrics, abs=1e-9)
    assert tfma.load_validation_result(str(tmp_path / "remote")).validation_ok


def test_statistics_elsewhere_are_the_same(cluster, tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_batches([BATCH]), path)
    theirs = exact(tfdv_beam.describe([path], cluster))
    assert_same(exact(tfdv_local.describe([BATCH])[0]), theirs)


def test_two_processes_share_the_rows(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BATCH_ROWS", 10)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": list(range(40))}), path, row_group_size=10)

    def with_process(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"n": batch["n"], "pid": [os.getpid()] * len(batch)})

    with runner.pipeline(cluster) as pipeline:
        _ = (
            pipeline
            | source.Read([path], with_process)
            | beam.FlatMap(lambda batch: [f"{r['n']} {r['pid']}" for r in batch.to_pylist()])
            | beam.io.WriteToText(str(tmp_path / "out"))
        )
    lines = [line.split() for p in tmp_path.glob("out*") for line in p.read_text().splitlines()]
    assert sorted(int(number) for number, _ in lines) == list(range(40))
    assert len({process for _, process in lines} - {str(os.getpid())}) == beam_cluster.WORKERS


def test_what_goes_wrong_elsewhere_is_one_message(cluster, tmp_path):
    # Only data shows the error: the function itself can be traced.
    broken = MODEL_PY.replace(
        "    words =",
        "    y = fill_missing(inputs['y'])\n"
        "    with tf.control_dependencies([tf.debugging.assert_less(y, y * 0 + 1, 'too large')]):\n"
        "        inputs['x'] = tf.sparse.map_values(tf.identity, inputs['x'])\n"
        "    words =",
    )
    with pytest.raises(MfxError) as error:
        on(cluster, tmp_path, broken)
    assert str(error.value).startswith("Beam (PortableRunner at localhost:")
    assert "while running 'AnalyzeDataset/" in str(error.value).splitlines()[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runner=PortableRuner"], "PortableRuner"),
        (["--runner=PortableRunner", "--job_endpiont=a:1"], "did you mean 'job_endpoint'?"),
        (["--runner=PortableRunner", "--job_endpoint=localhost:1"], "localhost:1: "),
        (["--runner=PortableRunner", "--job_server_timeout=two"], "invalid int value: 'two'"),
    ],
)
def test_wrong_options(options, said, monkeypatch):
    monkeypatch.setattr(runner, "ENDPOINT_SECONDS", 1)
    with pytest.raises(MfxError) as error, runner.pipeline(Beam(options=options)):
        pass
    assert said in str(error.value)
    assert str(error.value).startswith("[beam] options: ")


def test_an_error_of_our_own_stays_itself(tmp_path):
    options = Beam(
        options=["--runner=apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner"]
    )
    with pytest.raises(ZeroDivisionError), runner.pipeline(options):
        1 // 0  # noqa: B018


def test_the_engine_names_runner_and_endpoint():
    assert runner.engine("TFT on Beam", Beam()) == "TFT on Beam"
    options = ["--runner=FlinkRunner", "--flink_master=host:8081"]
    assert runner.engine("TFT on Beam", Beam(options=options)) == "TFT on Beam (FlinkRunner)"


def test_work_folders_are_gone_afterwards(tmp_path):
    for options in (Beam(), Beam(options=["--runner=DirectRunner"], temp=str(tmp_path))):
        with runner.folder(options) as work:
            Path(work, "deep").mkdir()
            Path(work, "deep", "file").write_text("x")
            runner.fetch(work, tmp_path / "copy")
        assert not Path(work).exists()
        assert (tmp_path / "copy" / "deep" / "file").read_text() == "x"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    options = Beam(options=["--runner=DirectRunner"], temp=str(tmp_path / "file" / "temp"))
    said = r"\[beam\] temp: cannot create a folder"
    with pytest.raises(MfxError, match=said), runner.folder(options):
        pass


def test_as_lists_is_what_workers_get(tmp_path):
    """The default: without options, in this process."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": pa.array([1, None], pa.int64())}), path)
    with runner.pipeline(Beam()) as pipeline:
        _ = (
            pipeline
            | source.Read([path], as_lists)
            | beam.Map(lambda batch: str(batch.to_pydict()))
            | beam.io.WriteToText(str(tmp_path / "out"))
        )
    (written,) = tmp_path.glob("out*")
    assert written.read_text() == "{'n': [[1], None]}\n"
