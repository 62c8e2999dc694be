"""A config's mistakes are one line each: file, key, what was expected, the nearest key."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.flows import ROOT

from mfx import config
from mfx.config import reference
from mfx.config.keys import toml
from mfx.config.messages import PAGE
from mfx.errors import MfxError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECTIONS = reference.sections()
KEYS = [key for section in SECTIONS for key in section.keys]

GOOD = {
    "pipeline": {"name": "taxi"},
    "data": {"path": "trips.csv"},
    "label": {"name": "big_tipper", "columns": ["tips"]},
    "evaluate": {"metrics": ["AUC"], "select": "auc"},
    "push": {"destination": "pushed"},
}


def is_kind(key: reference.Key) -> bool:
    """Whether this is a kind of feature, such as `features.zscore`, and no key."""
    return key.name.startswith("features.") and key.name.count(".") == 1


def _changed(*path, value):
    tables = copy.deepcopy(GOOD)
    place = tables
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    return tables


def test_the_taxi_config_is_good_and_survives_a_round_trip(settings):
    again = config.from_dict(settings.to_dict(), "x")
    assert again == settings
    assert again.resolve("model.py") == str(ROOT / "flows" / "taxi" / "model.py")
    assert again.resolve("s3://bucket/a") == "s3://bucket/a"


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        (_changed("train", "stepz", value=3), "unknown key 'train.stepz'; did you mean 'steps'?"),
        (
            _changed("data", "split", value={"train": 2, "evals": 1}),
            "data.split: expected a share of eval beside that of 'evals', found none; did you mean "
            "'eval'?",
        ),
        (_changed("trian", "steps", value=3), "unknown key 'trian'; did you mean 'train'?"),
        (
            _changed("train", "steps", value="3"),
            'train.steps: expected a whole number, at least 1, found "3"',
        ),
        (
            _changed("train", "steps", value=0),
            "train.steps: expected a whole number, at least 1, found 0",
        ),
        (
            _changed("push", "keep", value=1),
            "push.keep: expected a whole number, at least 2, found 1",
        ),
        (
            _changed("data", "split", "eval", value=-1),
            "data.split.eval: expected a whole number, at least 1, found -1",
        ),
        (
            _changed("data", "ragged_rows", value="reject"),
            "unknown key 'data.ragged_rows'; it is 'data.tolerate' now",
        ),
        *(
            (
                _changed("data", "tolerate", value=value),
                "data.tolerate: expected a whole number, at least 0, or a share below 1, "
                f"found {shown}",
            )
            for value, shown in [(-1, "-1"), (1.0, "1.0"), (True, "true"), ("1%", '"1%"')]
        ),
        (
            _changed("data", "null_values", value=3),
            "data.null_values: expected a list of texts or a table, found 3",
        ),
        (
            _changed("data", "null_values", value={"columns": {"str": ["a", 3]}}),
            "data.null_values.columns.str.1: expected text, found 3",
        ),
        (
            _changed("data", "delimiter", value="||"),
            "data.delimiter: expected text of one ASCII character, no quote and no end of line, "
            'found "||"',
        ),
        (
            _changed("evaluate", "metrics", value=[3]),
            "evaluate.metrics.0: expected text or a table, found 3",
        ),
        (
            _changed("evaluate", "thresholds", value=[{"metric": "auc"}]),
            "thresholds.0: expected one of lower, upper, max_drop, max_rise, found none",
        ),
        (
            _changed(
                "evaluate", "thresholds", value=[{"metric": "auc", "lower": 0.5, "slices": [["a"]]}]
            ),
            "evaluate.thresholds: the threshold on 'auc' is for slice ['a'], which is not in "
            "evaluate.slices: add it there",
        ),
        (
            _changed("evaluate", "slices", value=[["a"], ["a", "candidate"]]),
            "evaluate.slices: 'candidate' is the name of a model in the results: rename the column",
        ),
        (_changed("evaluate", "slices", value=[["mfx.label"]]), "'mfx.label' is taken"),
        (
            _changed("evaluate", "metrics", value=[{"class_name": "AUC", "confg": {}}]),
            "unknown key 'evaluate.metrics.0.confg'; did you mean 'config'?",
        ),
        (
            _changed("evaluate", "metrics", value=[{"class_name": 3}]),
            "evaluate.metrics.0.class_name: expected text, found 3",
        ),
        (
            _changed("evaluate", "metrics", value=[{}]),
            "missing key 'evaluate.metrics.0.class_name': expected text",
        ),
        (
            _changed("beam", "options", value=["runner=FlinkRunner"]),
            "beam.options: expected '--name=value' or '--name', found 'runner=FlinkRunner'",
        ),
        (
            _changed("beam", "options", value=["--flink_master=host:8081"]),
            "beam.options: expected a runner among them, such as '--runner=PortableRunner', "
            'found ["--flink_master=host:8081"]',
        ),
        (
            _changed("beam", "temp", value="temp"),
            'beam.temp: expected an absolute path or URL, found "temp"',
        ),
        (
            _changed("evaluate", "metrics", value=[]),
            "evaluate.metrics: expected a list of one or more texts or tables, found []",
        ),
        (
            _changed("evaluate", "thresholds", value=[{"metric": "auc", "lowr": 0.5}]),
            "unknown key 'evaluate.thresholds.0.lowr'; did you mean 'lower'?",
        ),
        (
            _changed(
                "evaluate", "thresholds", value=[{"metric": "a", "max_drop": 0.1, "max_rise": 0.1}]
            ),
            "thresholds.0: expected max_drop (where higher is better) or max_rise (where lower is "
            "better), found both",
        ),
        (
            _changed("schema", "skew_threshold", value=2.0),
            "schema.skew_threshold: expected a number, above 0 and at most 1, found 2.0",
        ),
        (
            _changed("evaluate", "thresholds", value=[{"metric": "auc", "lower": float("nan")}]),
            "evaluate.thresholds.0.lower: expected a number, found nan",
        ),
        (
            _changed("push", "batch_sizes", value=[8, 1]),
            "in ascending order, each once, found [8, 1]",
        ),
        (_changed("push", "batch_sizes", value=[0]), "batch_sizes.0: expected a whole number, at"),
        (_changed("deploy", "schedule", value="  "), "expected five fields of cron, such as"),
        (
            _changed("deploy", "notify", value=["mail"]),
            'deploy.notify.0: expected "failure" or "pushed", found "mail"',
        ),
        (
            _changed("deploy", "timeouts", value={"train": "1h"}),
            'deploy.timeouts.train: expected a whole number, found "1h"',
        ),
        (
            _changed("deploy", "webhook_variable", value="https://x"),
            "deploy.webhook_variable: expected text of capital letters, digits and '_', a letter "
            'first, found "https://x"',
        ),
        (_changed("train", value=3), "train: expected a table, found 3"),
        (
            _changed("data", "batch_size", value=3),
            "'data.batch_size'; did you mean 'train.batch_size'?",
        ),
        (_changed("steps", value=3), "unknown key 'steps'; did you mean 'train.steps'?"),
        (
            _changed("label", "name", value={"a": "b" * 100}),
            'label.name: expected text, found { a = "bbbbbbb',
        ),
        (
            _changed("train", "precision", value="float8"),
            'precision: expected "float32", "mixed_float16" or "mixed_bfloat16", found "float8"',
        ),
        (_changed("data", "nul_values", value=[]), "did you mean 'null_values'?"),
        (
            _changed("pipeline", "name", value="a/b"),
            "pipeline.name: expected text of letters, digits, '-' and '_', found \"a/b\"",
        ),
        ({k: v for k, v in GOOD.items() if k != "label"}, "missing key 'label': expected a table"),
    ],
)
def test_a_mistake_is_one_line(tables, expected):
    with pytest.raises(MfxError) as error:
        config.from_dict(tables, "c.toml")
    (line,) = error.value.what.splitlines()
    assert line.startswith("c.toml: ")
    assert expected in line and len(line) < 200
    assert error.value.remedy.startswith("Reference: docs/reference/config.md")


def test_several_mistakes_are_one_line_each():
    tables = _changed("train", "stepz", value=3) | {"push": {}, "data": {"path": 3}}
    with pytest.raises(MfxError) as error:
        config.from_dict(tables, "c.toml")
    assert sorted(error.value.what.splitlines()) == [
        "c.toml: data.path: expected a path or a list of paths, found 3",
        "c.toml: missing key 'push.destination': expected text",
        "c.toml: unknown key 'train.stepz'; did you mean 'steps'?",
    ]
    assert error.value.remedy == (
        "Reference: docs/reference/config.md#data.path, #train, #push.destination, "
        "or run: mfx config data.path train push.destination"
    )


@pytest.mark.parametrize("key", [k for k in KEYS if not is_kind(k)], ids=lambda key: key.name)
def test_a_value_of_another_type_is_named_with_what_was_expected(key):
    wrong = "x" if key.kind.startswith(("a whole number", "a number", "1 or")) else 3
    tables = copy.deepcopy(GOOD)
    ((name, given),) = tomllib.loads(key.example).items()
    tables[name] = {**tables.get(name, {}), **given}
    place, said, parts = tables, [], key.name.split(".")
    if name == "features":  # A user's name stands where the reference has the kind.
        parts[1] = next(iter(given))
    for part in parts:
        if isinstance(place, list):
            at = next(n for n, item in enumerate(place) if isinstance(item, dict))
            place, said = place[at], [*said, str(at)]
        said.append(part)
        before, place = place, place[part]
    before[parts[-1]] = wrong
    with pytest.raises(MfxError) as error:
        config.from_dict(tables, "c.toml")
    expected = f"c.toml: {'.'.join(said)}: expected {key.kind}, found {toml(wrong)}"
    assert expected in error.value.what.splitlines()
    assert f"{PAGE}#{key.name}" in error.value.remedy


@pytest.mark.parametrize(
    "table", [one for one in SECTIONS if one.name != "features"], ids=lambda table: table.name
)
def test_an_unknown_key_is_named_with_its_table(table):
    tables = {**GOOD, table.name: {**GOOD.get(table.name, {}), "xyzzy": 3}}
    with pytest.raises(MfxError) as error:
        config.from_dict(tables, "c.toml")
    assert error.value.what == f"c.toml: unknown key '{table.name}.xyzzy'"
    assert error.value.remedy == (
        f"Reference: {PAGE}#{table.name}, or run: mfx config {table.name}"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("zscor", "features.fare: expected a kind, or a table with kind, of zscore, log, minmax,"),
        ({"top_k": 5}, "features.fare: expected a kind, or a table with kind, of zscore, log,"),
        (3, "tokens, image, found 3\nReference: docs/reference/config.md#features,"),
        # No other kind's keys are proposed.
        ({"kind": "zscore", "top_k": 5}, "unknown key 'features.fare.top_k'\nReference: "),
        (
            {"kind": "vocabulary", "topk": 5},
            "unknown key 'features.fare.topk'; did you mean 'top_k'?\n"
            "Reference: docs/reference/config.md#features.vocabulary, or run: mfx config features.",
        ),
        (
            {"kind": "identity"},
            "missing key 'features.fare.size': expected a whole number, at least 1\n"
            "Reference: docs/reference/config.md#features.identity.size, or run: ",
        ),
        ({"kind": "buckets", "boundaries": [3, 2]}, "features.fare: expected boundaries in asc"),
        ({"kind": "zscore", "missing": "x"}, 'missing: expected a number, "mean" or "flag", found'),
        ({"kind": "hash", "embedding": 4, "indicator": True}, "features.fare: expected embedding "),
    ],
)
def test_a_mistake_in_a_feature_is_named_with_the_keys_of_its_kind(options, message):
    with pytest.raises(MfxError) as error:
        config.from_dict({**GOOD, "features": {"fare": options}}, "c.toml")
    assert message in str(error.value)


def test_features_are_kept_with_all_their_options(settings):
    given = {"fare": "zscore", "day": {"kind": "date", "parts": ["hour"]}}
    tables = {**GOOD, "features": given, "label": {**GOOD["label"], "kind": "binary"}}
    made = config.from_dict(tables, "c.toml")
    assert made.features["fare"] == config.features.Zscore(kind="zscore")
    assert config.from_dict(made.to_dict(), "c.toml") == made
    assert made.features["day"].columns_of("day") == ["day"]


def test_metrics_fit_the_kind_of_the_label_unless_they_are_given():
    label = {**GOOD["label"], "kind": "classes"}
    bare = {name: table for name, table in GOOD.items() if name != "evaluate"}
    made = config.from_dict({**bare, "label": label}, "c.toml")
    assert made.evaluate.select == "sparse_categorical_accuracy"
    made = config.from_dict({**bare, "label": label, "evaluate": {"slices": [["a"]]}}, "c.toml")
    assert (made.evaluate.metrics[1], made.evaluate.slices) == (
        "SparseCategoricalAccuracy",
        [["a"]],
    )
    made = config.from_dict({**GOOD, "label": label}, "c.toml")
    assert (made.evaluate.metrics, made.evaluate.select) == (["AUC"], "auc")
    for kind, evaluate in config.training.METRICS.items():
        made = config.from_dict({**bare, "label": {**label, "kind": kind}}, "c.toml")
        assert made.evaluate.model_dump(include={*evaluate}) == evaluate


EVALUATE = '[evaluate]\nmetrics = ["AUC"]\nselect = "auc"\n'


def test_no_module_is_needed_where_features_are_declared(tmp_path):
    text = """
