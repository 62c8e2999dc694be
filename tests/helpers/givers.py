"""Everything that gives rows to a pipeline: each writes a table where a run reads it from.

To add one is a class here, with a line in GIVERS: it then goes through tests/ingest/test_givers.py.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.databases import psql
from helpers.flows import ROOT
from helpers.formats import WRITERS
from mfx.ingest import sources

REST, HDF5 = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/how-to/own-source.md").read_text(encoding="utf-8"), re.S
)
"""The two worked examples of a source of one's own."""
PAGE = 60
TOKEN = "hush-token"


class Giver:
    """Something that gives rows.

    Args:
        folder: Where it may write; the config's folder.
        request: pytest's, for fixtures; the environment is changed by its `monkeypatch`.

    Attributes:
        data: What stands under `[data]`.
        nulls: Columns that may have missing values.
        in_parts: Whether its rows can be more than one shard.
    """

    data: dict[str, Any]
    nulls: tuple[str, ...] = ("company", "fare", "trip_seconds")
    in_parts = True

    def __init__(self, folder: Path, request: Any) -> None:
        self.folder = folder
        self.request = request
        self.set_up()

    def set_up(self) -> None:
        """Prepare what all tables are written to."""

    def write(self, table: pa.Table) -> pa.Table:
        """Write a table over an earlier one; what a run should read."""
        raise NotImplementedError

    def remove(self) -> None:
        """Take away what was written."""
        raise NotImplementedError

    def setenv(self, name: str, value: str) -> None:
        """Set a variable until the test ends."""
        self.request.getfixturevalue("monkeypatch").setenv(name, value)


class File(Giver):
    """A file of a format."""

    def __init__(self, folder: Path, request: Any, kind: str) -> None:
        self.kind = kind
        self.source = sources.SOURCES.get(kind)
        self.path = folder / f"rows{self.source.SUFFIXES[0]}"
        self.data = {"path": self.path.name}
        self.in_parts = False  # At so few bytes; test_parts.py has cut files.
        super().__init__(folder, request)

    def write(self, table: pa.Table) -> pa.Table:
        WRITERS[self.kind](table, self.path)
        return table.select(sorted(table.column_names)) if self.source.OPEN else table

    def remove(self) -> None:
        self.path.unlink()


class Query(Giver):
    """A query of DuckDB's over a file."""

    def set_up(self) -> None:
        self.data = {"query": "SELECT * FROM 'rows.parquet'"}
        self.in_parts = False

    def write(self, table: pa.Table) -> pa.Table:
        pq.write_table(table, self.folder / "rows.parquet")
        return table

    def remove(self) -> None:
        (self.folder / "rows.parquet").unlink()


COLUMNS = {"company": "TEXT", "fare": "DOUBLE PRECISION", "trip_seconds": "BIGINT"}
CREATE = "CREATE TABLE rows (number BIGINT, " + ", ".join(f"{n} {k}" for n, k in COLUMNS.items())
CREATE += ")"
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM rows"


def _cells(table: pa.Table) -> Iterator[list[Any]]:
    for number, row in enumerate(table.select(list(COLUMNS)).to_pylist()):
        company, *others = row.values()
        yield [number, company.decode() if company is not None else None, *others]


class Sqlite(Giver):
    """A query of SQLite."""

    def set_up(self) -> None:
        self.path = self.folder / "rows.db"
        self.setenv("ROWS_DATABASE", f"sqlite://{self.path}")
        self.data = {"query": f"{_SELECT} ORDER BY number", "connection": "ROWS_DATABASE"}
        self.in_parts = False

    def write(self, table: pa.Table) -> pa.Table:
        self.path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(self.path)) as database, database:
            database.execute(CREATE)
            database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", _cells(table))
        return table

    def remove(self) -> None:
        self.path.unlink()


