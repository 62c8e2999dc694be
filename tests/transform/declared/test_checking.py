"""What cannot be made of the data's columns is one message, before anything is computed."""

from __future__ import annotations

import pytest

from mfx import config
from mfx.errors import MfxError
from mfx.transform.declared.checking import check

COLUMNS = {
    "fare": "float32",
    "hour": "int64",
    "company": "bytes",
    "tags": "bytes list",
    "tips": "float32",
    "tip": "int64",
    "species": "bytes",
}
LABEL = {"name": "big", "columns": ["tip"], "kind": "binary"}


def declared(features, label) -> config.Settings:
    tables = {
        "pipeline": {"name": "taxi"},
        "data": {"path": "trips.csv"},
        "label": {**LABEL, **label},
        "features": features,
        "evaluate": {"metrics": ["AUC"], "select": "auc"},
        "push": {"destination": "pushed"},
    }
    return config.from_dict(tables, "config.toml")


@pytest.mark.parametrize(
    ("features", "label", "message"),
    [
        (
            {"fair": "zscore"},
            {},
            "features.fair: no column 'fair' in the data; did you mean 'fare'?\nColumns: fare,",
        ),
        (
            {"company": "zscore"},
            {},
            "features.company: zscore takes int64 or float32, but the column 'company' is bytes\n"
            "Kinds for such a column: vocabulary, hash, crossed, date, tokens, image.",
        ),
        (
            {"tags": "tokens"},
            {},
            "tokens takes bytes, but the column 'tags' is bytes list\n"
            "Kinds for such a column: vocabulary, hash.",
        ),
        (
            {"fare": "vocabulary"},
            {},
            "vocabulary takes bytes or int64, also lists, but the column 'fare' is float32\n"
            "Kinds for such a column: zscore, log, minmax, buckets.",
        ),
        (
            {"f": {"kind": "log", "column": "tip"}},
            {},
            "features.f: the label is made from the column 'tip'",
        ),
        ({"big": {"kind": "log", "column": "fare"}}, {}, "features.big: the label has this name"),
        (
            {"c": {"kind": "crossed", "columns": ["hour", "fare"]}},
            {},
            "features.c: crossed takes bytes or int64, but the column 'fare' is float32",
        ),
        (
            {"fare": "log", "c": {"kind": "crossed", "columns": ["hour", "fare"]}},
            {},
            "features.c: the feature 'fare' is of the kind log",
        ),
        (
            {"tags": "hash", "c": {"kind": "crossed", "columns": ["hour", "tags"]}},
            {},
            "features.c: the feature 'tags' has lists",
        ),
        (
            {"fare": "log"},
            {"columns": ["tips"]},
            "binary takes int64, but the column 'tips' is float32\nSay what it must be above",
        ),
        (
            {"fare": "log"},
            {"columns": ["species"]},
            "binary takes int64, but the column 'species' is bytes\nName the column's two values",
        ),
        (
            {"fare": "log"},
            {"columns": ["species"], "kind": "counts"},
            "label.kind: counts takes int64 or float32, but the column 'species' is bytes",
        ),
        (
            {"fare": "log"},
            {"columns": ["tips"], "kind": "classes"},
            "label.kind: classes takes bytes or int64, but the column 'tips' is float32",
        ),
        (
            {"fare": "log"},
            {"columns": ["tips"], "above": {"column": "fair"}},
            "label.above.column: no column 'fair' in the data; did you mean 'fare'?",
        ),
        (
            {"fare": "log"},
            {"columns": ["tips"], "above": {"column": "species"}},
            "label.above.column: 'species' is bytes",
        ),
        (
            {"fare": "log"},
            {"columns": ["tips", "tip"]},
            "label.columns: 2 columns, but a declared label is made from one",
        ),
        ({"fare": "log"}, {"missing": "fill"}, 'label.missing: "fill" is for labels that'),
    ],
)
def test_what_does_not_fit_is_one_message(features, label, message):
    settings = declared(features, label)
    with pytest.raises(MfxError) as caught:
        check(settings.features, settings.label, COLUMNS)
    assert message in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "label",
    [
        {},
        {"columns": ["tips"], "above": {"column": "fare", "times": 0.2}},
        {"columns": ["tips"], "above": {"value": 3}},
        {"columns": ["species"], "classes": ["a", "b"]},
        {"columns": ["species"], "kind": "classes"},
        {"columns": ["tips"], "kind": "log_regression"},
    ],
)
def test_what_fits_is_taken(label):
    features = {
        "fare": "buckets",
        "hour": {"kind": "identity", "size": 24},
        "company": "vocabulary",
        "tags": "vocabulary",
        "both": {"kind": "crossed", "columns": ["fare", "company"]},
    }
    settings = declared(features, label)
    check(settings.features, settings.label, COLUMNS)


def test_without_features_nothing_is_checked():
    settings = declared({}, {"columns": ["nowhere", "else"], "missing": "fill"})
    check(settings.features, settings.label, COLUMNS)
