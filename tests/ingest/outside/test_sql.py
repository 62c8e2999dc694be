"""Rows of queries: SQLite, DuckDB over files, and a PostgreSQL of their own."""

from __future__ import annotations

import csv
import pickle
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from helpers import databases
from helpers.databases import psql
from helpers.flows import REAL, ROOT, SAMPLE
from helpers.ingesting import ingested
from helpers.metadata_service import UnavailableError

from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest.outside import sql
from mfx.validate.schema_file import column_types

TRIPS = REAL if REAL.is_file() else SAMPLE
TYPES = {"int64": "BIGINT", "float32": "DOUBLE PRECISION", "bytes": "TEXT"}
PASSWORD = "hush/pass"


@pytest.fixture
def given(settings, tmp_path):
    """Settings with a query; by default those of the committed schema."""

    def make(query: str, schema=True, **changes):
        tables = settings.to_dict()
        tables["data"] |= {"path": None, "query": query, **changes}
        if not schema:
            tables["schema"]["path"] = str(tmp_path / "none.pbtxt")
        return type(settings).model_validate(tables)

    return make


@pytest.fixture(scope="module")
def table():
    """Names and types of the trips' columns, a number of each row first; and the rows."""
    known = column_types(ROOT / "flows/taxi/schema.pbtxt")
    with TRIPS.open(newline="") as file:
        names, *rows = csv.reader(file)
    kinds = [("trip", "BIGINT"), *((name, TYPES[known[name].kind]) for name in names)]
    return kinds, [[n, *(cell or None for cell in row)] for n, row in enumerate(rows)]


def created(table) -> str:
    return "CREATE TABLE trips (" + ", ".join(f"{name} {kind}" for name, kind in table[0]) + ")"


def all_but_the_number(table) -> str:
    return "SELECT " + ", ".join(name for name, _ in table[0][1:]) + " FROM trips ORDER BY trip"


@pytest.fixture(scope="module")
def sqlite(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "trips.db"
    with sqlite3.connect(path) as database:
        database.execute(created(table))
        marks = ", ".join("?" * len(table[0]))
        database.executemany(f"INSERT INTO trips VALUES ({marks})", table[1])
    database.close()
    return f"sqlite://{path}"


@pytest.fixture(scope="module")
def postgresql(table, tmp_path_factory):
    with ExitStack() as running:
        try:
            dsn = running.enter_context(databases.postgresql())
        except UnavailableError as why:
            pytest.skip(str(why))
        psql(dsn, f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; {created(table)}")
        psql(dsn, "GRANT SELECT ON trips TO reader")
        place = "COPY (SELECT setting FROM pg_settings WHERE name = 'hba_file') TO STDOUT"
        rules = Path(psql(dsn, "", place).strip())
        rules.write_text("local all reader scram-sha-256\n" + rules.read_text())
        psql(dsn, "SELECT pg_reload_conf()")
        text = "".join(
            ",".join("" if c is None else '"' + str(c).replace('"', '""') + '"' for c in row) + "\n"
            for row in table[1]
        )
        psql(dsn, text, "\\copy trips FROM pstdin WITH (FORMAT csv)")
        yield dsn


@pytest.fixture(params=["duckdb", "sqlite", "postgresql"])
def trips(request, table, given, monkeypatch):
    """Settings that read the trips in their order."""
    if request.param == "duckdb":
        texts = f"SELECT * FROM read_csv('{TRIPS}', all_varchar = true)"
        return lambda **changes: given(texts, **changes)
    monkeypatch.setenv("TRIPS_DATABASE", request.getfixturevalue(request.param))
    query = all_but_the_number(table)
    return lambda **changes: given(query, connection="TRIPS_DATABASE", **changes)


def test_equal_rows_are_equal_examples_byte_by_byte(trips, settings, datastore):
    expected = ingested(settings.override(data__path=str(TRIPS)))
    made = ingested(trips())
    assert made.columns == expected.columns
    assert (made.digest, made.rows_in) == (expected.digest, expected.rows_in)


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_ranges_of_a_column_are_shards(request, name, given, monkeypatch, datastore):
    monkeypatch.setenv("TRIPS_DATABASE", request.getfixturevalue(name))
    by = {"column": "trip", "width": 4000}
    # PostgreSQL's own order is not that in which rows were added.
    query = "SELECT fare, company, trip FROM trips ORDER BY trip"

    def make(**changes):
        return given(query, False, connection="TRIPS_DATABASE", **changes)

    cut = start.resolve(make(shard_by=by, shard_mb=1e-3))
    assert [file.path for file in cut.files] == [
        f"query://trip/{begin}..{begin + 3999}" for begin in (0, 4000, 8000, 12000)
    ]
    assert len(cut.shards) == 4
    assert ingested(make(), None).digest == ingested(make(), cut).digest


def test_ranges_begin_where_they_did_whatever_is_added(given):
    def begins(values):
        rows = " UNION ALL ".join(f"SELECT {value} AS n" for value in values)
        found = sql.pieces(given(rows, shard_by={"column": "n", "width": 10}))
        return [piece.told["begin"] for piece in found]

    assert begins([-1, 5, 25]) == [-10, 0, 10, 20]
    assert begins([-1, 5, 25, 31, "NULL"]) == [-10, 0, 10, 20, 30, None]
    assert begins(["CAST(NULL AS INTEGER)"]) == [None]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 'a' AS n", r"data\.shard_by\.column: 'n' is no column of whole numbers"),
        ("SELECT 1 AS n UNION SELECT 1000000", r"data\.shard_by\.width: .* 100,001 ranges"),
        ("SELECT 1 AS m", "DuckDB refused the query: .*n"),
    ],
)
def test_a_column_that_cannot_cut_is_one_message(given, query, said):
    with pytest.raises(MfxError, match=said):
        start.resolve(given(query, False, shard_by={"column": "n", "width": 10}))


