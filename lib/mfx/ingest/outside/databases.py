"""The databases that a query can go to: their drivers, and how each of them is told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mfx.errors import MfxError
from mfx.ingest.outside._private import driver_path

WAIT = 60
"""Seconds to wait for a lock that another has."""


def _as_is(uri: str) -> dict[str, str]:
    return {"uri": uri}


def _sqlite(uri: str) -> dict[str, str]:
    if not Path(unquote(urlsplit(uri).path)).is_file():
        raise MfxError(
            "the SQLite database has no file",
            "Expected an address such as sqlite:///folder/trips.db: after sqlite:// comes an "
            "absolute path.",
        )
    # Read-only: without it, a file that is not there would be made.
    path = "file:" + uri.partition(":")[2]
    return {"uri": path if "?" in path else f"{path}?mode=ro"}


def _quoted_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Database:
    """A kind of database.

    Args:
        title: Its name, for messages.
        module: The Python package of its driver.
        extra: The extra of this library that has it.
        given: What the driver is told, from the address.
        settings: Statements to run first; they get the config's folder.
        options: The driver's options of a statement.
        quote: What stands around names of columns.
        entry: The driver's entry point; "" for the usual one.
    """

    title: str
    module: str
    extra: str = "sql"
    given: Callable[[str], dict[str, str]] = _as_is
    settings: Callable[[str], list[str]] = lambda home: []
    options: Mapping[str, str] = field(default_factory=dict)
    quote: str = '"'
    entry: str = ""

    def quoted(self, name: str) -> str:
        """A column's name as it is written in a query."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def driver(self) -> dict[str, str]:
        """The driver's library.

        Raises:
            MfxError: It is not installed.
        """
        try:
            import_module("adbc_driver_manager")
            module = import_module(self.module)
        except ImportError:
            raise MfxError(
                f"data.query: the driver for {self.title} is not installed",
                f"Install it: pip install 'mfx[{self.extra}]'",
            ) from None
        return {"driver": driver_path(module)} | ({"entrypoint": self.entry} if self.entry else {})


DUCKDB = Database(
    "DuckDB",
    "adbc_driver_duckdb",
    given=lambda uri: {},
    # Relative paths of files in the query start at the config's folder.
    settings=lambda home: [f"SET file_search_path = {_quoted_text(home)}"],
    entry="duckdb_adbc_init",
)
_POSTGRESQL = Database(
    "PostgreSQL",
    "adbc_driver_postgresql",
    settings=lambda home: [f"SET lock_timeout = '{WAIT}s'"],
)
DATABASES: Mapping[str, Database] = {
    # The driver tells a column's type from the first rows that it hands over together.
    "sqlite": Database(
        "SQLite",
        "adbc_driver_sqlite",
        given=_sqlite,
        settings=lambda home: [f"PRAGMA busy_timeout = {WAIT * 1000}"],
        options={"adbc.sqlite.query.batch_rows": "65536"},
    ),
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    # By the same interface, and not tried on real servers.
    "grpc": Database("Flight SQL", "adbc_driver_flightsql", "flightsql"),
    "grpc+tcp": Database("Flight SQL", "adbc_driver_flightsql", "flightsql"),
    "grpc+tls": Database("Flight SQL", "adbc_driver_flightsql", "flightsql"),
    "snowflake": Database(
        "Snowflake",
        "adbc_driver_snowflake",
        "snowflake",
        given=lambda uri: {"uri": uri.partition("://")[2]},
    ),
    "bigquery": Database(
        "BigQuery",
        "adbc_driver_bigquery",
        "bigquery",
        given=lambda uri: {
            "adbc.bigquery.sql.project_id": urlsplit(uri).netloc,
            "adbc.bigquery.sql.dataset_id": urlsplit(uri).path.strip("/"),
        },
        quote="`",
    ),
}
"""By the scheme of their addresses."""


def database_of(variable: str, uri: str) -> Database:
    """The database of an address.

    Args:
        variable: The environment variable that has it, for messages: the address may be secret.
        uri: The address.

    Raises:
        MfxError: Its scheme is of no database.
    """
    found = DATABASES.get(uri.partition(":")[0].lower())
    if found is None:
        raise MfxError(
            f"{variable}: not the address of a database that this library knows",
            "Expected one that begins with "
            + ", ".join(f"{scheme}://" for scheme in DATABASES)
            + ".",
        )
    return found
