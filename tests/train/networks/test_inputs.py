"""The default network on features of the user's own preprocessing_fn, and the other way round."""

from __future__ import annotations

import pytest
from helpers.checkpoints import Checkpoints
from helpers.small_world import (
    COLUMNS,
    CONFIG,
    EVAL,
    LINEAGE,
    MODEL_PY,
    SCHEMA,
    TRAIN,
    save_examples,
    write_pipeline,
)

from mfx.artifacts import Schema
from mfx.errors import MfxError
from mfx.train.train import train
from mfx.transform.transform import transform
from mfx.user_code import loading

NO_NETWORK = MODEL_PY[: MODEL_PY.index("def build_model")]
NO_FEATURES = """
import keras

def build_model():
    inputs = {"x": keras.Input((2,), name="x")}
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(inputs["x"]))
    model.compile(loss="binary_crossentropy")
    return model
"""
OWN = CONFIG.replace('columns = ["y"]', 'columns = ["y"]\nkind = "binary"')
DECLARED = OWN + '[features]\nx = { kind = "zscore", missing = "flag" }\n'


def trained(tmp_path, module, text):
    """A pipeline's graph and model."""
    settings = write_pipeline(tmp_path / "pipeline", module, text)
    examples = save_examples(tmp_path / "raw", COLUMNS, train=TRAIN, eval={**EVAL, "y": [1, 0, 0]})
    schema = Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE)
    graph, transformed = transform(examples, schema, settings)
    kept = Checkpoints(tmp_path / "kept")
    return graph, train(graph, transformed, settings, 0, kept, lambda line: None)


def test_own_features_and_the_default_network(tmp_path, datastore):
    graph, model = trained(tmp_path, NO_NETWORK, OWN)
    assert graph.features == {"x": "float32", "word": "int64", "label": "int64"}
    assert set(model.history) >= {"accuracy", "auc", "loss"}


def test_declared_features_and_an_own_network(tmp_path, datastore):
    graph, model = trained(tmp_path, NO_FEATURES, DECLARED)
    assert graph.features == {"x": "float32", "label": "int64"}
    assert set(model.history) == {"loss", "val_loss"}


def test_a_feature_of_which_nothing_is_known(tmp_path, datastore):
    module = NO_NETWORK.replace(
        '"word": words', '"word": tf.abs(tf.cast(fill_missing(inputs["x"]), tf.int64))'
    )
    with pytest.raises(MfxError) as caught:
        trained(tmp_path, module, OWN)
    assert caught.value.what == (
        "the default network cannot take the feature 'word': it is int64, and how many categories "
        "it has is unknown"
    )
    assert "sizes = { word = … } under [train.hyperparameters]" in caught.value.remedy
    sizes = OWN.replace("epochs = 3", "epochs = 3\nhyperparameters = { sizes = { word = 7 } }")
    trained(tmp_path / "again", module, sizes)


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        (MODEL_PY, DECLARED, "a preprocessing_fn, though the config declares features"),
        (
            NO_FEATURES,
            OWN,
            "no function preprocessing_fn\nDefine preprocessing_fn in this file, or "
            "declare the features",
        ),
        (
            NO_NETWORK,
            CONFIG,
            "no function build_model\nDefine build_model in this file, or set kind under [label]",
        ),
    ],
)
def test_a_module_without_what_the_config_does_not_say(module, text, message, tmp_path):
    with pytest.raises(MfxError) as caught:
        loading.load(write_pipeline(tmp_path, module, text))
    assert message in str(caught.value)
