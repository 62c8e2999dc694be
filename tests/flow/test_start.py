"""The input of a run: its files, their types and hashes."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.flows import ROOT, SAMPLE

from mfx.artifacts.lineage import hash_file
from mfx.artifacts.spans import in_words
from mfx.errors import MfxError
from mfx.flow import start
from mfx.validate import schema_file


@pytest.fixture
def at(tmp_path, settings):
    """Settings for a path below `tmp_path`, without a committed schema."""

    def make(path="data", **changes):
        return settings.override(
            data__path=str(tmp_path / path), schema__path=str(tmp_path / "s.pbtxt"), **changes
        )

    return make


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "data"
    made.mkdir()
    (made / "b.csv").write_text("n,w\n1,x\n")
    (made / "a.csv").write_text("n,w\n2,y\n")
    (made / "notes.txt").write_text("not data")
    return made


def _names(sources):
    return [Path(file.path).name for file in sources.files]


def test_a_list_of_paths_keeps_its_order_and_what_is_relative(folder, settings, tmp_path):
    given = settings.override(
        data__path=[str(folder / "b.csv"), str(folder / "a*.csv")],
        schema__path=str(tmp_path / "s.pbtxt"),
    )
    assert _names(start.resolve(given)) == ["b.csv", "a.csv"]
    home = given.model_copy(update={"home": str(tmp_path)})
    data = given.data.model_copy(update={"path": ["data/b.csv", str(folder / "a.csv")]})
    sources = start.resolve(home.model_copy(update={"data": data}))
    assert [file.path for file in sources.files] == ["data/b.csv", str(folder / "a.csv")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data", ["a.csv", "b.csv"]),
        ("data/*.csv", ["a.csv", "b.csv"]),
        ("data/[b-z].csv", ["b.csv"]),
        ("data/b.csv", ["b.csv"]),
    ],
)
def test_a_folder_a_pattern_or_a_file(folder, at, path, expected):
    sources = start.resolve(at(path))
    assert _names(sources) == expected
    for file in sources.files:
        assert file.sha256 == hash_file(Path(file.path))
        assert file.size == Path(file.path).stat().st_size


def test_spans_are_reported_and_kept_with_the_files(at, tmp_path):
    for day in (29, 30, 31):
        path = tmp_path / f"2024-01-{day}" / "a.csv"
        path.parent.mkdir()
        path.write_text("n\n1\n")
    said: list[str] = []
    given = at("{YYYY}-{MM}-{DD}/*", data__window=2)
    sources = start.resolve(given, said.append)
    assert said == ["spans: 2024-01-30 to 2024-01-31"]
    assert in_words(sources.spans) == "2024-01-30 to 2024-01-31"
    # A shard has files of one span, however small they are.
    assert [shard.files[0].span for shard in sources.shards] == [*sources.spans]
    assert pickle.loads(pickle.dumps(sources)) == sources
    one = start.settings(_flow(given, span="2024-01-29"))
    said.clear()
    start.resolve(one, said.append)
    assert said == ["spans: 2024-01-29 (1 of 2)"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/gone.csv", "gone.csv: no such file"),
        ("data/gone*.csv", "gone*.csv: no input file found"),
        ("nothing", "nothing: no input file found"),
    ],
)
def test_nothing_to_read_is_one_error(folder, at, tmp_path, path, expected):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MfxError) as error:
        start.resolve(at(path))
    assert expected in error.value.what
    assert "--data" in error.value.remedy


def test_the_sample_has_the_committed_types(settings):
    sources = start.resolve(settings)
    assert settings.resolve(sources.files[0].path) == str(SAMPLE)
    assert not Path(sources.files[0].path).is_absolute(), "a project may move"
    assert sources.columns["trip_seconds"] == "int64"
    assert sources.columns["tips"] == "float32"
    assert sources.columns["company"] == "bytes"
    assert list(sources.columns) == SAMPLE.open().readline().strip().split(",")


def test_the_schema_decides_and_the_rest_is_inferred(folder, at, tmp_path):
    assert start.resolve(at()).columns == {"n": "int64", "w": "bytes"}
    schema_file.write(tmp_path / "s.pbtxt", 'feature { name: "n" type: FLOAT }')
    assert start.resolve(at()).columns == {"n": "float32", "w": "bytes"}


def test_columns_in_another_order_are_refused(folder, at):
    (folder / "c.csv").write_text("w,n\nx,1\n")
    with pytest.raises(MfxError, match=r"c\.csv: columns differ from those of .*a\.csv: .*order"):
        start.resolve(at())


def test_lineage_changes_with_data_config_and_code_alone(folder, at, tmp_path):
    first = start.resolve(at()).lineage
    assert start.resolve(at()).lineage == first

    steps = start.resolve(at(train__steps=7)).lineage
    assert (steps.data, steps.code) == (first.data, first.code)
    assert steps.config != first.config

    (folder / "a.csv").write_text("n,w\n3,y\n")
    data = start.resolve(at()).lineage
    assert data.data != first.data
    assert (data.code, data.config) == (first.code, first.config)


def test_how_it_is_deployed_is_not_part_of_the_config(settings):
    deployed = settings.override(deploy__image="other:2", deploy__retries=7)
    assert start.resolve(deployed).lineage.config == start.resolve(settings).lineage.config


def test_the_place_of_a_checkout_is_not_part_of_the_config(settings):
    moved = settings.model_copy(update={"home": settings.home + "/../taxi"})
    assert start.resolve(moved).lineage.config == start.resolve(settings).lineage.config


def _flow(settings, **given):
    parameters = (
        dict.fromkeys(("data", "span", "steps", "batch_size", "seed", "destination")) | given
    )
    return SimpleNamespace(config=SimpleNamespace(to_dict=settings.to_dict), **parameters)


def test_parameters_that_are_not_given_change_nothing(settings):
    assert start.settings(_flow(settings)) == settings


def test_parameters_replace_the_config(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = start.settings(
        _flow(settings, data="a.csv", steps=7, batch_size=8, seed=0, destination="out")
    )
    assert made.data.path == str(tmp_path / "a.csv")
    assert made.push.destination == str(tmp_path / "out")
    assert (made.train.steps, made.train.batch_size, made.train.seed) == (7, 8, 0)
    remote = start.settings(
        _flow(settings, data="s3://bucket/trips", destination="s3://bucket/models")
    )
    assert remote.data.path == "s3://bucket/trips"
    assert remote.push.destination == "s3://bucket/models"


def test_a_relative_path_in_the_project_is_kept_relative(settings, monkeypatch):
    """So that a project that was moved finds its file. An absolute path stays absolute."""
    monkeypatch.chdir(ROOT / "data")
    made = start.settings(_flow(settings, data="taxi/trips.csv", destination=f"{ROOT}/pushed"))
    assert made.data.path == "../../data/taxi/trips.csv"
    assert made.push.destination == f"{ROOT}/pushed"
    several = start.settings(_flow(settings, data='["taxi/a*.csv", "s3://b/c.csv", "/d.csv"]'))
    assert several.data.path == ["../../data/taxi/a*.csv", "s3://b/c.csv", "/d.csv"]


def test_a_parameter_that_does_not_fit_is_named(settings):
    with pytest.raises(MfxError, match=r"command line: train\.seed: .*found -1"):
        start.settings(_flow(settings, seed=-1))


@pytest.fixture
def taxi(settings):
    """A flow of the taxi pipeline with these parameters; `start.settings` reads them."""

    def make(**parameters):
        names = ("data", "span", "steps", "batch_size", "seed", "destination")
        given = dict.fromkeys(names) | parameters
        return SimpleNamespace(config=SimpleNamespace(to_dict=settings.to_dict), **given)

    return make


@pytest.mark.parametrize("name", ["data", "destination"])
def test_an_address_of_another_form_is_refused_at_once(taxi, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MfxError, match=r"^command line: .*s3:/b/x: .* did you mean s3://b/x\?"):
        start.settings(taxi(**{name: "s3:/b/x"}))
    assert start.settings(taxi(**{name: "here"})) != start.settings(taxi())


def test_a_container_sees_no_relative_path(taxi, monkeypatch):
    monkeypatch.setattr(start, "code_package", lambda: Path("/package"))
    kept = {"data": "s3://b/x.csv", "destination": "s3://b/models"}
    assert start.settings(taxi(**kept)).push.destination == "s3://b/models"
    for name, said in (("data", "data.path: 'here'"), ("destination", "push.destination: 'here'")):
        with pytest.raises(MfxError, match=f"{said} is on this machine"):
            start.settings(taxi(**kept | {name: "here"}))


def test_a_destination_is_tried_out_and_left_as_it_was(settings, tmp_path):
    said = []
    start.check_destination(settings.override(push__destination=str(tmp_path / "p")), said.append)
    assert (said, list(tmp_path.iterdir())) == ([], [])


def test_a_destination_that_cannot_be_written_stops_the_run(settings, tmp_path):
    (tmp_path / "p").write_text("no folder")
    unfit = settings.override(push__destination=str(tmp_path / "p"))
    with pytest.raises(MfxError, match="p is a file, not a folder") as error:
        start.check_destination(unfit, print)
    assert "another --destination" in error.value.remedy


def test_a_run_that_does_not_promote_needs_no_right_to_write(settings, tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mfx.destinations.local.os.link", denied)
    place = settings.override(push__destination=str(tmp_path / "p"))
    with pytest.raises(MfxError, match="cannot write: Permission denied"):
        start.check_destination(place, print)
    manual = place.override(push__promote="manual")
    said = []
    start.check_destination(manual, said.append)
    (line,) = said
    assert f"can read {tmp_path}/p/taxi but not write" in line and "Permission denied" in line
    (tmp_path / "p").write_text("no folder")
    with pytest.raises(MfxError, match="p is a file, not a folder"):
        start.check_destination(manual, print)


def test_a_trial_writes_nothing_there(settings, tmp_path, monkeypatch):
    (tmp_path / "p").write_text("no folder")
    monkeypatch.setattr(start, "is_trial", lambda: True)
    start.check_destination(settings.override(push__destination=str(tmp_path / "p")), print)


def test_a_comparator_that_cannot_act_is_found_before_work(folder, at, tmp_path):
    path = tmp_path / "strict.pbtxt"
    comparator = "skew_comparator { infinity_norm { threshold: 0.1 } }"
    path.write_text(f'feature {{ name: "n" type: INT {comparator} }}')
    given = at("a.csv").override(schema__path=str(path))
    with pytest.raises(MfxError) as error:
        start.resolve(given)
    assert error.value.what == (
        f"{path}: feature 'n': skew_comparator infinity_norm has no effect on INT, whose values "
        "are not counted; jensen_shannon_divergence would work, or infinity_norm with "
        "int_domain { is_categorical: true }"
    )


def test_a_mistake_in_model_py_is_found_before_work(folder, at, tmp_path):
    module = tmp_path / "broken.py"
    module.write_text("import keras\n\ndef build_model(:\n    pass\n")
    given = at("a.csv").override(pipeline__module=str(module))
    with pytest.raises(MfxError) as error:
        start.resolve(given)
    assert error.value.what.startswith(f"{module}, line 3: SyntaxError: ")
    assert "def build_model(:" in error.value.what


def test_a_column_of_the_label_that_is_not_there(folder, at):
    settings = at()
    with pytest.raises(MfxError, match=r"label\.columns: no column 'tips' in the data") as caught:
        start.check_label(settings, start.resolve(settings))
    assert caught.value.remedy == "Columns: n, w"
