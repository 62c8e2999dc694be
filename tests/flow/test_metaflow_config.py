"""A config is read with the folder of its file, however it is given to Metaflow."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from metaflow import Config, FlowSpec, step
from metaflow._vendor import click
from metaflow.exception import MetaflowException
from metaflow.parameters import flow_context
from metaflow.user_configs.config_options import config_options_with_config_input

from mfx import environment
from mfx.flow import metaflow_config, runtime

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = """
[pipeline]
name = "mine"
[data]
path = "data.csv"
[label]
name = "y"
columns = ["y"]
[evaluate]
metrics = ["AUC"]
select = "auc"
[push]
destination = "pushed"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Three folders with a model, two of them with the same config; the current one is `here`."""
    for name in ("default", "a copy", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").touch()
    for name in ("default", "a copy"):
        (tmp_path / name / "config.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(environment, "_project", tmp_path)
    return tmp_path


@pytest.fixture
def ask(project):
    """Read a config by a flow with our parser, from a command line and an environment."""

    class Asked(FlowSpec):
        config = Config(
            "config", default=str(project / "default" / "config.toml"), parser=runtime.parser()
        )

        @step
        def start(self):
            pass

    def read(*arguments: str, **variables: str) -> dict:
        with flow_context(Asked), pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            eager = [click.Option([f"--{n}"], is_eager=True) for n in ("quiet", "datastore")]
            command = click.Command("flow", params=eager, callback=lambda **given: given)
            config_options_with_config_input(command)
            obj = SimpleNamespace(flow=SimpleNamespace(name="Asked"))
            given = command.main(list(arguments), standalone_mode=False, obj=obj)
            assert "delayed_config_exception" not in vars(obj)
        assert not metaflow_config._paths and not metaflow_config._values
        return (given["config"] or given["config_value"])["config"].to_dict()

    return read


def as_json(text: str) -> str:
    return json.dumps(tomllib.loads(text))


@pytest.mark.parametrize(
    ("arguments", "home"),
    [
        ([], "default"),
        (["--config", "config", "../a copy/config.toml"], "a copy"),
        (["--config", "config", "{project}/a copy/config.toml"], "a copy"),
        (["--config", "config", "../default/config.toml"], "default"),
        (["--config-value", "config", TEXT], "here"),
        (["--config-value", "config", as_json(TEXT)], "here"),
    ],
)
def test_where_relative_paths_start(ask, project, arguments, home):
    """All of these configs have the same text, so the text does not tell their folder."""
    found = ask(*(argument.replace("{project}", str(project)) for argument in arguments))
    assert (found["home"], found["pipeline"]["name"]) == (home, "mine")


def test_variables_say_it_too(ask):
    file = json.dumps({"config": "../a copy/config.toml"})
    assert ask(METAFLOW_FLOW_CONFIG=file)["home"] == "a copy"
    value = json.dumps({"config": tomllib.loads(TEXT)})
    assert ask(METAFLOW_FLOW_CONFIG_VALUE=value)["home"] == "here"


def test_a_config_outside_the_project_keeps_its_folder(ask, project, monkeypatch):
    monkeypatch.setattr(environment, "_project", project / "here")
    found = ask("--config", "config", "../a copy/config.toml")
    assert found["home"] == str(project / "a copy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "the config given as text: not valid TOML"),
        ('{"x": ', "the config given as text: not valid JSON"),
        (TEXT + "[train]\nstepz = 1\n", "the config given as text: unknown key 'train.stepz'"),
        ('home = "/elsewhere"\n' + TEXT, "the config given as text: unknown key 'home'"),
        (TEXT.replace('"mine"', '"mine"\nmodule = "m.py"'), "the current folder, .*/here"),
    ],
)
def test_errors_name_what_was_read(ask, text, message):
    with pytest.raises(MetaflowException, match=message):
        ask("--config-value", "config", text)


def test_a_file_in_another_encoding_is_one_message(ask):
    Path("latin.toml").write_bytes("# für\n".encode("latin-1"))
    with pytest.raises(MetaflowException, match=r"latin\.toml: not UTF-8 at byte 3"):
        ask("--config", "config", "latin.toml")
