"""How a config says into which splits rows go; each mistake is one line."""

from __future__ import annotations

import datetime

import pytest
from pydantic import ValidationError

from mfx.config import Split, messages
from mfx.config.times import microseconds
from mfx.errors import MfxError

BEGINS = {"by": "start", "begins": {"eval": "2024-05-01", "test": "2024-06-01"}}
VALUES = {"by": "fold", "values": {"train": ["a", "b"], "eval": ["c"]}}
FILES = {"files": {"train": "train/*.csv", "eval": "eval/*.csv", "test": "test.csv"}}


def made(given) -> Split:
    try:
        return Split.model_validate(given)
    except ValidationError as error:
        raise messages.of(error, "config.toml", Split) from None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"train": 2, "eval": 1, "key": []}),
        ({"eval": 1, "train": 4}, {"train": 4, "eval": 1, "key": []}),
        ({"key": ["a"]}, {"train": 2, "eval": 1, "key": ["a"]}),
    ],
)
def test_shares_of_train_and_eval_are_kept_as_they_always_were(given, kept):
    """Or the hash of the config, and with it the lineage of each run, would be another."""
    assert made(given).model_dump(mode="json") == kept
    assert list(made(given).model_dump(mode="json")) == ["train", "eval", "key"]


@pytest.mark.parametrize(
    ("given", "kind", "names", "columns"),
    [
        ({"key": ["a", "b"]}, "shares", "train eval", ["a", "b"]),
        ({"test": 1, "train": 8, "dev": 1, "eval": 1}, "shares", "train eval dev test", []),
        (BEGINS, "begins", "train eval test", ["start"]),
        ({"by": "n", "begins": {"train": 5, "eval": 7.5}}, "begins", "train eval", ["n"]),
        (VALUES, "values", "train eval", ["fold"]),
        (FILES, "files", "train eval test", []),
    ],
)
def test_a_split_has_a_kind_names_and_columns_and_survives_a_round_trip(
    given, kind, names, columns
):
    split = made(given)
    assert (split.kind, split.names, split.columns) == (kind, tuple(names.split()), columns)
    assert made(split.model_dump(mode="json")) == split


def test_the_order_in_which_splits_are_written_does_not_count():
    """A table of TOML has no order, and a run's config is compared without one."""
    one = made({"train": 8, "eval": 1, "test": 1, "dev": 2})
    other = made({"dev": 2, "test": 1, "eval": 1, "train": 8})
    assert one == other and one.shares == other.shares
    assert list(one.shares.items()) == [("train", 8), ("eval", 1), ("dev", 2), ("test", 1)]


def test_dates_of_toml_are_kept_as_text():
    found = made(
        {
            "by": "start",
            "begins": {
                "eval": datetime.date(2024, 5, 1),
                "test": datetime.datetime(2024, 6, 1, 12, tzinfo=datetime.timezone.utc),
            },
        }
    )
    assert found.begins == {"eval": "2024-05-01", "test": "2024-06-01 12:00:00+00:00"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train": 8, "evall": 1}, "a share of eval beside that of 'evall', found none; did you"),
        ({"keys": ["a"]}, "as the share of 'keys', found ['a']; did you mean 'key'?"),
        ({"train": 8, "eval": 1, "test": True}, "as the share of 'test', found True"),
        ({"train": 8, "eval": 1, "Test": 1}, "'_', a letter first, found 'Test'"),
        ({"train": 8, "eval": 1, "a/b": 1}, "'_', a letter first, found 'a/b'"),
        ({"train": 8, "eval": 1, "rejected": 1}, "another name for a split, found 'rejected'"),
        ({"train": 0}, "train: expected a whole number, at least 1, found 0"),
        ({"by": "start"}, "expected begins or values beside by, found neither"),
        ({"missing": "drop"}, "expected begins or values beside missing, found neither"),
        ({"begins": {"eval": 1}}, "expected by, a column, beside begins, found none"),
        ({"by": "n", "begins": {}}, "expected a table of times or numbers, found {}"),
        ({"by": "n", "begins": {"test": 1}}, "expected train and eval in begins, found none"),
        ({"by": "n", "begins": {"eval": True}}, "expected times or numbers, found True"),
        ({"by": "n", "begins": {"eval": "May"}}, "such as 2024-05-01 or 2024-05-01 12:30, found"),
        ({"by": "n", "begins": {"eval": "2024-02-30"}}, "'2024-02-30': day is out of range"),
        ({"by": "n", "begins": {"eval": 2**63}}, "expected numbers that fit into 64 bits"),
        ({"by": "n", "begins": {"eval": 1, "test": "2024-05-01"}}, "times or numbers, found both"),
        (
            {"by": "n", "begins": {"eval": "2024-05-01", "test": "2024-05-01 00:00"}},
            "expected another begin for each split, found two that are equal",
        ),
        ({**BEGINS, "key": ["a"]}, "expected no key beside begins, found one"),
        ({**BEGINS, "test": 1}, "expected no test beside begins, found one"),
        ({**BEGINS, **FILES}, "expected one of begins, values and files, found begins and files"),
        ({"by": "n", "begins": {"eval": 1}, "unit": "s"}, "expected times in begins beside unit"),
        ({"by": "f", "values": {"train": ["a"]}}, "expected eval in values, found none"),
        ({"by": "f", "values": {"train": ["a"], "eval": []}}, "a list of values for eval"),
        ({"by": "f", "values": {"train": [1], "eval": [1.5]}}, "texts or whole numbers, found 1.5"),
        ({"by": "f", "values": {"train": ["a"], "eval": ["a"]}}, "found 'a' for train and for"),
        (
            {"by": "f", "values": {"train": ["a"], "eval": [1]}},
            "texts or whole numbers, found both",
        ),
        ({"files": {"train": "a", "eval": "/b"}}, "expected patterns below path, found '/b'"),
        ({"files": {"train": "a", "test": "b"}}, "expected eval in files, found none"),
        ({**FILES, "train": 3}, "expected no train beside files, found one"),
    ],
)
def test_each_mistake_says_what_was_expected(given, said):
    with pytest.raises(MfxError) as caught:
        made(given)
    (line,) = caught.value.what.splitlines()
    assert said in line


def test_files_need_a_folder(settings):
    tables = settings.to_dict()
    tables["data"] |= {"split": FILES, "path": None, "query": "SELECT 1"}
    from mfx import config

    with pytest.raises(MfxError, match=r"expected path, a folder, beside split\.files"):
        config.from_dict(tables, "x")


DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", DAY),
        ("1970-01-02 00:00", DAY),
        ("1970-01-02T01", DAY + DAY // 24),
        ("1970-01-01 00:00:01.5", 1_500_000),
        ("1970-01-01 00:00:00.123456789", 123_456),
        ("1970-01-01T02:00+02:00", 0),
        ("1970-01-01 00:00-0130", DAY // 16),
        ("1970-01-01 00:00:00Z", 0),
        ("1969-12-31 23:59:59.999999", -1),
        ("2024-02-29", 19_782 * DAY),
    ],
)
def test_times_are_microseconds_since_1970(text, expected):
    assert microseconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "2024-5-1",
        "01.05.2024",
        "2024-05-01 9:30",
        "2024-13-01",
        "20240501",
        "2024-05-0\u0661",
    ],
)
def test_other_texts_are_no_times(text):
    with pytest.raises(ValueError, match="expected a time such as 2024-05-01"):
        microseconds(text)
