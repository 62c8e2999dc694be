"""Named splits from files to examples: no row is lost, and shards do not show."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from mfx.config import Split
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge

ROWS = [f"{n},{n / 4},w{n % 5},2024-0{1 + n % 9}-{10 + n % 17} 08:30:00" for n in range(300)]
HEADER = "n,x,w,start"


@pytest.fixture
def examples_of(tmp_path, settings, datastore):
    """Examples of the CSV files with these lines, by name, in a folder."""

    def make(files: dict[str, list[str]], split: dict, **data):
        for name, lines in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join([HEADER, *lines]) + "\n")
        given = settings.override(
            data__path=str(tmp_path / "data"),
            data__split=split,
            schema__path=str(tmp_path / "none.pbtxt"),
            label__missing="fill",
        )
        given = given.override(**{f"data__{key}": value for key, value in data.items()})
        sources = start.resolve(given)
        return merge([ingest(shard, sources, given) for shard in sources.shards], sources)

    return make


def numbers(examples, split: str) -> list[int]:
    return examples.to_arrow(split, ["n"]).column(0).to_pylist()


@pytest.mark.parametrize(
    ("split", "digest"),
    [
        ({}, "90ae214914e532b1"),
        ({"train": 2, "eval": 1}, "90ae214914e532b1"),
        ({"train": 4, "eval": 1, "key": ["w"]}, "a3778986f5b300c2"),
        ({"eval": 3, "train": 5}, "85a490e7ddc52016"),
    ],
)
def test_digests_of_train_and_eval_stay_what_they_are(tmp_path, settings, datastore, split, digest):
    """Fixed before there were other splits: the rows, their splits and their hash are the same."""
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["n,x,w", *(f"{n},{n / 4},w{n % 5}" for n in range(300))]) + "\n")
    given = settings.override(
        data__path=str(path),
        data__split=split,
        schema__path=str(tmp_path / "none.pbtxt"),
        label__missing="fill",
    )
    sources = start.resolve(given)
    made = merge([ingest(shard, sources, given) for shard in sources.shards], sources)
    assert made.digest[:16] == digest
    assert [*made.rows] == ["train", "eval"]


WAYS = {
    "hash": {"train": 3, "eval": 1, "test": 1},
    "key": {"train": 3, "eval": 1, "test": 1, "key": ["x"]},
    "time": {"by": "start", "begins": {"eval": "2024-05-01", "test": "2024-08-01"}},
    "number": {"by": "n", "begins": {"eval": 100, "test": 200.5}},
    "values": {"by": "w", "values": {"train": ["w0", "w3"], "eval": ["w1", "w4"], "test": ["w2"]}},
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_add_up_and_shards_do_not_show(examples_of, way):
    whole = examples_of({"a.csv": ROWS}, WAYS[way])
    assert whole.splits == ("train", "eval", "test") == tuple(whole.rows)
    assert sum(whole.rows.values()) == whole.rows_in == 300
    assert sorted(n for split in whole.splits for n in numbers(whole, split)) == [*range(300)]
    parts = {"a.csv": ROWS[:7], "b.csv": ROWS[7:200], "c.csv": ROWS[200:]}
    cut = examples_of(parts, WAYS[way], shard_mb=1e-6)
    assert len(cut.shards) == 3
    assert (cut.digest, cut.rows, cut.hashes) == (whole.digest, whole.rows, whole.hashes)
    for split in whole.splits:
        assert cut.to_arrow(split).equals(whole.to_arrow(split))


def test_by_time_worked_by_hand(examples_of):
    made = examples_of({"a.csv": ROWS}, WAYS["time"])
    months = {
        split: {text[:7] for text in made.to_arrow(split, ["start"]).column(0).to_pylist()}
        for split in made.splits
    }
    assert months == {
        "train": {b"2024-01", b"2024-02", b"2024-03", b"2024-04"},
        "eval": {b"2024-05", b"2024-06", b"2024-07"},
        "test": {b"2024-08", b"2024-09"},
    }


def test_rows_that_are_in_no_split_are_counted_over_shards(examples_of):
    split = {"by": "w", "values": {"train": ["w0"], "eval": ["w1"]}, "others": "drop"}
    made = examples_of({"a.csv": ROWS[:150], "b.csv": ROWS[150:]}, split, shard_mb=1e-6)
    assert made.rows == {"train": 60, "eval": 60}
    assert made.rejected == {"w is not among the values of a split": 180}
    assert (made.rows_in, made.misfits) == (300, ()), "so that `tolerate` is not asked"


def test_the_names_of_splits_are_part_of_the_digest(examples_of):
    """Or the same rows would be taken over as another split's."""
    given = [{"train": 3, "eval": 1, name: 1} for name in ("test", "holdout")]
    one, other = (examples_of({"a.csv": ROWS}, split) for split in given)
    assert one.split_digest("test") == other.split_digest("holdout")
    assert one.digest != other.digest


def test_a_split_without_rows_stops_the_run(examples_of):
    split = {"by": "start", "begins": {"eval": "2024-05-01", "test": "2025-01-01"}}
    with pytest.raises(MfxError, match="the test split is empty: 300 rows in") as caught:
        examples_of({"a.csv": ROWS}, split)
    assert "where splits begin" in caught.value.remedy


