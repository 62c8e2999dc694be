"""The mfx command: one screen of what was done, exit codes, one message for each mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from google.protobuf import text_format
from helpers.flows import ROOT
from helpers.small_runs import small_runs_in
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx import __version__, cli, registry
from mfx.errors import MfxError

COMMANDS = [
    ["ls"],
    ["show"],
    ["compare"],
    ["promote"],
    ["rollback"],
    ["history"],
    ["at"],
    ["gc"],
    ["manifests"],
    ["schema", "accept"],
]


@pytest.fixture
def mfx(small_runs, capsys):
    """Calls the command in this process; exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def one_screen(text: str) -> bool:
    lines = text.splitlines()
    return 0 < len(lines) <= 45 and max(map(len, lines)) <= 150


def test_a_run_is_promoted_and_rolled_back(mfx, small_runs):
    code, said, _ = mfx("promote", small_runs["one"], "--reason", "the first")
    assert code == 0 and one_screen(said)
    assert said.startswith(f"promoted run {small_runs['one']}\n")
    assert "the first" in said and "replaces  nothing" in said
    mfx("promote", small_runs["two"])
    code, said, _ = mfx("rollback", "--reason", "complaints")
    assert code == 0 and said.startswith(f"rolled back to run {small_runs['one']}\n")
    code, said, _ = mfx("history")
    assert code == 0 and one_screen(said)
    newest, *older = said.splitlines()[2:]
    assert newest.startswith("*") and "rollback" in newest and "complaints" in newest
    assert [line.split()[0] for line in older] == ["2", "1"]


def test_promoting_again_says_that_there_is_nothing_to_do(mfx, small_runs, monkeypatch):
    mfx("promote", small_runs["one"])
    code, said, _ = mfx("promote", small_runs["one"])
    assert code == 0
    assert said.startswith(f"nothing to do: run {small_runs['one']} has been in production since")


def test_a_refusal_names_the_remedy(mfx, small_runs, pushed):
    code, said, error = mfx("promote", small_runs["unblessed"])
    assert (code, said) == (1, "")
    assert error.startswith(f"run {small_runs['unblessed']} is not blessed: FAILED: auc on Overall")
    assert "--override" in error and not pushed.exists()
    code, said, _ = mfx("promote", small_runs["unblessed"], "--override", "it must")
    assert code == 0 and "override  it must" in said and "note: overridden: not blessed" in said


def test_who_comes_second_gets_exit_code_3(mfx, small_runs, monkeypatch):
    """Another promotion comes between this one's look and its claim."""
    from mfx.registry import actions, promotion

    begin = promotion.begin

    def late(destination):
        view = begin(destination)
        monkeypatch.setattr(promotion, "begin", begin)
        actions.promote(small_runs["two"])
        return view

    monkeypatch.setattr(promotion, "begin", late)
    code, said, error = mfx("promote", small_runs["one"])
    assert (code, said) == (3, "")
    assert error.startswith(f"tester was first: promote of run {small_runs['two']} at ")


def test_a_dry_run_says_what_would_be(mfx, small_runs, pushed):
    code, said, _ = mfx("promote", small_runs["one"], "--dry-run")
    assert code == 0 and not pushed.exists()
    assert said.startswith(f"would have promoted run {small_runs['one']} (dry run: nothing")


def test_runs_are_listed(mfx, small_runs):
    mfx("promote", small_runs["two"])
    code, said, _ = mfx("ls")
    assert code == 0 and one_screen(said)
    headers, *rows, note = said.splitlines()
    assert headers.split()[-3:] == ["AUC", "BLESSED", "PUSHED"]
    assert [row.removeprefix("*").split()[0] for row in rows] == sorted(
        small_runs.values(), reverse=True
    )
    (marked,) = [row for row in rows if row.startswith("*")]
    assert small_runs["two"] in marked and note == "* is in production"
    listed = json.loads(mfx("ls", "--json", "-n", "2")[1])
    assert [run["run"] for run in listed] == [small_runs["stopped"], small_runs["branch"]]


def test_a_run_is_shown(mfx, small_runs):
    mfx("promote", small_runs["one"], "--reason", "why not")
    code, said, _ = mfx("show", small_runs["one"])
    assert code == 0 and one_screen(said)
    assert "/data/day-1.csv and 1 more" in said and "why not" in said
    assert f", mfx {__version__}\n" in said
    code, said, _ = mfx("show", "production")
    assert said.startswith(f"run       Pipeline/{small_runs['one']}")
    shown = json.loads(mfx("show", small_runs["two"], "--json")[1])
    assert shown["parent"]["before"] == small_runs["one"]
    code, said, _ = mfx("show", small_runs["stopped"])
    assert code == 0 and ", failed, " in said


