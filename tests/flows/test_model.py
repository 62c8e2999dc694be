"""The exported taxi model behaves as its users expect: invariance, direction, minimum function."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest


@pytest.fixture(scope="module")
def eval_rows(flow_run):
    return flow_run.data.examples.to_arrow("eval").slice(0, 500)


@pytest.fixture(scope="module")
def ask(flow_run, tmp_path_factory):
    """Rows, with columns replaced, to probabilities."""
    import tensorflow as tf

    from mfx.columns.raw_features import dense_inputs

    folder = flow_run.data.model.save_to(tmp_path_factory.mktemp("model"))
    model = tf.saved_model.load(str(folder))
    signature = model.signatures["predict"]
    specs = signature.structured_input_signature[1]

    def call(rows: pa.Table, **columns) -> np.ndarray:
        for name, values in columns.items():
            place = rows.schema.get_field_index(name)
            kind = rows.schema.field(name).type
            given = values if isinstance(values, list) else [values] * rows.num_rows
            rows = rows.set_column(place, name, pa.array(given, kind))
        (batch,) = rows.combine_chunks().to_batches()
        return signature(**dense_inputs(batch, specs))["outputs"].numpy()[:, 0]

    call.model = model
    return call


def test_unused_features_change_nothing(ask, eval_rows):
    changed = ask(eval_rows, pickup_census_tract=17031, trip_start_timestamp=0)
    assert np.array_equal(ask(eval_rows), changed)


def test_order_and_batch_size_change_nothing(ask, eval_rows):
    order = np.random.default_rng(0).permutation(eval_rows.num_rows)
    assert np.allclose(ask(eval_rows)[order], ask(eval_rows.take(order)), atol=1e-6)
    singly = np.concatenate([ask(eval_rows.slice(i, 1)) for i in range(5)])
    assert np.allclose(ask(eval_rows)[:5], singly, atol=1e-6)


def test_card_payers_tip_more_than_cash_payers(ask, eval_rows):
    card = ask(eval_rows, payment_type=b"Credit Card")
    cash = ask(eval_rows, payment_type=b"Cash")
    assert (card > cash).mean() > 0.99


def test_tippers_are_ranked_above_others(ask, flow_run):
    rows = flow_run.data.examples.to_arrow("eval")
    frame = rows.select(["tips", "fare"]).to_pandas()
    label = (frame.tips > 0.2 * frame.fare).to_numpy()
    rank = ask(rows).argsort().argsort() + 1.0
    positives, negatives = label.sum(), (~label).sum()
    auc = (rank[label].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    assert auc >= 0.85


def test_obvious_rows_are_told_apart(ask, eval_rows):
    rows = eval_rows.slice(0, 2)
    card, cash = ask(rows, payment_type=[b"Credit Card", b"Cash"], fare=[8.0, 8.0])
    assert card > 0.4
    assert cash < 0.1


def test_missing_values_and_unseen_words_still_get_an_answer(ask, eval_rows):
    nothing = dict.fromkeys(eval_rows.column_names)
    for answers in (
        ask(eval_rows, **nothing),
        ask(eval_rows, company=b"never seen", payment_type=b"shells"),
        ask(eval_rows, trip_start_hour=99, pickup_community_area=-5),
    ):
        assert np.isfinite(answers).all()
        assert ((answers >= 0) & (answers <= 1)).all()


def test_serialized_examples_and_raw_tensors_get_the_same_answer(ask, eval_rows):
    import tensorflow as tf

    from mfx.columns.tf_examples import serialize

    (batch,) = eval_rows.combine_chunks().to_batches()
    examples = tf.constant(list(serialize(batch)))
    served = ask.model.signatures["serving_default"](examples)["outputs"].numpy()[:, 0]
    assert np.allclose(served, ask(eval_rows), atol=1e-6)


def test_the_transform_signature_gives_what_training_saw(ask, flow_run, eval_rows):
    import tensorflow as tf

    from mfx.columns.tf_examples import serialize

    (batch,) = eval_rows.combine_chunks().to_batches()
    made = ask.model.signatures["transform_features"](tf.constant(list(serialize(batch))))
    stored = flow_run.data.transformed.to_arrow("eval").slice(0, 500)
    assert set(made) == set(stored.column_names)
    for name, values in made.items():
        assert np.array_equal(values.numpy(), stored.column(name).to_numpy()), name
