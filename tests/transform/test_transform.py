"""TFT's analysis gives numbers computed by hand, and the same graph in any process; clear errors.

The tests of train and export start from `small_world` too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.flows import ROOT
from helpers.small_world import (
    COLUMNS,
    EVAL,
    LINEAGE,
    MODEL_PY,
    SCHEMA,
    TRAIN,
    save_examples,
    small_world,
    write_pipeline,
)
from helpers.storing import saving

from mfx.artifacts import Schema
from mfx.errors import MfxError
from mfx.transform.transform import transform
from mfx.user_code import loading


def test_numbers_become_z_scores_of_the_train_split():
    filled = np.array([1.0, 2.0, 3.0, 0.0, 6.0, 0.0])
    mean, deviation = 2.0, np.sqrt(26 / 6)
    assert (filled.mean(), filled.std()) == (mean, pytest.approx(deviation))
    world = small_world()
    train = world.transformed.to_arrow("train", ["x"]).column(0).to_numpy()
    assert train == pytest.approx(np.tile((filled - mean) / deviation, 5), abs=1e-6)
    evaluated = world.transformed.to_arrow("eval", ["x"]).column(0).to_numpy()
    assert evaluated == pytest.approx((np.array([0.0, 4.0, -1.0]) - mean) / deviation, abs=1e-6)


def test_vocabulary_is_by_frequency_and_unknown_words_come_after_it():
    world = small_world()
    words = world.transformed.to_arrow("train", ["word"]).column(0).to_pylist()
    # b occurs three times, a twice, c once.
    assert words == [1, 0, 0, 2, 0, 1] * 5
    assert world.transformed.to_arrow("eval", ["word"]).column(0).to_pylist() == [0, 3, 3]


def test_rows_keep_their_order_and_types_are_said():
    world = small_world()
    assert world.transformed.to_arrow("eval", ["label"]).column(0).to_pylist() == [1, 0, 0]
    assert world.transformed.rows == {"train": 30, "eval": 3}
    assert world.graph.features == {"x": "float32", "word": "int64", "label": "int64"}
    assert world.transformed.columns == world.graph.features
    assert world.graph.lineage.parents[0] == world.examples.digest


def test_the_graph_is_the_same_in_any_process():
    """Two processes with different hash seeds, and with their files in different folders."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from helpers.small_world import make_world\n"
        "world = make_world(Path(sys.argv[2]))\n"
        "print('DIGESTS', world.graph.digest, world.transformed.digest)\n"
    )
    here = str(ROOT / "tests")
    with tempfile.TemporaryDirectory() as directory:
        folders = [Path(directory, "a"), Path(directory, "much", "deeper", "b")]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, here, str(folder)],
                env={**os.environ, "PYTHONHASHSEED": str(seed)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for seed, folder in enumerate(folders, 1)
        ]
        outputs = [process.communicate() for process in processes]
    lines = [[w for w in out.splitlines() if w.startswith("DIGESTS")] for out, _ in outputs]
    assert lines[0], outputs[0]
    assert lines[0] == lines[1]
    assert lines[0][0].endswith(small_world().transformed.digest)


BODY = """
import tensorflow as tf
import tensorflow_transform as tft
from mfx.features import fill_missing

def preprocessing_fn(inputs):
    return {RETURNED}

def build_model():
    pass
"""


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ('{"x": fill_missing(inputs["x"])}', "no feature 'label', the label's name"),
        ('{"label": fill_missing(inputs["y"]), "x": inputs["x"]}', "feature 'x' is SparseTensor"),
        ('{"label": 0 * fill_missing(inputs["y"])}', "'label' has one value in the train split: 0"),
        ('{"label": tf.one_hot(fill_missing(inputs["y"]), 2)}', "the label 'label' is float32[2]"),
        ('{"label": fill_missing(inputs["word"])}', "the label 'label' is bytes"),
        (
            '{"label": fill_missing(inputs["yy"])}',
            "model.py, line 7, in preprocessing_fn: KeyError: 'yy'; did you mean 'y'?\n"
            '    return {"label": fill_missing(inputs["yy"])}\n'
            "Columns: x float32, word bytes, y int64\n",
        ),
        (
            '{"label": tft.scale_to_z_score(inputs["word"])}',
            "in preprocessing_fn: TypeError: Tensor type tf.string is not supported",
        ),
        (
            '{"x": tf.strings.split(fill_missing(inputs["word"]))}',
            "feature 'x' is RaggedTensor of string, shape [None, None]",
        ),
        (
            '{"x": tf.strings.split(fill_missing(inputs["word"])).to_tensor("")}',
            "feature 'x' is Tensor of string, shape [None, None]\nIts width differs from batch to",
        ),
        ('{"x": fill_missing(inputs["y"]) > 0}', "feature 'x' is Tensor of bool, shape [None]"),
        ('{"x": tf.constant(1.0)}', "feature 'x' is Tensor of float32, shape []"),
        ('{"x": 1.0}', "feature 'x' is float, not a tensor"),
        ("None", "preprocessing_fn returns NoneType"),
        (
            '{"label": fill_missing(inputs["y"]), '
            '"x": tf.strings.to_number(fill_missing(inputs["word"]))}',
            "preprocessing_fn: InvalidArgumentError: StringToNumberOp could not correctly convert",
        ),
        (
            '{"label": fill_missing(inputs["y"]), '
            '"x": tft.scale_to_z_score(tf.strings.to_number(fill_missing(inputs["word"])))}',
            "preprocessing_fn: ValueError: StringToNumberOp could not correctly convert string: a",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_one_error(returned, message, tmp_path, datastore):
    settings = write_pipeline(tmp_path / "pipeline", BODY.replace("{RETURNED}", returned))
    examples = save_examples(tmp_path / "raw", COLUMNS, train=TRAIN, eval=EVAL)
    schema = Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE)
    with pytest.raises(MfxError) as caught:
        transform(examples, schema, settings)
    assert message in str(caught.value)
    assert str(caught.value).startswith((str(tmp_path), "preprocessing_fn: ", "label "))
    assert len(str(caught.value).splitlines()) <= 4
    assert caught.value.remedy