def test_what_was_in_production_at_a_time(mfx, small_runs):
    entry = registry.promote(small_runs["one"], reason="the first")
    code, said, _ = mfx("at", entry.since)
    assert code == 0 and one_screen(said)
    assert f"Pipeline/{small_runs['one']}" in said and entry.digest in said and "the first" in said
    assert json.loads(mfx("at", entry.since, "--json")[1])["run"] == small_runs["one"]
    code, said, error = mfx("at", "2020-01-01")
    assert (code, said) == (1, "") and "nothing was in production at 2020-01-01" in error


def test_the_log_of_another_place_is_named_directly(mfx, small_runs, pushed, tmp_path):
    registry.promote(small_runs["branch"])
    said = mfx("history", "--branch", "user.tester")[1]
    assert small_runs["branch"] in said
    direct = mfx("history", "--destination", str(pushed), "--model", "small.user.tester")[1]
    assert direct.splitlines()[1:] == said.splitlines()[1:]
    assert "nothing was promoted yet" in mfx("history", "--destination", str(tmp_path))[1]


def test_served_bytes_are_verified(mfx, small_runs, pushed):
    entry = registry.promote(small_runs["one"])
    code, said, _ = mfx("history", "--verify")
    assert code == 0 and "the pushed files have the SHA-256 that the log says" in said
    (pushed / "small" / str(entry.version) / "saved_model.pb").write_text("other")
    code, said, error = mfx("history", "--verify")
    assert (code, said) == (1, "") and f"the log says {entry.digest[:12]}" in error


def test_looking_at_runs_loads_nothing_heavy(small_runs, all_small_runs):
    registry.promote(small_runs["one"])
    code = f"""
import sys
from mfx import cli
compare = "compare {small_runs["one"]} {small_runs["two"]}"
for line in ("ls", "show latest", "history", "at 2100-01-01", "rollback --dry-run", compare):
    cli.main(line.split())
print([m for m in ("tensorflow", "apache_beam", "tensorflow_data_validation") if m in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_could_be_freed(mfx, small_runs, all_small_runs):
    code, said, _ = mfx("gc", "--keep", "1", "--dry-run")
    assert code == 0 and one_screen(said)
    assert f"could be freed in {all_small_runs[0].store}/.metaflow/Pipeline/data: " in said
    assert "one of the newest 1" in said
    code, _, error = mfx("gc", "--keep", "1")
    assert code == 1 and "is unfinished" in error, "a run of today did not finish"
    assert "expected 1 or more" in mfx("gc", "--keep", "0")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "999"], "no run Pipeline/999 in namespace user:tester"),
        (["promote", "999"], "no run Pipeline/999"),
        (["compare", "999", "latest"], "no run Pipeline/999"),
        (["compare", "latest"], "there must be two different runs or more"),
        (["promote", "17"], "7 runs begin with 17"),
        (["rollback"], "nothing to roll back to"),
        (["rollback", "--to", "999"], "run 999 was never in production"),
        (
            ["history", "--model", "taxi"],
            "no run of Pipeline makes a model 'taxi'; there are small",
        ),
        (["ls", "--flow", "Unknown"], "no run of Unknown in namespace user:tester yet"),
        (["ls", "--namespace", "user:nobody"], "no run of Pipeline in namespace user:nobody yet"),
        (["gc", "--keep", "3", "--flow", "Unknown"], "no run of Unknown yet"),
        (["at", "yesterday"], "not a time: 'yesterday'"),
        (["schema", "accept", "999"], "the run Pipeline/999 has no 'schema' of step 'validate'"),
    ],
)
def test_a_mistake_is_one_message(arguments, message, mfx):
    code, said, error = mfx(*arguments)
    assert (code, said) == (1, "")
    assert message in error.splitlines()[0] and len(error.splitlines()) <= 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_message(mfx, small_runs, pushed):
    pushed.mkdir(mode=0o500)
    try:
        code, _, error = mfx("promote", small_runs["one"])
    finally:
        pushed.chmod(0o700)
    assert code == 1 and f"{pushed}/small: cannot push: Permission denied" in error


def test_a_destination_that_is_a_file_is_one_message(mfx, small_runs, pushed):
    """As without permission, also for root."""
    pushed.write_text("")
    try:
        code, _, error = mfx("promote", small_runs["one"])
    finally:
        pushed.unlink()
    assert code == 1 and error.startswith(f"{pushed}/small: cannot push: Not a directory\n")


def _mfx(*arguments: str, **options):
    command = [sys.executable, "-m", "mfx.cli", *arguments]
    options["env"] = {**options.get("env", os.environ), "PYTHONPATH": str(ROOT / "lib")}
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def keys_of(s3, prefix: str) -> list[str]:
    found = s3.list_objects_v2(Bucket=s3.bucket, Prefix=prefix)
    return [entry["Key"] for entry in found["Contents"]]


SEVERAL = """
import contextlib, io, json, sys
from mfx import cli
printed = []
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert cli.main(command.split()) == 0, command
    printed.append(said.getvalue())
