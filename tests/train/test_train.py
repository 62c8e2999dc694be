"""Training gives the same weights again, even if interrupted; each mistake is one message."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.checkpoints import Checkpoints
from helpers.flows import ROOT
from helpers.small_world import CONFIG, MODEL_PY, save_examples, small_world, write_pipeline
from hypothesis import given
from hypothesis import strategies as st

from mfx.config import Train
from mfx.errors import MfxError
from mfx.train import train


def fit(tmp_path: Path, name: str, settings=None, candidate: int = 0, rows=None, **checkpoint):
    """Train once, on the small data set or on other transformed rows.

    Returns:
        The model, the reported lines, and the checkpoints.
    """
    world, lines = small_world(), []
    kept = Checkpoints(tmp_path / name, **checkpoint)
    model = train.train(
        world.graph,
        rows or world.transformed,
        settings or world.settings,
        candidate,
        kept,
        lines.append,
    )
    return model, lines, kept


def interrupt(tmp_path: Path, after: int) -> Path:
    """The folder that an attempt left which died after some epochs."""
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, f"broken-{after}", stop_after=after)
    return tmp_path / f"broken-{after}" / f"saved-{after - 1}"


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    from helpers.storing import saving

    folder = tmp_path_factory.mktemp("unbroken")
    with saving(folder / "datastore"):
        yield fit(folder, "unbroken")


def test_what_a_training_tells(unbroken):
    model, lines, kept = unbroken
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert len(kept.saved) == 3
    assert {name: len(values) for name, values in model.history.items()} == dict.fromkeys(
        ["loss", "auc", "val_loss", "val_auc"], 3
    )
    assert (model.steps, model.resumed_from, model.candidate) == (12, 0, 0)
    assert model.history["loss"][-1] < model.history["loss"][0]


def test_tensorboard_has_each_epoch(unbroken, tmp_path):
    model, _, _ = unbroken
    model.logs.save_to(tmp_path)
    for run, name, prefix in (("train", "epoch_loss", ""), ("validation", "epoch_auc", "val_")):
        (file,) = (tmp_path / run).iterdir()
        events = [
            e for e in tf.compat.v1.train.summary_iterator(str(file)) if e.HasField("summary")
        ]
        values = {
            e.step: float(tf.make_ndarray(v.tensor))
            for e in events
            for v in e.summary.value
            if v.tag == name
        }
        expected = model.history[prefix + name.removeprefix("epoch_")]
        assert values == pytest.approx(dict(enumerate(expected)))


def test_two_trainings_are_equal(unbroken, tmp_path, datastore):
    model, _, _ = unbroken
    again, _, _ = fit(tmp_path, "again")
    assert (again.weights, again.history) == (model.weights, model.history)
    assert again.digest == model.digest


def test_another_seed_is_another_training(unbroken, tmp_path, datastore):
    model, _, _ = unbroken
    other, _, _ = fit(tmp_path, "other", small_world().settings.override(train__seed=7))
    assert other.weights != model.weights


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_training_ends_as_an_unbroken_one(after, unbroken, tmp_path, datastore):
    model, expected, _ = unbroken
    resumed, lines, _ = fit(tmp_path, "resumed", loaded=interrupt(tmp_path, after))
    assert resumed.weights == model.weights
    assert resumed.history == model.history
    assert resumed.resumed_from == after
    assert lines == [f"continuing after epoch {after} from a checkpoint", *expected[after:]]


@pytest.mark.parametrize("change", ["steps", "network"])
def test_a_checkpoint_of_something_else_is_said_and_ignored(change, unbroken, tmp_path, datastore):
    _, _, kept = unbroken
    if change == "steps":
        settings = small_world().settings.override(train__steps=9)
    else:
        settings = write_pipeline(tmp_path / "p", MODEL_PY.replace("Dense(4,", "Dense(5,"))
    fresh, _, _ = fit(tmp_path, "fresh", settings)
    model, lines, _ = fit(tmp_path, "stale", settings, loaded=kept.saved[0])
    assert lines[0] == "the checkpoint is from other data or settings: training starts again"
    assert (model.resumed_from, model.weights) == (0, fresh.weights)


def test_a_checkpoint_that_was_not_loaded_is_not_looked_at(unbroken, tmp_path, datastore):
    """A fresh attempt's folder may hold another run's leftovers."""
    _, _, kept = unbroken
    now = Checkpoints(tmp_path / "leftover", loaded=kept.saved[1])
    now.is_loaded = False
    world = small_world()
    model = train.train(world.graph, world.transformed, world.settings, 0, now, lambda line: None)
    assert model.resumed_from == 0


def test_candidates_get_their_own_hyperparameters(unbroken, tmp_path, datastore):
    text = CONFIG.replace(
        "epochs = 3\n",
        "epochs = 3\nhyperparameters = { learning_rate = 0.5 }\n"
        "candidates = [{}, { learning_rate = 0.01, scale = 1.0 }]\n",
    )
    settings = write_pipeline(tmp_path / "pipeline", text=text)
    first, _, _ = fit(tmp_path, "first", settings, candidate=0)
    second, _, _ = fit(tmp_path, "second", settings, candidate=1)
    assert first.hyperparameters == {"learning_rate": 0.5}
    assert second.hyperparameters == {"learning_rate": 0.01, "scale": 1.0}
    assert first.weights != second.weights == unbroken[0].weights


def test_a_loss_without_bounds_is_one_error(tmp_path, datastore):
    text = CONFIG.replace("epochs = 3\n", "epochs = 3\nhyperparameters = { scale = inf }\n")
    settings = write_pipeline(tmp_path / "pipeline", text=text)
    with pytest.raises(MfxError, match=r"the loss is (nan|inf) after epoch 1") as caught:
        fit(tmp_path, "diverged", settings)
    assert "learning_rate" in caught.value.remedy
    assert not list((tmp_path / "diverged").glob("saved-*")), "no checkpoint of a broken state"


def transformed(tmp_path, x, label, eval_label):
    """Rows as `preprocessing_fn` gives them."""
    kinds = {"x": "float32", "word": "int64", "label": "int64"}
    splits = {
        split: {"x": values, "word": [0] * len(values), "label": labels}
        for split, values, labels in (("train", x, label), ("eval", [0.0, 1.0], eval_label))
    }
    return save_examples(tmp_path / "rows", kinds, **splits)


def test_a_loss_that_is_no_number_names_the_feature_at_fault(tmp_path, datastore):
    rows = transformed(tmp_path, [math.nan, 1.0, math.inf, 0.0], [0, 1, 0, 1], [0, 1])
    with pytest.raises(
        MfxError, match=r"the loss is nan after epoch 1: of 4 train rows,"
    ) as caught:
        fit(tmp_path, "broken", rows=rows)
    assert "NaN or infinity is in 'x' in 2" in caught.value.what
    assert "fill missing values" in caught.value.remedy


def test_auc_of_one_class_is_no_value_while_training(tmp_path, datastore):
    rows = transformed(tmp_path, [0.5, 1.0, 2.0, 0.0], [0, 1, 0, 1], [1, 1])
    model, lines, _ = fit(tmp_path, "one-class", rows=rows)
    assert "no value: val_auc: all validation rows have the label 1" in lines
    assert set(model.history) == {"loss", "auc", "val_loss"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "keras.layers.Reshape(",
            "keras.layers.Reshap(",
            "line 20, in build_model: AttributeError: module 'keras.layers' has no attribute "
            "'Reshap'\n    number = keras.layers.Reshap((1,))(inputs[\"x\"])\n"
            "Features: label int64, word int64, x float32\nHyperparameters: none\n",
        ),
        ("(learning_rate=0.01,", "(units, learning_rate=0.01,", "build_model: TypeError: "),
        ("    return model\n", "    return None\n", "build_model returns NoneType\n"),
        (
            "    model.compile(",
            "    (lambda *a, **k: 0)(",
            "build_model returns a model that is not",
        ),
        ("scale * keras.losses", "boom * keras.losses", "in <lambda>: NameError: name 'boom' is"),
        ("Embedding(6, 2)", "Embedding(1, 2)", "fit: InvalidArgumentError: indices["),
    ],
)
def test_what_fails_in_the_network_is_one_error(old, new, expected, tmp_path, datastore):
    assert old in MODEL_PY
    settings = write_pipeline(tmp_path / "pipeline", MODEL_PY.replace(old, new, 1))
    with pytest.raises(MfxError) as caught:
        fit(tmp_path, "broken", settings)
    assert str(caught.value).startswith(f"{tmp_path}/pipeline/model.py")
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 6


@given(steps=st.integers(1, 10_000), epochs=st.integers(1, 300))
def test_epochs_add_up_and_are_equal_but_for_the_last(steps, epochs):
    sizes = train.epochs_of(Train(steps=steps, epochs=epochs))
    assert sum(sizes) == steps
    assert len(sizes) == min(steps, epochs)
    assert len({*sizes[:-1]}) <= 1
    assert 1 <= sizes[0] <= sizes[-1] < sizes[0] + len(sizes)


@given(steps=st.integers(1, 500), epochs=st.integers(1, 50), wanted=st.integers(1, 100))
def test_keras_runs_whole_executions(steps, epochs, wanted):
    sizes = train.epochs_of(Train(steps=steps, epochs=epochs))
    chosen = train.execution_size(wanted, sizes)
    assert chosen <= wanted
    assert all(size % chosen == 0 for size in sizes)
    larger = range(chosen + 1, min(wanted, *sizes) + 1)
    assert not any(all(size % n == 0 for size in sizes) for n in larger)


def test_hash_weights_sees_every_value():
    class Network:
        def __init__(self, *weights):
            self.weights = [tf.Variable(np.array(w, np.float32)) for w in weights]

    base = train.hash_weights(Network([1, 2], [3]))
    assert base == train.hash_weights(Network([1, 2], [3]))
    assert len({base, *map(train.hash_weights, (Network([1, 2], [4]), Network([1], [2, 3])))}) == 3


@pytest.fixture
def dtype_policy():
    """Restores the dtype policy, which a training sets for the whole process."""
    import keras

    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def test_mixed_precision_is_another_training_and_the_same_again_when_interrupted(
    unbroken, tmp_path, datastore, dtype_policy
):
    """The scale of a float16 loss is part of the state that goes into a checkpoint."""
    settings = small_world().settings.override(train__precision="mixed_float16")
    whole, lines, kept = fit(tmp_path, "whole", settings, loaded=unbroken[2].saved[0])
    assert "training starts again" in lines[0]
    assert whole.weights != unbroken[0].weights
    resumed, lines, _ = fit(tmp_path, "resumed", settings, loaded=kept.saved[1])
    assert lines[0] == "continuing after epoch 2 from a checkpoint"
    assert (resumed.weights, resumed.history) == (whole.weights, whole.history)
    whole.save_to(tmp_path / "model")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["predict"]
    answers = served(x=tf.constant([1.0, 2.0]), word=tf.constant(["a", "b"]))["outputs"]
    assert np.isfinite(answers.numpy()).all()


ELSEWHERE = """
import json, sys
from pathlib import Path

