"""The reference is whole, current and true: what it shows as an example, the config takes."""

from __future__ import annotations

import re
import sys

import markdown
import pytest
from helpers.flows import ROOT

from mfx import config
from mfx.config import keys, reference
from mfx.config.data import SPANS
from mfx.errors import MfxError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = ROOT / "docs" / "reference" / "config.md"
SECTIONS = {section.name: section for section in reference.sections()}
KEYS = {key.name: key for section in SECTIONS.values() for key in section.keys}


def test_the_page_is_current():
    said = "docs/reference/config.md is not what lib/mfx/config says: make reference"
    assert PAGE.read_text(encoding="utf-8") == reference.page(), said


def test_every_table_and_key_of_the_config_is_there():
    assert {*SECTIONS, *KEYS} == {name for name, _ in keys.walk(config.Settings)}
    assert len(KEYS) > 60


def test_a_key_says_what_it_means_and_shows_an_example():
    for name, key in KEYS.items():
        assert len(key.meaning) > 15 and key.meaning.endswith("."), name
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", key.example), name
        assert key.kind and key.default, name


def test_a_table_says_what_it_is_for():
    for name, section in SECTIONS.items():
        assert len(section.meaning) > 15 and section.meaning.endswith("."), name


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_an_example_is_taken_beside_what_the_taxi_pipeline_says(key):
    tables = tomllib.loads((ROOT / "flows" / "taxi" / "config.toml").read_text(encoding="utf-8"))
    ((name, given),) = tomllib.loads(key.example).items()
    others = {"images", "texts", "query", "source", "connection", "shard_by"}
    if name == "data" and others & set(given):
        del tables["data"]["path"]  # Instead of files.
        if not {"images", "texts", "source"} & set(given):
            tables["data"]["query"] = "SELECT 1"
    if name == "data" and set(SPANS) & set(given):
        tables["data"]["path"] = "day-{SPAN}.csv"
    if "above" in given:
        given["kind"] = "binary"
    made = config.from_dict({**tables, name: {**tables.get(name, {}), **given}}, "the example")
    assert _has(made.to_dict()[name], given)


def _has(found, given):
    """Whether what a config has is what was given, and defaults besides."""
    if isinstance(given, dict) and isinstance(found, dict):
        return all(_has(found[key], value) for key, value in given.items())
    if isinstance(given, list) and isinstance(found, list):
        return len(given) == len(found) and all(map(_has, found, given))
    # A list of null values is short for a table, and so is a kind of feature.
    if isinstance(found, dict):
        found = found.get("default", found.get("kind"))
    return found == given


def test_an_example_shows_another_value_than_the_default():
    same = [
        name
        for name, key in KEYS.items()
        if f"{name.rpartition('.')[2]} = {key.default.strip('`')}" in key.example.splitlines()
    ]
    assert same == ["data.split.eval"]  # the default is part of a ratio


def test_links_and_anchors_fit():
    text = PAGE.read_text(encoding="utf-8")
    html = markdown.markdown(text, extensions=["toc", "fenced_code"])
    anchors = re.findall(r'id="([^"]*)"', html)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'href="#([^"]*)"', html)) <= set(anchors)
    assert {*SECTIONS, *KEYS} <= set(anchors)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train.steps", "a whole number, at least 1"),
        ("schema.skew_threshold", "a number, above 0 and at most 1"),
        ("data.trim", "true or false"),
        ("data.tolerate", "a whole number, at least 0, or a share below 1"),
        ("data.null_values", "a list of texts or a table"),
        ("data.null_values.columns", "a table of lists of texts"),
        ("deploy.timeouts", "a table of whole numbers"),
        ("evaluate.metrics", "a list of one or more texts or tables"),
        ("evaluate.slices", "a list of lists of texts"),
        ("push.batch_sizes", "a list of one or more whole numbers, each at least 1"),
        ("deploy.trigger", "text of letters, digits, '.', '-' and '_'"),
    ],
)
def test_types_are_in_words(name, words):
    assert KEYS[name].kind == words


def test_defaults():
    assert KEYS["train.steps"].default == "`1000`"
    assert KEYS["pipeline.name"].default == "none, it must be set"
    assert KEYS["push.keep"].default == "not set"
    assert KEYS["deploy.project"].default.startswith("the pipeline's name")


def test_a_table_or_key_is_found():
    assert reference.find("train") == SECTIONS["train"] == reference.find("[train]")
    assert reference.find("train.steps") == [KEYS["train.steps"]] == reference.find("steps")
    assert reference.find("evaluate.thresholds.0.lower") == [KEYS["evaluate.thresholds.lower"]]
    assert [key.name for key in reference.find("path")] == [
        *("data.path", "data.images.path", "data.texts.path", "schema.path")
    ]
    assert [key.name for key in reference.find("data.split")] == [
        *("data.split", "data.split.train", "data.split.eval", "data.split.key", "data.split.by"),
        *("data.split.begins", "data.split.unit", "data.split.values", "data.split.others"),
        *("data.split.missing", "data.split.files"),
    ]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("train.stepz", "'train.steps' or 'train.seed'"),
        ("batchsize", "'train.batch_size' or 'push.batch_sizes'"),
        ("trian", "'train' or 'data.split.train'"),
        ("data.batch_size", "'train.batch_size' or 'push.batch_sizes'"),
    ],
)
def test_what_is_not_there_has_near_names(name, near):
    with pytest.raises(MfxError) as error:
        reference.find(name)
    assert error.value.what == f"the config has no key '{name}'; did you mean {near}?"


def test_what_is_like_nothing_has_none():
    with pytest.raises(MfxError, match=r"the config has no key 'xyzzy'\n"):
        reference.find("xyzzy")