def test_scaled_first_and_filled_afterwards_missing_is_the_mean(tmp_path, datastore):
    """Integers keep their digits too; float32 would round them to thousands."""
    precise = 'tf.cast(tft.scale_to_z_score(tf.cast(inputs["y"], tf.float64)), tf.float32)'
    returned = (
        '{"label": fill_missing(inputs["y"]) % 2, "n": fill_missing(' + precise + "),"
        ' "x": fill_missing(tft.scale_to_z_score(inputs["x"]))}'
    )
    settings = write_pipeline(tmp_path / "pipeline", BODY.replace("{RETURNED}", returned))
    numbers = [17_031_000_000 + n for n in (0, 7, 100, 950, 51, 3)]
    given = {**TRAIN, "x": [1000.0, 1004.0, None, 1008.0, None, 1000.0], "y": numbers}
    examples = save_examples(tmp_path / "raw", COLUMNS, train=given, eval=given)
    # A shape in the schema is for validation only: preprocessing_fn still gets sparse tensors.
    shaped = SCHEMA.replace('"y" type: INT', '"y" type: INT shape { dim { size: 1 } }')
    _, transformed = transform(
        examples, Schema(shaped, "schema.pbtxt", False, "", LINEAGE), settings
    )
    found = transformed.to_arrow("train", ["x", "n"]).to_pydict()
    present = np.array([1000.0, 1004.0, 1008.0, 1000.0])
    scores = iter((present - present.mean()) / present.std())
    expected = [0.0 if value is None else next(scores) for value in given["x"]]
    assert found["x"] == pytest.approx(expected, abs=1e-5)
    exact = (np.array(numbers) - np.mean(numbers)) / np.std(numbers)
    assert found["n"] == pytest.approx(exact, abs=1e-6)


def test_buckets_are_thirds_of_the_train_split_and_wide_features_stay_wide(tmp_path, datastore):
    returned = (
        '{"label": fill_missing(inputs["y"]), "third": tft.bucketize(fill_missing(inputs["x"]), 3),'
        ' "wide": tf.stack([fill_missing(inputs["x"]), fill_missing(inputs["x"], -1.0)], axis=1)}'
    )
    settings = write_pipeline(tmp_path / "pipeline", BODY.replace("{RETURNED}", returned))
    examples = save_examples(tmp_path / "raw", COLUMNS, train=TRAIN, eval=EVAL)
    graph, transformed = transform(
        examples, Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE), settings
    )
    # 0 0 1 2 3 6 in thirds: the second begins at 1, the last at 3.
    thirds = {split: transformed.to_arrow(split, ["third"]) for split in ("train", "eval")}
    assert thirds["train"].column(0).to_pylist() == [1, 1, 2, 0, 2, 0]
    assert thirds["eval"].column(0).to_pylist() == [0, 2, 0]
    assert transformed.columns["wide"] == "float32[2]"
    assert graph.features["wide"] == "float32"
    with transformed.files("eval") as (path,):
        assert pq.read_table(path, columns=["wide"]).column(0).to_pylist() == [
            [0.0, -1.0],
            [4.0, 4.0],
            [-1.0, -1.0],
        ]