def test_files_in_a_query_are_found_from_the_configs_folder(given, settings, tmp_path):
    (tmp_path / "a.csv").write_text("n\n1\n")
    made = given("SELECT * FROM 'a.csv'", False).model_copy(update={"home": str(tmp_path)})
    assert start.resolve(made).columns == {"n": "int64"}


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_a_wrong_query_is_one_message(request, name, given, monkeypatch):
    monkeypatch.setenv("TRIPS_DATABASE", request.getfixturevalue(name))
    with pytest.raises(MfxError, match=r"query://rows: \w+ refused the query: .*nosuch") as caught:
        start.resolve(given("SELECT nosuch FROM trips", connection="TRIPS_DATABASE"))
    assert "\n" not in caught.value.what


def test_an_address_that_does_not_do_is_one_message(given, monkeypatch, postgresql, tmp_path):
    wrong = {
        "": "environment variable TRIPS_DATABASE is not set",
        "mysql://u:hush@h/x": "TRIPS_DATABASE: not the address of a database",
        f"sqlite://{tmp_path}/none.db": "has no file",
        "postgresql://u:hush@127.0.0.1:1/x": "cannot connect to PostgreSQL",
        "postgresql://u:hush me@127.0.0.1:zz/x": "cannot connect to PostgreSQL",
    }
    for uri, said in wrong.items():
        monkeypatch.setenv("TRIPS_DATABASE", uri)
        with pytest.raises(MfxError, match=said) as caught:
            start.resolve(given("SELECT 1 AS n", connection="TRIPS_DATABASE"))
        assert "hush" not in str(caught.value)


HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(command: list[str], given: str):
    """A process that says that it holds a lock, until the context ends."""
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        holder.stdin.write(given)
        holder.stdin.flush()
        assert holder.stdout.readline() == "locked\n"
        yield
    finally:
        holder.communicate(timeout=30)


def test_a_locked_file_is_one_message(given, sqlite, monkeypatch):
    monkeypatch.setenv("TRIPS_DATABASE", sqlite)
    monkeypatch.setattr("mfx.ingest.outside.databases.WAIT", 0)
    # Another process: SQLite's locks are the process's.
    command = [sys.executable, "-c", HOLDER, sqlite.removeprefix("sqlite://")]
    with held(command, ""), pytest.raises(MfxError, match=r"SQLite .*database is locked"):
        start.resolve(given("SELECT fare FROM trips", connection="TRIPS_DATABASE"))


def test_a_locked_table_is_one_message(given, postgresql, monkeypatch):
    monkeypatch.setenv("TRIPS_DATABASE", postgresql)
    monkeypatch.setattr("mfx.ingest.outside.databases.WAIT", 1)
    command = ["psql", "-q", "-d", postgresql]
    with (
        held(command, "BEGIN; LOCK TABLE trips;\n\\echo locked\n"),
        pytest.raises(MfxError, match=r"PostgreSQL .*lock timeout"),
    ):
        start.resolve(given("SELECT fare FROM trips", connection="TRIPS_DATABASE"))


def test_a_type_that_arrow_does_not_have_is_one_message(given, postgresql, monkeypatch):
    monkeypatch.setenv("TRIPS_DATABASE", postgresql)
    for query, kind in {"point(1, 2)": "point", "'1.5'::numeric": "numeric"}.items():
        with pytest.raises(MfxError, match=f"column 'p' is of a type .*: {kind}") as caught:
            start.resolve(given(f"SELECT {query} AS p", False, connection="TRIPS_DATABASE"))
        assert "CAST(p AS" in caught.value.remedy


def test_a_connection_that_is_lost_is_one_message(given, postgresql, monkeypatch):
    monkeypatch.setenv("TRIPS_DATABASE", postgresql)
    ended = "pg_terminate_backend(pg_backend_pid())"
    rows = "generate_series(1, 2000000) AS g"
    query = f"SELECT g AS n, CASE WHEN g = 1900000 THEN {ended} END AS x FROM {rows}"
    with pytest.raises(MfxError, match=r"PostgreSQL broke off after [1-9][\d,]+ rows"):
        start.resolve(given(query, False, connection="TRIPS_DATABASE"))


def test_wrong_credentials_are_one_message(given, postgresql, monkeypatch):
    for word in ("hush-wrong", "hush%2Fwrong"):
        uri = postgresql.replace("postgres@", f"reader:{word}@")
        monkeypatch.setenv("TRIPS_DATABASE", uri)
        with pytest.raises(MfxError, match="password authentication failed") as caught:
            start.resolve(given("SELECT fare FROM trips", connection="TRIPS_DATABASE"))
        assert "cannot connect to PostgreSQL" in caught.value.what
        assert "hush" not in str(caught.value)


def test_no_secret_is_in_what_start_leaves(given, postgresql, monkeypatch):
    uri = postgresql.replace("postgres@", f"reader:{quote(PASSWORD, safe='')}@")
    monkeypatch.setenv("TRIPS_DATABASE", uri)
    made = given("SELECT fare FROM trips ORDER BY trip", False, connection="TRIPS_DATABASE")
    found = start.resolve(made)
    left = pickle.dumps((found, made)) + repr((found, made)).encode()
    assert b"hush" not in left and uri.encode() not in left
