"""Rows of a query, `query` under `[data]`, by the drivers of ADBC (Arrow Database Connectivity).

Drivers hand over Arrow's C stream. It is taken by pyarrow's own import, and not by ADBC's DBAPI
layer, which needs a newer pyarrow than the stack of Python 3.11 has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from mfx.config import Settings
from mfx.config.data import ShardBy
from mfx.errors import MfxError
from mfx.ingest.outside._private import reader_of
from mfx.ingest.outside.base import Piece, Place
from mfx.ingest.outside.databases import DUCKDB, Database, database_of

MOST_PIECES = 4096
"""The most ranges that a query is cut into."""
_ROWS = "mfx_rows"


def pieces(settings: Settings) -> list[Piece]:
    """The query; with `shard_by`, a piece for each range of the column; see `base.Outside`."""
    data = settings.data
    assert data.query is not None
    told = {"query": data.query.strip().rstrip(";"), "connection": data.connection}
    if data.shard_by is None:
        return [Piece("query://rows", told)]
    column, width = data.shard_by.column, data.shard_by.width
    found = []
    for begin in _begins(told, data.shard_by, Place("query://rows", settings.resolve)):
        name = f"query://{column}/" + ("null" if begin is None else f"{begin}..{begin + width - 1}")
        found.append(Piece(name, {**told, "column": column, "begin": begin, "width": width}))
    return found


def batches(told: Any, place: Place) -> Iterator[pa.RecordBatch]:
    """The rows of a piece, as the database streams them; see `base.Outside`."""
    database, uri = _database(told["connection"])
    sql = told["query"]
    if "column" in told:
        column = database.quoted(told["column"])
        sql = f"SELECT * FROM ({sql}) AS {_ROWS} WHERE " + _range(column, told)
    yield from _streamed(database, uri, sql, place)


def _range(column: str, told: dict[str, Any]) -> str:
    begin = told["begin"]
    if begin is None:
        return f"{column} IS NULL"
    end = begin + told["width"]
    return f"{column} >= {begin} AND {column} < {end} ORDER BY {column}"


def _begins(told: dict[str, Any], by: ShardBy, place: Place) -> list[int | None]:
    """Where the ranges of the column begin that may have rows: multiples of the width, so that new
    rows at one end leave the other ranges as they were. None is for rows without a value."""
    database, uri = _database(told["connection"])
    column = database.quoted(by.column)
    sql = (
        f"SELECT MIN({column}) AS least, MAX({column}) AS most, COUNT(*) - COUNT({column}) AS none "
        f"FROM ({told['query']}) AS {_ROWS}"
    )
    (row,) = pa.Table.from_batches(_streamed(database, uri, sql, place)).to_pylist()
    least, most = row["least"], row["most"]
    if not (least is None or isinstance(least, int)):
        raise MfxError(
            f"data.shard_by.column: {by.column!r} is no column of whole numbers: it has {least!r}",
            "Name one of whole numbers, such as an identifier, or compute one in the query.",
        )
    begins: list[int | None] = []
    if least is not None:
        first, last = least // by.width, most // by.width
        if last - first >= MOST_PIECES:
            raise MfxError(
                f"data.shard_by.width: {by.column!r} goes from {least} to {most}: that is "
                f"{last - first + 1:,} ranges",
                f"Set a larger width, such as {-(-(most - least) // 64)}: {MOST_PIECES:,} ranges "
                "is the most.",
            )
        begins += [number * by.width for number in range(first, last + 1)]
    return [*begins, None] if row["none"] else begins


def _streamed(database: Database, uri: str, sql: str, place: Place) -> Iterator[pa.RecordBatch]:
    """The rows of a statement, in bounded memory; one batch at least, which may be empty.

    Raises:
        MfxError: The driver is missing; there is no connection; the statement is refused; the
            connection is lost; or a column has a type that Arrow does not have.
    """
    driver = database.driver()
    import adbc_driver_manager as adbc

    kinds = (adbc.Error, pa.ArrowException, OSError)
    with ExitStack() as open_:
        with _said(f"{place.where}: cannot connect to {database.title}", uri, _CONNECT, kinds):
            made = adbc.AdbcDatabase(**driver, **database.given(uri))
            connection = open_.enter_context(adbc.AdbcConnection(open_.enter_context(made)))
        with _said(f"{place.where}: {database.title} refused the query", uri, _REFUSED, kinds):
            for setting in database.settings(place.resolve(".")):
                with adbc.AdbcStatement(connection) as first:
                    first.set_sql_query(setting)
                    reader_of(first).read_all()
            statement = open_.enter_context(adbc.AdbcStatement(connection))
            statement.set_options(**database.options)
            statement.set_sql_query(sql)
            reader = reader_of(statement)
        _check_types(reader.schema, place)
        empty = [pa.nulls(0, field.type) for field in reader.schema]
        yield pa.RecordBatch.from_arrays(empty, schema=reader.schema)
        rows = 0
        while True:
            what = f"{place.where}: {database.title} broke off after {rows:,} rows"
            with _said(what, uri, _BROKEN, kinds):
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            rows += batch.num_rows
            yield batch


_CONNECT = (
    "Check the address in the environment variable that connection under [data] names: its host, "
    "user and password."
)
_REFUSED = "Try the query in the database's own client; if it waits for a lock, run again later."
_BROKEN = (
    "If the connection was lost, run again. If a value does not fit its column's type, CAST the "
    "column in the query."
)


@contextmanager
def _said(what: str, uri: str, remedy: str, kinds: tuple[type[Exception], ...]) -> Iterator[None]:
    """What a driver raises, as one `MfxError` without anything secret."""
    try:
        yield
    except kinds as error:
        words = " ".join(_without_secrets(str(error), uri).split())
        raise MfxError(f"{what}: {words[:600]}", remedy) from None


def _without_secrets(text: str, uri: str) -> str:
    """A text in which neither the address nor a part of it that may be secret stands."""
    found = {uri, uri.partition("://")[2]}
    try:
        parts = urlsplit(uri)
        found |= {parts.password or "", unquote(parts.password or ""), parts.query}
    except ValueError:
        pass  # It is no address; it stands nowhere as a whole.
    for secret in sorted(found - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _check_types(schema: pa.Schema, place: Place) -> None:
    for field in schema:
        extension = (field.metadata or {}).get(b"ARROW:extension:name")
        if extension is None and not isinstance(field.type, pa.BaseExtensionType):
            continue
        kind = (field.metadata or {}).get(b"ADBC:postgresql:typname", extension or b"")
        raise MfxError(
            f"{place.where}: column {field.name!r} is of a type that Arrow does not have: "
            f"{kind.decode() or field.type}",
            f"Give it another in the query, such as CAST({field.name} AS text), or AS double "
            "precision where it is a number.",
        )


def _database(variable: str | None) -> tuple[Database, str]:
    """The database that an environment variable names, and its address; DuckDB without one."""
    if variable is None:
        return DUCKDB, ""
    uri = os.environ.get(variable, "")
    if not uri:
        raise MfxError(
            f"data.connection: the environment variable {variable} is not set",
            "Set it to the database's address, such as postgresql://user:password@host/name; in "
            "deployed runs by secrets under [deploy].",
        )
    return database_of(variable, uri), uri