print(json.dumps(printed))
"""


@pytest.mark.long
def test_datastore_and_destination_may_be_on_s3(s3, tmp_path):
    """Nothing but Metaflow's local metadata is on this machine."""
    small = small_runs_in(tmp_path)
    small.retarget(f"s3://{s3.bucket}/models")
    on_s3 = {
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{s3.bucket}/metaflow",
        "METAFLOW_S3_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
    }
    environment = {**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path), **on_s3}
    one, two = (small.make("--weight", weight, **on_s3) for weight in "12")

    def call(*commands: str) -> list[str]:
        """What commands print, one after the other in a process."""
        command = [sys.executable, "-c", SEVERAL, *commands]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    *_, history = call(f"promote {one} --reason first", f"promote {two}", "history --json")
    for key in keys_of(s3, f"models/small/{json.loads(history)[0]['version']}/"):
        s3.delete_object(Bucket=s3.bucket, Key=key)
    # Now the bytes are in Metaflow's datastore alone.
    back, history, verified, compared = call(
        "rollback", "history --json", "history --verify", f"compare {one} {two}"
    )
    assert back.startswith(f"rolled back to run {one}\n")
    assert [entry["run"] for entry in json.loads(history)] == [one, two, one]
    assert "the pushed files have the SHA-256 that the log says" in verified
    assert "auc" in compared


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_shows_an_example(name, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([*name, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert f"example: mfx {' '.join(name)} " in said and one_screen(said)


def test_exit_codes_are_documented(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert "Exit codes: 0, the command did" in said and "; 3, someone" in said and one_screen(said)
    assert all(f"    {name[0]} " in said for name in COMMANDS)


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mfx {__version__}\n"


def test_an_empty_registry_is_one_clear_line(tmp_path):
    (tmp_path / ".metaflow").mkdir()
    environment = {k: v for k, v in os.environ.items() if "SYSROOT" not in k}
    for arguments in (["ls"], ["history"], ["show", "latest"], ["rollback"], ["promote", "1"]):
        done = _mfx(*arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("no run ") and len(done.stderr.splitlines()) == 2


def test_an_unknown_run_is_one_clear_line(tmp_path):
    (tmp_path / ".metaflow").mkdir()
    env = {k: v for k, v in os.environ.items() if k != "METAFLOW_DATASTORE_SYSROOT_LOCAL"}
    done = _mfx("schema", "accept", "123", cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("no run 123 of any flow\n")
    assert "Traceback" not in done.stderr


def test_a_runs_schema_is_accepted(flow_run, tmp_path):
    schema = flow_run.run["validate"].task.data.schema
    target = tmp_path / "schema.pbtxt"
    assert registry.artifact("Pipeline", flow_run.run_id, "validate", "schema") == schema
    accept = ("Pipeline", flow_run.run_id, str(target))
    assert cli.accept_schema(*accept).startswith(f"wrote {target}\n")
    written = text_format.Parse(target.read_text(), schema_pb2.Schema())
    assert len(written.feature) == 18
    assert cli.accept_schema(*accept).startswith(f"replaced {target}\n")


DEPLOYED = """
import os

from metaflow import FlowSpec, step


class Deployed(FlowSpec):
    @step
    def start(self):
        from mfx import config

        self.settings = config.load(os.environ["CONFIG"])
        self.next(self.validate)

    @step
    def validate(self):
        from mfx.artifacts import Schema
        from mfx.artifacts.lineage import Lineage

        # What a container records: its own code package's path.
        path = "/home/mfx/metaflow/mfx_home/schema.pbtxt"
        lineage = Lineage("", "", "")
        self.schema = Schema("", path, True, 'feature { name: "x" }', lineage, fits=False)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Deployed()
"""


def test_a_deployed_runs_schema_goes_to_the_users_own_file(tmp_path, monkeypatch):
    small = small_runs_in(tmp_path)
    (tmp_path / "deployed.py").write_text(DEPLOYED)
    environment = {
        **os.environ,
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), os.environ.get("PYTHONPATH", "")]),
        "CONFIG": str(small.config),
    }
    command = [sys.executable, str(tmp_path / "deployed.py"), "run"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    small.look()
    ours = small.config.parent / "schema.pbtxt"
    said = cli.accept_schema("Deployed", None)
    assert said.startswith(f"wrote {ours}\n")
    assert said.endswith("Even so, the run's own data does not fit it.")
    assert ours.read_text() == 'feature { name: "x" }'

    # Deployed from another machine, such as CI's, whose folders are not here.
    moved = small.config.parent.rename(tmp_path / "elsewhere")
    with pytest.raises(MfxError) as error:
        cli.accept_schema("Deployed", None)
    assert error.value.what == f"{ours}: its folder is not on this machine"
    assert "--to flows/taxi/schema.pbtxt" in error.value.remedy
    (moved / "schema.pbtxt").unlink()
    code = cli.main(["schema", "accept", "--flow", "Deployed", "--to", f"{moved}/schema.pbtxt"])
    assert code == 0 and (moved / "schema.pbtxt").read_text() == 'feature { name: "x" }'


@pytest.mark.parametrize("arguments", [[], ["schema"], ["promote"], ["at"], ["gc"]])
def test_a_missing_word_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
