"""Where examples come from, what they must be, and what of them is predicted."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    field_validator,
    model_validator,
)

from mfx.config import spans
from mfx.config.split import Split
from mfx.config.table import Spelled, Table, VariableName
from mfx.errors import MfxError

Delimiter = Annotated[
    str,
    AfterValidator(
        Spelled(r'(?!["\r\n\0])[\0-\x7f]', "one ASCII character, no quote and no end of line")
    ),
]


class NullValues(Table):
    """Texts that mean "missing"."""

    default: list[str] = Field([""], examples=[["", "NA"]])
    """Texts that mean "missing" in every column that `columns` does not name. The empty text among
    them holds for CSV only, as files of other kinds have nulls."""
    columns: dict[str, list[str]] = Field({}, examples=[{"depth": ["", "9999"]}])
    """Texts that mean "missing" in one column; they replace `default` there."""

    def of(self, column: str) -> list[str]:
        """The texts that mean "missing" in this column."""
        return self.columns.get(column, self.default)


class Reading(Table):
    """How examples are read, wherever they come from."""

    split: Split = Field(Split(), examples=[{"train": 4, "eval": 1}])
    """How rows are divided into splits ([how-to](../how-to/splits.md)): `{ train = 2, eval = 1 }`
    is two thirds and one third. A hash of each row decides, so that the same row is in the same
    split on every machine. There may be more splits, such as `{ train = 8, eval = 1, test = 1 }`:
    where there is a `test` split, models are measured and blessed on it. Instead of a hash a column
    can decide (`by`), or the files."""
    null_values: NullValues = Field(
        NullValues(),
        examples=[["", "NA"]],
        json_schema_extra={"words": "a list of texts or a table"},
    )
    """Texts that mean "missing": a list of texts for all columns, which is short for
    `{ default = […] }`, or a table. Missing cells are counted on the card of `validate`."""
    compression: Literal["none", "gzip", "bz2", "xz", "zstd"] | None = Field(
        None, examples=["gzip"]
    )
    """How files of CSV, JSON Lines or TFRecord are compressed. If not set, the first bytes of each
    file decide."""
    delimiter: Delimiter | None = Field(None, examples=[";"])
    """The character between cells of a CSV file. If not set, it is comma, semicolon, tab or
    pipe, whichever the header shows."""
    trim: bool = Field(False, examples=[True])
    """Whether spaces and tabs around column names and cells of CSV files are removed, also inside
    quotes."""
    tolerate: int | float = Field(
        0,
        examples=[0.001],
        json_schema_extra={"words": "a whole number, at least 0, or a share below 1"},
    )
    """How many rows of the run may be left out because they do not fit: a number of rows, or a
    share of all rows, such as `0.001`. Such rows have a cell that its column's type does not allow,
    too many or too few cells, or are no JSON object or no tf.Example. They are counted by reason,
    and kept aside in `examples.rejected_rows()`. With 0, the first such row stops the run; with
    more, one row too many does."""

    @field_validator("tolerate", mode="plain")
    @classmethod
    def _number_or_share(cls, value: Any) -> int | float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (0 <= value < 1 or (isinstance(value, int) and value >= 0)):
            raise ValueError("expected a whole number, at least 0, or a share below 1")
        return value

    @field_validator("null_values", mode="before")
    @classmethod
    def _list_is_default(cls, value: Any) -> Any:
        return {"default": value} if isinstance(value, list) else value


def _path_or_paths(value: Any) -> str | list[str] | None:
    if value is None:  # Only where plain values are made settings again.
        return None
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a path or a list of paths")
    return value


def paths_in(text: str) -> str | list[str]:
    """What `--data` means: a path, or the paths of a JSON list. A path that exists is no list.

    Raises:
        MfxError: It begins as a list of texts does, and is none.
    """
    if not re.match(r"\s*\[\s*[\"']", text) or Path(text).exists():
        return text
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
        raise MfxError(
            f"--data: expected a path or a JSON list of paths, found {text}",
            """Write a list so: --data '["a.csv", "b/*.csv"]'""",
        )
    return found


def _span(value: Any) -> int | str:
    found = value.isoformat() if type(value) is date else value
    if isinstance(found, bool) or not isinstance(found, (int, str)):
        raise ValueError(f"expected {spans.WORDS}")
    if said := spans.span_fault(found):
        raise ValueError(said)
    return found


SPANS = ("span", "window", "missing_spans")
"""Keys that say which spans are read."""
OUTSIDE = ("query", "source")
"""Keys that say where data come from that are no files."""


class ShardBy(Table):
    """Ranges of a column, by which the rows of a query are cut into shards."""

    column: str = Field(examples=["trip_id"])
    """A column of the query with whole numbers. Rows are sorted by it; those without a value are a
    range of their own."""
    width: int = Field(ge=1, examples=[100_000])
    """How many values of the column a range has: 100000 gives 0 to 99999, 100000 to 199999 and so
    on. Ranges with few rows are read together, see `shard_mb`."""


FOLDERS = ("images", "texts")
"""Keys that name a folder whose files are rows."""


class Folder(Table):
    """A folder in which each file is a row."""

    path: str = Field(examples=["photos"])
    """The folder; on disk, or at `s3://bucket/…`, `gs://bucket/…` or `az://container/…`. Hidden
    files and folders, `Thumbs.db` and `desktop.ini` are passed over."""
    table: str | None = Field(None, examples=["labels.csv"])
    """A file, a folder or a pattern, as `data.path` is, whose rows name the files; its other
    columns belong to them. If not set, each file lies in a folder that is its `label`."""
    column: str | None = Field(None, examples=["file"])
    """The table's column of paths, which start at the folder. If not set, `path`."""

    @model_validator(mode="after")
    def _column_is_of_a_table(self) -> Folder:
        if self.column is not None and self.table is None:
            raise ValueError("expected a table beside column, found none")
        return self


