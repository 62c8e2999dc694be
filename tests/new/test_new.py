"""What `mfx new` proposes for tables of many kinds, and what it writes."""

from __future__ import annotations

import datetime
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.flows import ROOT

from mfx import cli, config
from mfx.errors import MfxError
from mfx.flow import start
from mfx.new import files, proposal, sample, treatments

ROWS = 2000


def table(**columns) -> pd.DataFrame:
    """Columns beside a label that is 0 or 1 at random."""
    draw = np.random.default_rng(7)
    return pd.DataFrame({**columns, "label": draw.integers(0, 2, ROWS)})


def propose(frame: pd.DataFrame, tmp_path, label=None):
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return proposal.propose(sample.take(str(path)), label)


def numbers(**given):
    return np.random.default_rng(3).normal(**given, size=ROWS)


DAYS = [(datetime.date(2024, 1, 1) + datetime.timedelta(n % 300)).isoformat() for n in range(ROWS)]
WORDS = ["the taxi came late and it was dirty", "a good ride by the lake at night again"]

COLUMNS = {
    "zscore": (numbers(), ["zscore", "buckets"]),
    "a long tail": (np.exp(numbers(scale=3)), ["log", "buckets"]),
    "few whole numbers": ([n % 5 for n in range(ROWS)], ["vocabulary", "zscore"]),
    "two numbers": ([n % 2 for n in range(ROWS)], ["zscore"]),
    "texts": ([f"city {n % 40}" for n in range(ROWS)], ["vocabulary"]),
    "free text": ([f"{WORDS[n % 2]} {n % 1500}" for n in range(ROWS)], ["tokens"]),
    "dates": (DAYS, ["date"]),
    "dates with missing": ([None if n % 9 == 0 else day for n, day in enumerate(DAYS)], ["date"]),
    "created_at": ([1_700_000_000 + n % 1700 * 3600 for n in range(ROWS)], ["date"]),
    "constant": (["x"] * ROWS, []),
    "empty": ([None] * ROWS, []),
    "trip_id": (np.random.default_rng(5).permutation(ROWS) + 10**6, []),
    "counter": (np.arange(ROWS), []),
    "uuid": ([f"{n:032x}" for n in range(ROWS)], []),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_each_column_is_treated_as_what_it_is(name, tmp_path):
    values, kinds = COLUMNS[name]
    made = propose(table(**{name: values, "other": numbers()}), tmp_path)
    (treated,) = [one for one in made.treatments if one.column == name]
    found = [one if isinstance(one, str) else one["kind"] for one in treated.features.values()]
    assert found == kinds
    assert treated.why and not treated.warning


def test_missing_numbers_are_flagged_and_words_for_missing_are_found(tmp_path):
    values = ["NA" if n % 10 == 0 else f"{n / 7:.3f}" for n in range(ROWS)]
    made = propose(table(x=values), tmp_path)
    assert made.sample.null_values == {"x": ["NA"]}
    assert made.features["x"] == {"kind": "zscore", "missing": "flag"}


@pytest.mark.parametrize(
    ("label", "kind", "more"),
    [
        ([n % 2 for n in range(ROWS)], "binary", {"classes": [], "above": None}),
        ([n % 2 + 1 for n in range(ROWS)], "binary", {"above": 1.5}),
        (["yes", "no"] * (ROWS // 2), "binary", {"classes": ["no", "yes"]}),
        ([f"c{n % 7}" for n in range(ROWS)], "classes", {"classes": [f"c{n}" for n in range(7)]}),
        ([n % 7 for n in range(ROWS)], "classes", {"classes": []}),
        (numbers(loc=50), "regression", {}),
        (np.exp(numbers(scale=3)), "log_regression", {}),
    ],
)
def test_the_label_tells_what_is_asked(label, kind, more, tmp_path):
    made = propose(table(x=numbers(), asked=label), tmp_path, "asked").problem
    assert made.kind == kind and made.column == "asked"
    assert {key: getattr(made, key) for key in more} == more


def test_the_bar_is_what_a_trivial_answer_reaches(tmp_path):
    label = ["a"] * 1500 + ["b"] * 300 + ["c"] * 200
    made = propose(table(x=numbers(), species=label), tmp_path, "species").problem
    assert made.bars == {"sparse_categorical_accuracy": ("lower", 0.75)}
    values = numbers(loc=50, scale=4)
    made = propose(table(x=numbers(), asked=values), tmp_path, "asked").problem
    (bar,) = made.bars.values()
    assert bar == ("upper", pytest.approx(np.std(values), rel=1e-6))


def test_rows_without_a_label_are_left_out_and_said(tmp_path):
    made = propose(table(x=numbers(), asked=[None, *numbers()[1:]]), tmp_path, "asked")
    assert made.problem.drop == 1
    assert 'missing = "drop"' in files.render("a", "a.csv", made)


def test_the_label_is_found_by_its_name_or_is_the_last_column(tmp_path):
    frame = table(x=numbers(), y=numbers())
    assert propose(frame, tmp_path).problem.column == "label"
    assert propose(frame.drop(columns="label"), tmp_path).problem.column == "y"
    assert propose(frame.rename(columns={"label": "b", "y": "a"}), tmp_path).problem.column == "b"


@pytest.mark.parametrize("values", [numbers() * 0 + 5, [None] * ROWS])
def test_a_label_that_tells_nothing_is_one_message(values, tmp_path):
    with pytest.raises(MfxError, match=r"column 'asked': (all values|no values)"):
        propose(table(asked=values), tmp_path, "asked")
    with pytest.raises(MfxError, match=r"--label: no column 'askd'; did you mean 'asked'"):
        propose(table(asked=values), tmp_path, "askd")


def test_columns_that_may_be_the_label_are_named(tmp_path):
    frame = table(x=numbers())
    frame["word"] = frame.label.map({0: "no", 1: "yes"})
    frame["score"] = frame.label * 10 + numbers()
    warned = {t.column: t.warning for t in propose(frame, tmp_path, "label").treatments}
    assert "100.0% of the labels" in warned["word"] and "AUC of 1.000" in warned["score"]
    assert not warned["x"]
    same = table(x=numbers(), asked=numbers(loc=100))
    same["celsius"] = (same.asked - 32) / 1.8
    (warning,) = {t.warning for t in propose(same, tmp_path, "asked").treatments if t.warning}
    assert "correlation with the label is 1.0000" in warning


def test_rows_of_one_entity_stay_together(tmp_path):
    made = propose(table(x=numbers(), customer_id=[n // 4 for n in range(ROWS)]), tmp_path)
    assert made.key == ["customer_id"]
    assert 'split = { train = 4, eval = 1, key = ["customer_id"] }' in files.render("a", "b", made)


def test_a_large_file_gives_a_sample_from_all_over_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "ROWS", 1000)
    monkeypatch.setattr(sample, "LARGE", 1)
    for name in ("table.csv", "table.parquet"):
        path = tmp_path / name
        frame = pd.DataFrame({"n": range(50_000), "text": "a text of some length to fill bytes"})
        if name.endswith("csv"):
            frame.to_csv(path, index=False)
        else:
            pq.write_table(pa.Table.from_pandas(frame), path, row_group_size=1000)
        found = sample.take(str(path))
        ns = found.table["n"].to_numpy()
        assert not found.whole and len(ns) <= 1100
        assert found.about == pytest.approx(50_000, rel=0.1), name
        assert ns.max() > 40_000, name


def test_a_sample_names_no_classes_as_it_may_lack_some(tmp_path, monkeypatch):
    frame = table(x=numbers(), species=[f"c{n % 7}" for n in range(ROWS)])
    assert "classes = [" in files.render("a", "a.csv", propose(frame, tmp_path, "species"))
    monkeypatch.setattr(sample, "ROWS", 1000)
    made = propose(frame, tmp_path, "species")
    assert not made.sample.whole and made.problem.kind == "classes"
    assert "classes = [" not in files.render("a", "a.csv", made)


def test_names_of_features_are_what_keras_takes():
    assert treatments.feature_name("mean radius (mm)", []) == "mean_radius_mm"
    assert treatments.feature_name("größe", []) == "gr_e"
    assert treatments.feature_name("%", []) == "column"
    assert treatments.feature_name("y", ["y"]) == "y_"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the flow and nothing else."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "pipeline.py").write_bytes((ROOT / "flows" / "pipeline.py").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


EVERYTHING = {name.replace(" ", "_"): values for name, (values, _) in COLUMNS.items()}


def test_what_is_written_is_a_pipeline_that_fits_its_data(project, capsys):
    pd.DataFrame(table(**EVERYTHING)).to_csv(project / "rides.csv", index=False)
    assert cli.main(["new", "rides", "--data", "rides.csv", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "label 'label' (by its name): binary, as it has only 0 and 1" in said
    assert said.endswith("\nNow:\n  .venv/bin/python flows/rides.py run\n")
    settings = config.load(project / "flows" / "rides" / "config.toml")
    assert settings.data.path == "../../rides.csv"
    found = start.resolve(settings)
    start.check_label(settings, found)
    start.check_features(settings, found)
    compile((project / "flows" / "rides.py").read_text(), "rides.py", "exec")
    compile((project / "tests" / "test_rides.py").read_text(), "test_rides.py", "exec")


def test_from_another_folder_the_way_to_the_project_is_told(project, monkeypatch, capsys):
    table(x=numbers()).to_csv(project / "rides.csv", index=False)
    (project / "notes").mkdir()
    monkeypatch.chdir(project / "notes")
    assert cli.main(["new", "rides", "--data", "../rides.csv", "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"wrote {project}/flows/rides.py\n" in said
    assert said.endswith(f"Now:\n  cd {project}\n  .venv/bin/python flows/rides.py run\n")
    settings = config.load(project / "flows" / "rides" / "config.toml")
    assert settings.data.path == "../../rides.csv"


def test_nothing_is_written_over(project, capsys):
    pd.DataFrame(table(x=numbers())).to_csv(project / "rides.csv", index=False)
    (project / "tests").mkdir()
    (project / "tests" / "test_rides.py").write_text("mine")
    assert cli.main(["new", "rides", "--data", "rides.csv", "--yes"]) == 1
    assert "test_rides.py: exists already" in capsys.readouterr().err
    assert (project / "tests" / "test_rides.py").read_text() == "mine"
    assert not (project / "flows" / "rides").exists()


@pytest.mark.parametrize("name", ["My-Rides", "1a", "", "a b"])
def test_a_name_that_is_none_is_one_message(name, project, capsys):
    assert cli.main(["new", name, "--data", "none.csv"]) == 1
    assert "is no name for a pipeline" in capsys.readouterr().err


def test_no_tensorflow_is_needed(project):
    import subprocess

    table(x=numbers()).to_csv(project / "rides.csv", index=False)
    code = (
        "import sys; from mfx import cli; code = cli.main(sys.argv[1:]); "
        "assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "new", "rides", "--data", "rides.csv", "--yes"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
