"""Keys depend on everything that a result is made from, and on nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.flows import ROOT

from mfx import config
from mfx.artifacts import Examples, Shard, SourceFile, Sources
from mfx.artifacts.lineage import Lineage, hash_code
from mfx.artifacts.store import Payload
from mfx.config.step import Step
from mfx.destinations.local import LocalDestination
from mfx.evaluate.spec import Evaluate
from mfx.flow import code, reuse
from mfx.ingest.spec import Ingest
from mfx.registry import Production
from mfx.train.spec import Train
from mfx.transform.spec import Transform
from mfx.validate.spec import Validate

LINEAGE = Lineage("data", "code", "config")


def shard(path: str, sha256: str) -> Shard:
    return Shard((SourceFile(path, sha256, 9),))


SOURCES = Sources((shard("a.csv", "1" * 64),), {"x": "int64"}, LINEAGE)


def examples(digest: str) -> Examples:
    payload = Payload("Pipeline", "local", digest, ())
    return Examples((payload,), {"train": 2, "eval": 1}, 3, {}, {"x": "int64"}, LINEAGE)


def key(step: Step, settings) -> reuse.ReuseKey:
    return reuse.key_of(step, step.reads.of(settings))


def ingest_key(shard, settings, sources=SOURCES) -> reuse.ReuseKey:
    return key(Ingest(shard, sources), settings)


def steps() -> dict[str, Step]:
    """One key for each step, all made from the same inputs."""
    a, b = examples("a"), examples("b")
    found = [
        Ingest(SOURCES.shards[0], SOURCES),
        Validate(a),
        Transform(a, b, print),
        Train(a, b, 0, None, print),
        Evaluate(a, b, [a], None),
    ]
    return {step.name: step for step in found}


@pytest.fixture
def taxi(tmp_path, settings):
    """The taxi pipeline's settings, in a copy of its folder."""
    shutil.copytree(settings.resolve("."), tmp_path / "taxi")
    return config.load(tmp_path / "taxi" / "config.toml")


def test_a_key_knows_the_content_of_a_file_and_not_its_place(taxi):
    here, there = (ingest_key(shard(place, "1"), taxi) for place in "ab")
    assert here == there
    assert ingest_key(shard("a", "2"), taxi).differences(here) == ["the shard"]


def test_other_files_of_the_data_set_do_not_matter_to_a_shard(taxi):
    """So if a window of files moves on, only the new file is read."""
    more = replace(SOURCES, shards=(*SOURCES.shards, shard("b.csv", "2")))
    first = SOURCES.shards[0]
    assert ingest_key(first, taxi) == ingest_key(
        first, taxi, replace(more, lineage=replace(LINEAGE, data="other"))
    )


def test_only_the_config_that_a_step_reads_matters(taxi):
    more = taxi.override(train__steps=taxi.train.steps + 1)
    said = {name: key(s, more).differences(key(s, taxi)) for name, s in steps().items()}
    assert said.pop("train") == [f"train.steps ({taxi.train.steps} → {more.train.steps})"]
    assert set(map(len, said.values())) == {0}


def test_a_step_is_handed_what_it_reads_and_nothing_else(taxi):
    """So a key cannot lack anything on which a result depends."""
    given = Ingest.reads.of(taxi)
    assert given.data.split == taxi.data.split and given.label.columns == taxi.label.columns
    for hidden in ("train", "push"):
        assert not hasattr(given, hidden)
    assert not hasattr(given.data, "path") and not hasattr(given.label, "name")
    assert given.resolve("x.csv") == taxi.resolve("x.csv")
    assert "data.split.train" in given.values() and "home" not in given.values()


def test_what_makes_no_difference_to_a_result_is_in_no_key(taxi):
    """For example where to report, and where checkpoints are saved."""
    step = steps()["train"]
    assert list(key(step, taxi).inputs) == ["graph", "transformed", "candidate"]
    assert key(replace(step, report=len, checkpoint=1), taxi) == key(step, taxi)


def test_an_edited_schema_is_another_key(taxi):
    before = key(Validate(examples("a")), taxi)
    with Path(taxi.resolve(taxi.schema_.path)).open("a") as file:
        file.write("# edited\n")
    (difference,) = key(Validate(examples("a")), taxi).differences(before)
    assert difference.startswith("schema.path (")