def _short_for_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


_FolderOrPath = Annotated[Folder | None, BeforeValidator(_short_for_path)]


class Data(Reading):
    """Where examples come from and how they are read: files (`path`), a folder of images or of
    texts (`images`, `texts`), a database (`query`), or your own Python file (`source`). One of them
    must be set."""

    path: Annotated[str | list[str] | None, PlainValidator(_path_or_paths)] = Field(
        None,
        examples=["../../data/taxi/trips.csv", ["2024/*.csv", "2025.csv"]],
        json_schema_extra={"words": "a path or a list of paths"},
    )
    """A file, a folder of files, or a pattern such as `trips-*.csv` or `year=*/**/trips-*.csv`; on
    disk, or at `s3://bucket/…`, `gs://bucket/…` or `az://container/…`. At `https://…` it is one
    file. Or a list of those, whose files are read in its order. Files are CSV, TSV, Parquet, Arrow,
    Avro, JSON Lines or TFRecord. In a folder they are known by the endings of their names, such as
    `.csv`, `.csv.gz` or `.parquet`; its folders `key=text` are read too, as columns. A relative
    path starts at the config's folder. The command line's `--data` is used instead, if given; there
    a list is written as JSON, such as `'["a.csv", "b.csv"]'`."""
    span: Annotated[int | str, PlainValidator(_span)] = Field(
        spans.LATEST,
        examples=[12, "2024-01-31"],
        json_schema_extra={"words": spans.WORDS},
    )
    """The span to read, where `path` has a place for it: `day-{SPAN}/*.csv`, or
    `{YYYY}-{MM}-{DD}/*.csv` for dates ([how-to](../how-to/spans.md)). `"latest"` is the latest
    there is; a date may also be given as the days since 1970-01-01. Where `path` has `{VERSION}`,
    the latest version of each span is read. The command line's `--span` is used instead, if
    given."""
    window: int = Field(1, ge=1, le=spans.MOST, examples=[7])
    """How many spans are read: those with the numbers up to `span`. If the first span there is lies
    within the window, the window begins with it."""
    missing_spans: Literal["stop", "skip"] = Field("stop", examples=["skip"])
    """What happens if spans within the window are not there: `"stop"` stops the run, `"skip"` reads
    the others."""
    images: _FolderOrPath = Field(
        None,
        examples=[{"path": "photos", "table": "labels.csv"}, "photos"],
        json_schema_extra={"words": "a folder's path or a table"},
    )
    """A folder of images ([how-to](../how-to/images-and-texts.md)): `images = "photos"`, which is
    short for `{ path = "photos" }`, or a table. Each image is a row with its bytes in `image`, its
    `path` below the folder, and its `label`: the name of the folder that it lies in. `--data` is
    the folder instead, if given."""
    texts: _FolderOrPath = Field(
        None,
        examples=[{"path": "reviews", "table": "scores.csv"}],
        json_schema_extra={"words": "a folder's path or a table"},
    )
    """The same of texts, each in UTF-8; the column is `text`."""
    reuse_spans: bool = Field(False, examples=[True])
    """Whether a window of several spans takes over from earlier runs what they made of spans that
    have not changed: their rows, statistics, and what TFT gathered of them
    ([when it pays](../how-to/spans.md))."""
    query: str | None = Field(
        None, examples=["SELECT * FROM trips WHERE day < '2024-01-01' ORDER BY trip_id"]
    )
    """A query whose rows are the data ([how-to](../how-to/sql.md)). Without `connection` DuckDB
    reads it, over files: `SELECT * FROM 'trips/*.parquet'`. It is kept with the run, so nothing
    secret belongs in it. It should say ORDER BY: rows must come in the same order each time."""
    connection: VariableName | None = Field(None, examples=["TRIPS_DATABASE"])
    """The environment variable that holds the database's address, such as
    `postgresql://user:password@host/name` or `sqlite:///folder/trips.db`. The address itself is
    neither in the config nor in anything that a run leaves."""
    shard_by: ShardBy | None = Field(None, examples=[{"column": "trip_id", "width": 100_000}])
    """The column by whose ranges the rows of a query are cut into shards; if not set, one task
    reads them all."""
    source: str | None = Field(None, examples=["my_source.py"])
    """Your own Python file that gives the rows, where they are in no file that can be read
    ([how-to](../how-to/own-source.md)). It has a function `batches(shard)` that yields
    `pyarrow.RecordBatch`. A relative path starts at the config's folder."""
    shard_mb: float = Field(256, gt=0, examples=[64])
    """MB of rows, as they are when unpacked, that make a shard; each shard is read by one task of
    `ingest`. A larger file is cut where rows end, if its format allows it; else it is a shard of
    its own. Of a file in a storage each task fetches only its part. Smaller files are read
    together, and less data than this is one shard. A run has at most 64 shards. A task takes one
    to two seconds to start, so many small shards are slow on one machine."""

    @model_validator(mode="after")
    def _come_from_one_place(self) -> Data:
        places = ("path", *FOLDERS, *OUTSIDE)
        given = [key for key in places if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"expected one of {', '.join(places)}, found {found}")
        for key in ("connection", "shard_by"):
            if getattr(self, key) is not None and self.query is None:
                raise ValueError(f"expected a query beside {key}, found none")
        if self.split.files and self.path is None:
            raise ValueError(f"expected path, a folder, beside split.files, found {given[0]}")
        return self

    @model_validator(mode="after")
    def _spans_have_places(self) -> Data:
        if said := spans.fault_of_all(self.paths):
            raise ValueError(said)
        dated = any(map(spans.has_dates, self.paths))
        if not any(map(spans.has_places, self.paths)):
            for key in SPANS:
                if (value := getattr(self, key)) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"{key} = {value!r} needs a place such as {{SPAN}} in path, found none"
                    )
        elif isinstance(self.span, str) and self.span != spans.LATEST and not dated:
            raise ValueError(f"span {self.span} is a date, but path has {{SPAN}}: give a number")
        return self

    @property
    def asked(self) -> spans.Asked:
        """Which spans are to be read."""
        return spans.Asked(self.span, self.window, self.missing_spans)

    @property
    def paths(self) -> list[str]:
        """The paths, also where it is one; none where data come from elsewhere."""
        return [self.path] if isinstance(self.path, str) else self.path or []

    @property
    def folder(self) -> tuple[str, Folder] | None:
        """The key in FOLDERS that is set, and its folder; None where there is none."""
        given = ((key, getattr(self, key)) for key in FOLDERS)
        return next(((key, folder) for key, folder in given if folder), None)

    @property
    def addresses(self) -> dict[str, list[str]]:
        """All paths and URLs that are read, by the names of their keys."""
        found = {"data.path": self.paths}
        if self.folder:
            key, folder = self.folder
            found[f"data.{key}"] = [folder.path]
            found[f"data.{key}.table"] = [folder.table] if folder.table else []
        return found


