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
from mfx.errors import MfxError

GOOD = {
    "pipeline": {"name": "taxi"},
    "data": {"path": "trips.csv"},
    "label": {"name": "big_tipper", "columns": ["tips"]},
    "evaluate": {"metrics": ["AUC"], "select": "auc"},
    "push": {"destination": "pushed"},
}


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
        (_changed("data", "split", "evals", value=1), "'data.split.evals'; did you mean 'eval'?"),
        (_changed("trian", "steps", value=3), "unknown key 'trian'; did you mean 'train'?"),
        (_changed("train", "steps", value="3"), "train.steps: expected integer, found '3'"),
        (_changed("train", "steps", value=0), "train.steps: expected greater than or equal to 1"),
        (_changed("push", "keep", value=1), "push.keep: expected greater than or equal to 2"),
        (_changed("data", "split", "eval", value=-1), "data.split.eval: expected greater than"),
        (
            _changed("data", "split", "eval", value=0),
            "data.split.eval: expected greater than or equal to 1, found 0",
        ),
        (_changed("data", "ragged_rows", value="skip"), "expected 'stop' or 'reject', found"),
        (_changed("evaluate", "metrics", value=[3]), "evaluate.metrics.0: expected"),
        (
            _changed("evaluate", "thresholds", value=[{"metric": "auc"}]),
            "evaluate.thresholds.0: a threshold needs one of lower, upper, max_drop, max_rise",
        ),
        (
            _changed(
                "evaluate", "thresholds", value=[{"metric": "auc", "lower": 0.5, "slices": [["a"]]}]
            ),
            "threshold on slice ['a'], which is not in slices",
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
            "evaluate.metrics.0.class_name: expected string, found 3",
        ),
        (
            _changed("evaluate", "metrics", value=[{}]),
            "missing key 'evaluate.metrics.0.class_name'",
        ),
        (
            _changed("beam", "options", value=["runner=FlinkRunner"]),
            "beam: options: expected '--name=value' or '--name', found 'runner=FlinkRunner'",
        ),
        (
            _changed("beam", "options", value=["--flink_master=host:8081"]),
            "beam: options: no runner among them, such as '--runner=PortableRunner'",
        ),
        (
            _changed("beam", "temp", value="temp"),
            "beam: temp: expected an absolute path or URL, found 'temp'",
        ),
        (_changed("evaluate", "metrics", value=[]), "evaluate.metrics: expected List"),
        (
            _changed("evaluate", "thresholds", value=[{"metric": "auc", "lowr": 0.5}]),
            "unknown key 'evaluate.thresholds.0.lowr'; did you mean 'lower'?",
        ),
        (
            _changed(
                "evaluate", "thresholds", value=[{"metric": "a", "max_drop": 0.1, "max_rise": 0.1}]
            ),
            "evaluate.thresholds.0: max_drop is for higher-is-better",
        ),
        (_changed("schema", "skew_threshold", value=2.0), "schema.skew_threshold: expected less"),
        (_changed("train", "precision", value="float8"), "train.precision: expected 'float32'"),
        (_changed("data", "nul_values", value=[]), "did you mean 'null_values'?"),
        (_changed("pipeline", "name", value="a/b"), "pipeline.name: expected"),
        ({k: v for k, v in GOOD.items() if k != "label"}, "missing key 'label'"),
    ],
)
def test_a_mistake_is_one_line(tables, expected):
    with pytest.raises(MfxError) as error:
        config.from_dict(tables, "c.toml")
    (line,) = error.value.what.splitlines()
    assert line.startswith("c.toml: ")
    assert expected in line


def test_several_mistakes_are_one_line_each():
    tables = _changed("train", "stepz", value=3) | {"push": {}, "data": {"path": 3}}
    with pytest.raises(MfxError) as error:
        config.from_dict(tables, "c.toml")
    assert sorted(error.value.what.splitlines()) == [
        "c.toml: data.path: expected string, found 3",
        "c.toml: missing key 'push.destination'",
        "c.toml: unknown key 'train.stepz'; did you mean 'steps'?",
    ]


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
    with pytest.raises(MfxError, match=r"bad\.toml: not UTF-8 at byte 5"):
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
    """Or Metaflow could not merge the tasks of a foreach."""
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
        ('destination = "s3:/b/m"', "push.destination: s3:/b/m: expected a folder or s3://"),
        ('destination = "gs://b/m"', "push.destination: gs://b/m: expected a folder or s3://"),
        ('path = "S3://b/x.csv"', "data.path: S3://b/x.csv: expected a path on disk or s3://"),
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