def test_a_column_that_is_not_there_is_named_in_start(examples_of):
    with pytest.raises(MfxError, match=r"data\.split\.by: no column 'strat' in the data; did you"):
        examples_of({"a.csv": ROWS}, {"by": "strat", "begins": {"eval": "2024-05-01"}})


def test_a_type_that_does_not_fit_is_named_in_start(examples_of):
    with pytest.raises(MfxError, match=r"data\.split\.begins: column 'x' is float32, expected num"):
        examples_of({"a.csv": ROWS}, {"by": "x", "begins": {"eval": "2024-05-01"}})


def test_timestamps_of_a_file_of_types(tmp_path, settings, datastore):
    """They become microseconds, which is the unit if none is set."""
    import datetime

    import pyarrow.parquet as pq

    days = [datetime.datetime(2024, 4 + n % 3, 1 + n % 28, tzinfo=None) for n in range(30)]
    table = pa.table({"n": pa.array(range(30)), "at": pa.array(days, pa.timestamp("ms"))})
    pq.write_table(table, tmp_path / "a.parquet")
    given = settings.override(
        data__path=str(tmp_path / "a.parquet"),
        data__split={"by": "at", "begins": {"eval": "2024-05-01", "test": "2024-06-01"}},
        schema__path=str(tmp_path / "none.pbtxt"),
        label__missing="fill",
    )
    sources = start.resolve(given)
    made = merge([ingest(shard, sources, given) for shard in sources.shards], sources)
    assert {s: {n % 3 for n in numbers(made, s)} for s in made.splits} == {
        "train": {0},
        "eval": {1},
        "test": {2},
    }


FILES = {"files": {"test": "test*.csv", "train": "train/*.csv", "eval": "eval.csv"}}
DIVIDED = {
    "train/b.csv": ROWS[:20],
    "train/a.csv": ROWS[20:50],
    "eval.csv": ROWS[50:60],
    "test-1.csv": ROWS[60:64],
    "other.csv": ROWS[64:],
}


def test_files_come_divided(examples_of):
    made = examples_of(DIVIDED, FILES)
    assert {split: numbers(made, split) for split in made.splits} == {
        "train": [*range(20, 50), *range(20)],
        "eval": [*range(50, 60)],
        "test": [*range(60, 64)],
    }
    cut = examples_of(DIVIDED, FILES, shard_mb=1e-6)
    assert (len(made.shards), len(cut.shards)) == (1, 4)
    assert (cut.digest, cut.rows_in) == (made.digest, 64)


def test_the_same_files_divided_otherwise_are_other_data(tmp_path, settings):
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text(f"n\n{ord(name)}\n")
    found = []
    for files in ({"train": "[ab].csv", "eval": "c.csv"}, {"train": "a.csv", "eval": "[bc].csv"}):
        given = settings.override(
            data__path=str(tmp_path),
            data__split={"files": files},
            schema__path=str(tmp_path / "none.pbtxt"),
        )
        found.append(start.resolve(given))
    one, other = found
    assert [Path(f.path).name for f in one.files] == [Path(f.path).name for f in other.files]
    assert one.lineage.data != other.lineage.data
    assert one.shards[0].sha256 != other.shards[0].sha256


def test_a_file_of_two_splits_stops_the_run(examples_of):
    with pytest.raises(MfxError, match=r"eval\.csv: the same file twice: it is found by .*\*\.csv"):
        examples_of(DIVIDED, {"files": {"train": "*.csv", "eval": "eval.csv"}})


def test_a_pattern_that_finds_nothing_is_named(examples_of):
    with pytest.raises(MfxError, match=r"data/none/: no such folder"):
        examples_of(DIVIDED, {"files": {"train": "*.csv", "eval": "none/*.csv"}})


def test_nor_may_a_pattern_find_folders_alone(examples_of):
    with pytest.raises(MfxError, match=r"data/tr\*: no input file found: folders, such as train"):
        examples_of(DIVIDED, {"files": {"train": "tr*", "eval": "eval.csv"}})


def test_the_command_lines_data_is_another_folder_of_such_files(tmp_path, settings):
    for folder in ("one", "two"):
        for name in ("train", "eval"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.csv").write_text(f"n\n{len(folder + name)}\n")
    given = settings.override(
        data__path=str(tmp_path / "one"),
        data__split={"files": {"train": "train.csv", "eval": "eval.csv"}},
        schema__path=str(tmp_path / "none.pbtxt"),
    )
    other = given.override(data__path=[str(tmp_path / "two")])
    files = start.resolve(other).files
    assert [(Path(f.path).parent.name, f.split) for f in files] == [
        ("two", "train"),
        ("two", "eval"),
    ]


def test_a_config_with_any_way_can_be_given_as_json(settings):
    for split in (*WAYS.values(), FILES):
        again = type(settings).model_validate(json.loads(json.dumps(settings.to_dict())))
        given = again.override(data__split=split)
        assert given.data.split == Split.model_validate(split)
