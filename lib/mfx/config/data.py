"""Where examples come from, what they must be, and what of them is predicted."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from mfx.config.table import Table


class Split(Table):
    """Shares of the rows, as hash buckets: `{train = 2, eval = 1}` is two thirds and one third."""

    train: int = Field(2, ge=1)
    eval: int = Field(1, ge=1)
    key: list[str] = []
    """Columns whose rows stay together (an entity never straddles splits); empty: the whole row."""


class NullValues(Table):
    """Texts that mean "missing". `null_values = ["", "NA"]` is short for `{ default = … }`."""

    default: list[str] = [""]
    columns: dict[str, list[str]] = {}
    """Those of a column, instead of `default`."""

    def of(self, column: str) -> list[str]:
        """The texts that mean "missing" in this column."""
        return self.columns.get(column, self.default)


class Reading(Table):
    """How examples are read, wherever they come from."""

    split: Split = Split()
    null_values: NullValues = NullValues()
    """A list of texts, or a table: `{ default = [""], columns = { depth = ["", "9999"] } }`."""
    compression: Literal["none", "gzip", "bz2", "xz", "zstd"] | None = None
    """How files are compressed; by default as their first bytes say."""
    delimiter: str | None = None
    """What parts cells, one ASCII character; by default comma, semicolon, tab or pipe, as the
    header says."""
    trim: bool = False
    """Take spaces and tabs away from around column names and cells, quoted ones too."""
    ragged_rows: Literal["stop", "reject"] = "stop"
    """A row with too many or too few cells stops the run, or is left out and counted."""

    @field_validator("null_values", mode="before")
    @classmethod
    def _list_is_default(cls, value: Any) -> Any:
        if not isinstance(value, list | dict | NullValues):
            raise ValueError(f"expected a list of texts or a table, found {value!r}")
        return {"default": value} if isinstance(value, list) else value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n\0'):
            raise ValueError(f"expected one ASCII character such as ';' or '\\t', found {value!r}")
        return value


class Data(Reading):
    """Where examples come from and how they are read."""

    path: str
    """A CSV file, a folder of them (`*.csv`, `*.tsv`, and these with .gz, .bz2, .xz or .zst behind
    it), or a pattern; on disk or `s3://bucket/…`."""
    shard_mb: float = Field(32, gt=0)
    """MB of files from which on they are a shard, which one task reads; less is one shard."""


class Schema(Table):
    """The schema that examples must meet."""

    path: str = "schema.pbtxt"
    skew_threshold: float = Field(0.05, gt=0, le=1)
    """L-infinity distance between train and eval that an inferred schema allows each category, or
    what chance explains if that is more."""


class LabelRows(Table):
    """Which raw rows have a label."""

    columns: list[str] = Field(min_length=1)
    """Raw columns that the label is made from: unknown, and not asked for, at serving."""
    missing: Literal["stop", "drop", "fill"] = "stop"
    """Rows without a value in one of `columns` stop the run; or are left out everywhere, and
    counted; or have the label that `preprocessing_fn` gives them."""


class Label(LabelRows):
    """What the model predicts."""

    name: str
    """The feature that `preprocessing_fn` returns as the label."""
    classes: list[str] = []
    """Names of the classes, in the order of the label's values, which the `classify` signature
    gives. Empty: "0", "1", … where the network's loss is a cross-entropy, otherwise none."""