[pipeline]
name = "taxi"
[data]
path = "trips.csv"
[label]
name = "big_tipper"
columns = ["tips"]
kind = "binary"
above = { column = "fare", times = 0.2 }
[features]
fare = "zscore"
[push]
destination = "pushed"
"""
    path = tmp_path / "config.toml"
    made = config.parse(text, path)
    assert made.pipeline.module is None
    assert config.from_dict(made.to_dict(), "settings").pipeline.module is None
    with pytest.raises(MfxError, match=r"pipeline\.module: expected a file, found none at"):
        config.parse(text.replace('"taxi"\n', '"taxi"\nmodule = "mine.py"\n', 1), path)
    above = 'kind = "binary"\nabove = { column = "fare", times = 0.2 }\n'
    with pytest.raises(MfxError, match=r"pipeline\.module: expected a file, found none at"):
        config.parse(
            text.replace('[features]\nfare = "zscore"\n', "").replace(above, above[:16]), path
        )
    with pytest.raises(
        MfxError, match=r"missing key 'label\.kind': expected how the label is made"
    ):
        config.parse(text.replace(above, "") + EVALUATE, path)
    with pytest.raises(MfxError, match=r"label\.above: only with \[features\]"):
        config.parse(text.replace('[features]\nfare = "zscore"\n', ""), path)
    (tmp_path / "model.py").write_text("")
    assert config.parse(text, path).pipeline.module == "model.py"


def test_metrics_are_names_or_tables():
    metrics = ["AUC", {"class_name": "AUC", "config": {"curve": "PR"}}]
    made = config.from_dict(_changed("evaluate", "metrics", value=metrics), "c")
    assert made.evaluate.metrics == ["AUC", config.Metric(class_name="AUC", config={"curve": "PR"})]
    assert config.from_dict(made.to_dict(), "c") == made


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(MfxError, match="cannot read the config"):
        config.load(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("[data\n")
    with pytest.raises(MfxError, match=r"bad\.toml: not valid TOML: .*line 1"):
        config.load(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(MfxError, match=r"bad\.toml: not UTF-8 at byte 5\nSave the file as UTF-8"):
        config.load(tmp_path / "bad.toml")


def test_the_module_must_be_there(tmp_path):
    text = (ROOT / "flows" / "taxi" / "config.toml").read_text()
    with pytest.raises(MfxError, match=r"pipeline\.module: expected a file, found none"):
        config.parse(text, Path(tmp_path, "config.toml"))


def test_parameters_override_and_are_checked(settings):
    assert settings.override(train__steps=7, train__seed=None).train.steps == 7
    assert settings.override(train__seed=None) == settings
    with pytest.raises(MfxError, match=r"command line: train\.batch_size"):
        settings.override(train__batch_size=-1)


def test_settings_cannot_be_changed(settings):
    with pytest.raises(ValueError, match="frozen"):
        settings.train.steps = 3


def test_equal_settings_are_equal_bytes_in_every_process():
    """Otherwise Metaflow could not merge the tasks of a foreach."""
    code = (
        "import hashlib, pickle, sys; from mfx import config; "
        "made = config.load(sys.argv[1]); again = pickle.loads(pickle.dumps(made)); "
        "assert again == made; print(hashlib.sha256(pickle.dumps(again)).hexdigest())"
    )
    path = str(ROOT / "flows" / "taxi" / "config.toml")
    found = {
        subprocess.run(
            [sys.executable, "-c", code, path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('destination = "s3:/b/m"', "push.destination: s3:/b/m: expected a folder, s3://"),
        ('destination = "ftp://b/m"', "push.destination: ftp://b/m: expected a folder, s3://"),
        ('path = "S3://b/x.csv"', "data.path: S3://b/x.csv: expected a path on disk, s3://"),
        ('temp = "S3://b"\noptions = ["--runner=X"]', "beam.temp: "),
    ],
)
def test_an_address_of_another_form_is_named_with_its_key(tmp_path, line, said):
    table = {"destination": "push", "path": "data", "temp": "beam"}[line.partition(" ")[0]]
    text = (ROOT / "flows" / "taxi" / "config.toml").read_text()
    kept = re.sub(rf"^{line.partition(' ')[0]} = .*\n", "", text, flags=re.MULTILINE)
    if f"[{table}]" not in kept:
        kept += f"\n[{table}]\n"
    (tmp_path / "config.toml").write_text(kept.replace(f"[{table}]\n", f"[{table}]\n{line}\n"))
    (tmp_path / "model.py").write_text("")
    with pytest.raises(MfxError) as error:
        config.load(tmp_path / "config.toml")
    assert f"config.toml: {said}" in error.value.what


def test_settings_of_an_earlier_run_are_read_whatever_their_addresses(settings):
    tables = settings.to_dict()
    tables["push"]["destination"] = "gs://b/m"
    assert config.from_dict(tables, "settings").push.destination == "gs://b/m"