def test_nothing_in_production_is_told_from_a_model(taxi):
    step = steps()["evaluate"]
    before = key(step, taxi)
    pushed = Production("7", 8, LocalDestination(Path("pushed")))
    now = key(replace(step, baseline=pushed), taxi)
    assert now.differences(before) == ["the baseline"]
    assert now == key(replace(step, baseline=replace(pushed)), taxi)


@pytest.fixture
def library(tmp_path, monkeypatch) -> Path:
    """A copy of the library's files that tests may edit. The code that runs is not changed."""
    shutil.copytree(code.LIBRARY, tmp_path / "mfx", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "LIBRARY", tmp_path / "mfx")
    return tmp_path / "mfx"


@pytest.fixture(scope="module")
def unedited() -> dict[str, reuse.ReuseKey]:
    """The keys of all steps by the library as it is; they do not know where it lies."""
    taxi = config.load(ROOT / "flows" / "taxi" / "config.toml")
    return {name: key(step, taxi) for name, step in steps().items()}


@pytest.mark.parametrize(
    ("edited", "made_anew"),
    [
        ("__init__.py", set()),  # The version: a release alone changes no key.
        ("cli/runs.py", set()),
        ("registry/show.py", set()),
        ("push/push.py", set()),
        ("train/input.py", {"train"}),
        ("ingest/sources/csv_records.py", {"ingest"}),
        ("evaluate/no_value.py", {"evaluate"}),
        ("user_code/loading.py", {"transform", "train"}),
        ("features.py", {"transform", "train"}),  # `model.py` imports it
        ("artifacts/store.py", {"ingest", "validate", "transform", "train", "evaluate"}),
    ],
)
def test_only_steps_that_import_an_edited_module_are_made_anew(
    taxi, library, unedited, edited, made_anew
):
    before = unedited
    with (library / edited).open("a") as file:
        file.write("# edited\n")
    said = {name: key(step, taxi).differences(before[name]) for name, step in steps().items()}
    assert {name for name, found in said.items() if found == ["the code"]} == made_anew
    assert sum(map(len, said.values())) == len(made_anew)


def test_all_that_a_table_of_kinds_may_load_counts(library):
    """Such a module is loaded by name; no import names it."""
    sources = library / "ingest" / "sources"
    (library / "plugins.py").touch()
    (sources / "__init__.py").write_text("from mfx import plugins\n")
    (sources / "parquet.py").write_text("from mfx.columns import tensors\n")
    found = code.modules("mfx.ingest.spec")
    assert {"mfx/ingest/sources/parquet.py", "mfx/columns/tensors.py"} <= set(found)


def test_another_packages_source_counts_where_sources_are_read(taxi, tmp_path, monkeypatch):
    before = {name: key(step, taxi) for name, step in steps().items()}
    info = tmp_path / "site" / "toy_rows-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-rows\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mfx.sources]\nrows = toy_rows.source\n")
    (tmp_path / "site" / "toy_rows").mkdir()
    source = tmp_path / "site" / "toy_rows" / "source.py"
    source.write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(str(info.parent))
    for _ in range(2):
        now = {name: key(step, taxi) for name, step in steps().items()}
        assert {name for name in now if now[name] != before[name]} == {"ingest"}
        before["ingest"] = now["ingest"]
        source.write_text("# edited\n")


def test_a_module_at_another_place_is_other_code():
    found = code.modules("mfx.train.spec")
    moved = {name.replace("train/input", "train/fed"): path for name, path in found.items()}
    assert hash_code(found) != hash_code(moved)


def test_the_users_files_count_where_the_step_uses_them(taxi):
    before = {name: key(step, taxi) for name, step in steps().items()}
    with Path(taxi.resolve("model.py")).open("a") as file:
        file.write("# edited\n")
    changed = {name for name, step in steps().items() if key(step, taxi) != before[name]}
    assert changed == {"transform", "train"}


def test_what_only_type_checkers_import_is_not_followed():
    assert "from mfx.ingest.spec import Reads" in (code.LIBRARY / "ingest/ingest.py").read_text()
    found = code.modules("mfx.ingest.ingest")
    assert "mfx/ingest/split.py" in found and "mfx/ingest/spec.py" not in found


def test_what_is_taken_over_is_as_if_made_here(taxi):
    here = Lineage("new data", "code", "new config")
    old = replace(examples("a"), lineage=LINEAGE.derived("parent"))
    first, count = reuse._made_here((old, 3), here)
    assert first.lineage == replace(here, parents=("parent",))
    assert (first.digest, count) == (old.digest, 3)