import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from helpers.checkpoints import Checkpoints
from helpers.exported import V1Session
from helpers.small_world import small_world
from helpers.storing import saving
from mfx.train import train

world = small_world()
for number, (devices, jit_compile) in enumerate(json.loads(sys.argv[2])):
    folder, lines = Path(sys.argv[1], str(number)), []
    with saving(folder / "datastore"):
        model = train.train(
            world.graph,
            world.transformed,
            world.settings.override(train__jit_compile=jit_compile, train__batch_size=8),
            0,
            Checkpoints(folder / "kept"),
            lines.append,
            devices=devices,
        )
        model.save_to(folder / "model")
    served = tf.saved_model.load(str(folder / "model")).signatures["predict"]
    answers = served(x=tf.constant([1.0, 2.0]), word=tf.constant(["a", "b"]))["outputs"]
    answers = answers.numpy().reshape(-1).tolist()
    inputs = {"x": [1.0, 2.0], "word": ["a", "b"]}
    session = V1Session(folder / "model").ask("predict", **inputs)["outputs"].reshape(-1).tolist()
    print(json.dumps([model.device, model.history["loss"], lines, answers, session]))
"""
"""Runs in a process of its own: devices and determinism cannot be changed once they are set."""


def test_a_batch_is_shared_equally():
    with pytest.raises(MfxError, match=r"batch_size: 8 rows .* 3 devices.*\n?.*multiple of 3"):
        train._place(["CPU:0", "CPU:1", "CPU:2"], 8)


def test_several_devices_and_xla(tmp_path):
    ways = [(["CPU:0", "CPU:1"], False), (["CPU:0"], True)]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path), json.dumps(ways)],
        capture_output=True,
        text=True,
        cwd=ROOT / "tests",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = map(json.loads, done.stdout.splitlines()[-len(ways) :])
    for (devices, _), device, made in zip(ways, ["2 CPU", "1 CPU, XLA"], found, strict=True):
        placed, loss, lines, answers, session = made
        assert placed == device
        assert loss[-1] < loss[0]
        assert ("one training step per execution" in lines[0]) == (len(devices) > 1)
        assert len(answers) == 2 and all(map(math.isfinite, answers))
        assert session == pytest.approx(answers, abs=1e-7), "as TF Serving runs it"