class Schema(Table):
    """The schema that the data must fit."""

    path: str = Field("schema.pbtxt", examples=["schemas/trips.pbtxt"])
    """The committed schema, TFDV's `Schema` in text format. `mfx schema accept` writes it. As long
    as there is no such file, each run infers a schema from its own data."""
    skew_threshold: float = Field(0.05, gt=0, le=1, examples=[0.1])
    """How far apart train and eval may be in a category, in a schema that a run infers: the
    L-infinity distance, which is the largest difference in any value's share. If chance explains
    more than that, the schema allows what chance explains. A committed schema states its own
    bounds."""


class LabelRows(Table):
    """Which raw rows have a label."""

    columns: list[str] = Field(min_length=1, examples=[["tips"]])
    """Raw columns that the label is made from. They are not known yet when the model serves, so
    requests do not have them."""
    missing: Literal["stop", "drop", "fill"] = Field("stop", examples=["drop"])
    """What happens to rows without a value in one of `columns`: `"stop"` stops the run, `"drop"`
    leaves them out everywhere and counts them, `"fill"` takes the label that `preprocessing_fn`
    gives them."""


class Above(Table):
    """What a number must be above, for the label to be 1: a value, a multiple of a column, or both
    added."""

    column: str | None = Field(None, examples=["fare"])
    """A raw column of numbers."""
    times: float = Field(1.0, examples=[0.2])
    """What the column is multiplied by."""
    value: float = Field(0.0, examples=[30])
    """A value; with a column, it is added."""