@pytest.mark.parametrize(
    ("model", "file", "message"),
    [
        ("def build_model(): pass", "model.py", "no function preprocessing_fn"),
        ("def preprocessing_fn(inputs): pass", "model.py", "no function build_model"),
        ("preprocessing_fn = build_model = 3", "model.py", "no function preprocessing_fn"),
        (MODEL_PY, "model.txt", "not a Python file"),
        ("def build_model(:", "model.py", "model.py, line 1: SyntaxError"),
        ("import keras, no_such", "model.py", "model.py, line 1: ModuleNotFoundError"),
    ],
)
def test_a_module_that_is_no_pipeline_is_one_error(model, file, message, tmp_path):
    settings = write_pipeline(tmp_path, model)
    (tmp_path / "model.py").rename(tmp_path / file)
    pipeline = settings.pipeline.model_copy(update={"module": file})
    with pytest.raises(MfxError, match=message) as caught:
        loading.load(settings.model_copy(update={"pipeline": pipeline}))
    assert caught.value.remedy


def test_a_module_is_read_anew_after_an_edit(tmp_path):
    """A notebook loads one pipeline after another, or the same one again after an edit."""
    first = loading.load(write_pipeline(tmp_path / "a", MODEL_PY + "NUMBER = 1\n"))
    edited = loading.load(write_pipeline(tmp_path / "a", MODEL_PY + "NUMBER = 22\n"))
    assert (first.NUMBER, edited.NUMBER) == (1, 22)


MANY_PY = MODEL_PY.replace(
    "    return {\n",
    """    x = fill_missing(inputs["x"])
    filled = fill_missing(inputs["word"])
    rest = {
        "bucket": tft.bucketize(x, 3),
        "quantile": tft.quantiles(x, 4, epsilon=0.01)[0, 1] + x,
        "unit": tft.scale_to_0_1(x),
        "by_word": tft.scale_to_z_score_per_key(x, filled),
        "hashed": tft.hash_strings(filled, 5),
        "frequent": tft.compute_and_apply_vocabulary(filled, top_k=2, num_oov_buckets=2),
        "often": tft.compute_and_apply_vocabulary(filled, frequency_threshold=2),
        "length": tf.cast(tf.strings.length(filled), tf.int64),
        "total": tf.cast(tft.sum(x), tf.float32) - x,
    }
    return rest | {
""",
    1,
)


@pytest.mark.parametrize("rows", [1, 5000])
def test_rows_are_those_of_tft_on_beam(rows, tmp_path):
    """The rows equal those of TFT's own pipeline on Beam's old DirectRunner."""
    random = np.random.default_rng(rows)
    train = {
        "x": [None if random.random() < 0.1 else float(v) for v in random.normal(5, 30, rows)],
        "word": [None if random.random() < 0.1 else b"w%d" % (v % 40) for v in range(rows)],
        "y": [1, 0] * (rows // 2) + [1] * (rows % 2),
    }
    if rows == 1:
        train = {name: values * 2 for name, values in train.items()}
        train["y"] = [0, 1]
    settings = write_pipeline(tmp_path / "pipeline", MANY_PY)
    with saving(tmp_path / "datastore"):
        examples = save_examples(tmp_path / "raw", COLUMNS, train=train, eval=EVAL)
        schema = Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE)
        _, transformed = transform(examples, schema, settings)
    theirs = tft_on_beam(examples, schema, settings, tmp_path / "beam")
    ours = transformed.to_arrow("train")
    assert sorted(ours.column_names) == sorted(theirs.column_names)
    for name in theirs.column_names:
        assert ours[name].to_pylist() == theirs[name].combine_chunks().flatten().to_pylist(), name


def tft_on_beam(examples, schema, settings, folder: Path) -> pa.Table:
    """Transform the train split by TFT's own pipeline, in one batch."""
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
    from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

    from mfx.columns.types import as_lists

    module = loading.load(settings)
    (batch,) = (as_lists(b) for b in examples.batches("train"))
    config = tensor_adapter.TensorAdapterConfig(
        batch.schema,
        tensor_representation_util.InferTensorRepresentationsFromMixedSchema(schema.proto()),
    )
    path = str(folder / "rows.arrow")
    folder.mkdir()

    def write(batches) -> None:
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, batches[0].schema) as writer:
            for made in batches:
                writer.write_batch(made)

    with (
        beam.Pipeline(runner=BundleBasedDirectRunner()) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "tmp")),
    ):
        data = pipeline | beam.Create([batch])
        (rows, _), _ = (data, config) | tft_beam.AnalyzeAndTransformDataset(
            module.preprocessing_fn, output_record_batches=True
        )
        _ = rows | beam.Map(lambda pair: pair[0]) | beam.combiners.ToList() | beam.Map(write)
    with pa.memory_map(path) as file:
        return pa.ipc.open_file(file).read_all()
