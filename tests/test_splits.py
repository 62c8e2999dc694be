"""Names of splits have one order, and `test` judges where it is."""

from mfx import splits


def test_train_and_eval_come_first():
    assert splits.in_order(["test", "eval", "a", "train"]) == ("train", "eval", "a", "test")


def test_the_test_split_judges_where_there_is_one():
    assert splits.judging(["train", "eval"]) == "eval"
    assert splits.judging(["train", "eval", "holdout", "test"]) == "test"