class Postgresql(Giver):
    """A query of PostgreSQL."""

    def set_up(self) -> None:
        self.dsn = self.request.getfixturevalue("postgresql_server")
        self.setenv("ROWS_DATABASE", self.dsn)
        self.data = {"query": f"{_SELECT} ORDER BY number", "connection": "ROWS_DATABASE"}
        self.in_parts = False

    def write(self, table: pa.Table) -> pa.Table:
        lines = (
            ",".join("" if c is None else '"' + str(c).replace('"', '""') + '"' for c in row) + "\n"
            for row in _cells(table)
        )
        psql(self.dsn, f"DROP TABLE IF EXISTS rows; {CREATE}")
        psql(self.dsn, "".join(lines), "\\copy rows FROM pstdin WITH (FORMAT csv)")
        return table

    def remove(self) -> None:
        psql(self.dsn, "DROP TABLE rows")


class _Own(Giver):
    text: str

    def set_up(self) -> None:
        (self.folder / "my_source.py").write_text(self.text)
        self.data = {"source": "my_source.py"}


class Pages(BaseHTTPRequestHandler):
    """A REST interface with pages of trips."""

    rows: list | None

    def do_GET(self) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}" or self.rows is None:
            self.send_error(401)
            return
        *_, what = self.path.split("/")
        pages = {"count": -(-len(self.rows) // PAGE)}
        found = self.rows[int(what) * PAGE :][:PAGE] if what.isdigit() else pages
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Rest(_Own):
    """The how-to's REST interface."""

    text = REST

    def set_up(self) -> None:
        super().set_up()
        server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        Thread(target=server.serve_forever, daemon=True).start()
        self.request.addfinalizer(server.shutdown)
        self.setenv("TRIPS_URL", f"http://127.0.0.1:{server.server_port}")
        self.setenv("TRIPS_TOKEN", TOKEN)

    def write(self, table: pa.Table) -> pa.Table:
        names = ("company", "fare", "trip_seconds")
        Pages.rows = [
            dict(zip(names, row[1:], strict=True)) | {"fare": None if row[2] != row[2] else row[2]}
            for row in _cells(table)
        ]
        return table.select(["fare", "company", "trip_seconds"])

    def remove(self) -> None:
        Pages.rows = None


class Hdf5(_Own):
    """The how-to's HDF5 file."""

    text = HDF5.replace("100_000", "130")
    nulls = ("fare",)
    """Only fractions can be missing in HDF5, as NaN."""

    def set_up(self) -> None:
        super().set_up()
        self.path = self.folder / "trips.h5"
        self.setenv("TRIPS_H5", str(self.path))

    def write(self, table: pa.Table) -> pa.Table:
        with h5py.File(self.path, "w") as file:
            for name, column in zip(table.column_names, table.columns, strict=True):
                values = [float("nan") if value is None else value for value in column.to_pylist()]
                text = pa.types.is_binary(column.type)
                kind = h5py.string_dtype() if text else column.type.to_pandas_dtype()
                file.create_dataset(
                    name, data=np.array(values, object if text else kind), dtype=kind
                )
        return table.select(sorted(table.column_names))

    def remove(self) -> None:
        self.path.unlink()


class Texts(Giver):
    """A folder of texts that a table names: each row of the table has a text of its own."""

    def set_up(self) -> None:
        self.data = {"texts": {"path": "texts", "table": "rows.parquet"}}

    def write(self, table: pa.Table) -> pa.Table:
        shutil.rmtree(self.folder / "texts", ignore_errors=True)
        (self.folder / "texts").mkdir()
        names = [f"{number:04d}.txt" for number in range(table.num_rows)]
        for name in names:
            (self.folder / "texts" / name).write_text(f"text of {name}")
        table = table.append_column("path", pa.array([name.encode() for name in names]))
        pq.write_table(table, self.folder / "rows.parquet")
        texts = pa.array([f"text of {name}".encode() for name in names], pa.binary())
        return table.add_column(0, "text", texts)

    def remove(self) -> None:
        shutil.rmtree(self.folder / "texts")


GIVERS: dict[str, Callable[[Path, Any], Giver]] = {
    **{kind: lambda folder, request, kind=kind: File(folder, request, kind) for kind in WRITERS},
    "query": Query,
    "sqlite": Sqlite,
    "postgresql": Postgresql,
    "rest": Rest,
    "hdf5": Hdf5,
    "texts": Texts,
}