class Label(LabelRows):
    """What the model predicts."""

    name: str = Field(examples=["big_tipper"])
    """The feature that is the label: the one that `preprocessing_fn` returns under this name, or,
    with `[features]`, the one that is made from `columns` as `kind` says."""
    classes: list[str] = Field([], examples=[["small tip", "big tip"]])
    """Names of the classes, in the order of the label's values; the signature `classify` answers
    with them. If `kind` makes the label of a column of text, they are the column's values. If
    empty, they are the values that a label of the kind `"classes"` has in the train split, sorted;
    else "0", "1", … where the network's loss is a cross-entropy; otherwise there are none."""
    kind: Literal["binary", "classes", "regression", "log_regression", "counts"] | None = Field(
        None, examples=["binary"]
    )
    """What is asked ([how-to](../how-to/declared-features.md)): one of two classes, one of several,
    an amount, an amount whose error counts as a share of it, or how many. It must be set with
    `[features]`, and for the default network."""
    above: Above | None = Field(None, examples=[{"column": "fare", "times": 0.2}])
    """For a label of the kind `"binary"` that a column of numbers tells: the label is 1 where the
    column is above this, else 0."""

    @model_validator(mode="after")
    def _above_is_binary(self) -> Label:
        if self.above and self.kind != "binary":
            raise ValueError('expected kind = "binary" beside above')
        return self
