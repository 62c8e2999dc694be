"""Features that the config declares: a table of options for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mfx.config.table import Table

TEXT, WHOLE, NUMBERS = ("bytes",), ("int64",), ("int64", "float32")
PARTS = Literal["hour", "weekday", "day", "month", "yearday", "trend"]


class Feature(Table):
    """What all kinds share."""

    KIND: ClassVar[str]
    EXAMPLE: ClassVar[dict[str, Any]]
    TAKES: ClassVar[Sequence[str]]
    """Types of a column's values that the kind takes."""
    LISTS: ClassVar[bool] = False
    """Whether the column may have lists."""

    kind: str

    def columns_of(self, name: str) -> list[str]:
        """The raw columns of the feature with this name."""
        return [getattr(self, "column", None) or name]


class OfOneColumn(Feature):
    """A feature that is made from one column."""

    column: str | None = Field(None, examples=["trip_start_timestamp"])
    """The column that the feature is made from. If not set, it is the column with the feature's
    name. So one column can give several features."""


class _Number(OfOneColumn):
    TAKES: ClassVar[Sequence[str]] = NUMBERS

    missing: float | Literal["mean", "flag"] = Field(
        "mean",
        examples=["flag"],
        json_schema_extra={"words": 'a number, "mean" or "flag"'},
    )
    """What stands for a missing value: `"mean"` is the mean of the values that are there, a number
    is itself (in the column's unit), and `"flag"` is the mean, with a second number beside it: 1
    where the value was missing, else 0."""

    @field_validator("missing", mode="plain")
    @classmethod
    def _number_or_word(cls, value: Any) -> Any:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number and value not in ("mean", "flag"):
            raise ValueError('expected a number, "mean" or "flag"')
        return float(value) if number else value


class Zscore(_Number):
    """A number, minus the train split's mean, divided by its standard deviation."""

    KIND: ClassVar[str] = "zscore"
    EXAMPLE: ClassVar[dict[str, Any]] = {"fare": "zscore"}
    kind: Literal["zscore"]


class Log(_Number):
    """The logarithm of 1 plus a number, as a z-score; for amounts of which few are very large. A
    negative number becomes the negative of what its amount gives."""

    KIND: ClassVar[str] = "log"
    EXAMPLE: ClassVar[dict[str, Any]] = {"fare": "log"}
    kind: Literal["log"]


class Minmax(_Number):
    """A number, scaled so that the train split's least is 0 and its greatest is 1. What is outside
    of these becomes 0 or 1."""

    KIND: ClassVar[str] = "minmax"
    EXAMPLE: ClassVar[dict[str, Any]] = {"fare": "minmax"}
    kind: Literal["minmax"]


class Category(Feature):
    """A feature that is one of several categories, or of a list of them."""

    embedding: int | None = Field(None, ge=1, examples=[8])
    """How many numbers the default network learns for each category. If not set, that depends on
    how many categories there are."""
    indicator: bool = Field(False, examples=[True])
    """Whether the default network takes categories as they are: 1 for the one that it is and 0 for
    all others, instead of learned numbers."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Category:
        if self.indicator and self.embedding is not None:
            raise ValueError("expected embedding or indicator, found both")
        return self


class _Listed(Category, OfOneColumn):
    LISTS: ClassVar[bool] = True

    length: int = Field(20, ge=1, examples=[50])
    """For a column of lists: how many values of each list count. Longer lists are cut."""


class Buckets(Category, OfOneColumn):
    """The range that a number is in: ranges with equally many rows of the train split each, or
    between given boundaries."""

    KIND: ClassVar[str] = "buckets"
    EXAMPLE: ClassVar[dict[str, Any]] = {"fare": "buckets"}
    TAKES: ClassVar[Sequence[str]] = NUMBERS
    kind: Literal["buckets"]
    count: int = Field(10, ge=2, examples=[20])
    """How many ranges there are, unless `boundaries` are given."""
    boundaries: list[float] | None = Field(None, min_length=1, examples=[[5, 10, 20]])
    """Where ranges begin, in ascending order: `[5, 10]` means below 5, from 5 to below 10, and 10
    and more."""

    @model_validator(mode="after")
    def _ascend(self) -> Buckets:
        if self.boundaries is not None and self.boundaries != sorted(set(self.boundaries)):
            raise ValueError("expected boundaries in ascending order, each once")
        return self


class Vocabulary(_Listed):
    """A text or whole number as a category: the most frequent values of the train split have one
    each, the others share some. For lists, all values of the list."""

    KIND: ClassVar[str] = "vocabulary"
    EXAMPLE: ClassVar[dict[str, Any]] = {"company": "vocabulary"}
    TAKES: ClassVar[Sequence[str]] = TEXT + WHOLE
    kind: Literal["vocabulary"]
    top_k: int = Field(1000, ge=1, examples=[200])
    """How many values have a category of their own at most."""
    min_count: int = Field(1, ge=1, examples=[5])
    """How often a value must occur in the train split to have a category of its own."""
    oov: int = Field(1, ge=1, examples=[10])
    """How many categories the other values share ("out of vocabulary"), by a hash."""


class Hash(_Listed):
    """A text or whole number as a category that a hash chooses; for columns with so many values
    that no vocabulary holds them. For lists, all values of the list."""

    KIND: ClassVar[str] = "hash"
    EXAMPLE: ClassVar[dict[str, Any]] = {"company": "hash"}
    TAKES: ClassVar[Sequence[str]] = TEXT + WHOLE
    kind: Literal["hash"]
    buckets: int = Field(1000, ge=2, examples=[200])
    """How many categories there are."""


class Identity(_Listed):
    """A whole number that is the number of a category, such as an hour of the day. For lists, all
    values of the list."""

    KIND: ClassVar[str] = "identity"
    EXAMPLE: ClassVar[dict[str, Any]] = {"trip_start_hour": {"kind": "identity", "size": 24}}
    TAKES: ClassVar[Sequence[str]] = WHOLE
    kind: Literal["identity"]
    size: int = Field(ge=1, examples=[13])
    """How many categories there are: 24 means 0 to 23. Other numbers count as missing."""


class Crossed(Category):
    """Several columns together as one category, which a hash chooses: such as the hour on each
    weekday."""

    KIND: ClassVar[str] = "crossed"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "hour_and_day": {"kind": "crossed", "columns": ["trip_start_hour", "trip_start_day"]}
    }
    TAKES: ClassVar[Sequence[str]] = TEXT + WHOLE
    kind: Literal["crossed"]
    columns: list[str] = Field(min_length=2, examples=[["pickup_latitude", "pickup_longitude"]])
    """What is crossed. Each is a feature of `[features]` of the kind buckets, vocabulary, hash or
    identity that is no list; or else a column of text or whole numbers."""
    buckets: int = Field(1000, ge=2, examples=[200])
    """How many categories there are."""

    def columns_of(self, name: str) -> list[str]:
        """What is crossed: names of features or raw columns."""
        return self.columns


class Date(OfOneColumn):
    """Parts of a date or time, each as a point on a circle (sine and cosine), so that the end of a
    day is close to its beginning. In UTC. A column of text has `2024-02-29` or
    `2024-02-29T23:59:58`; any other text counts as missing, which is the middle of the circle."""

    KIND: ClassVar[str] = "date"
    EXAMPLE: ClassVar[dict[str, Any]] = {"started": {"kind": "date", "column": "trip_start_time"}}
    TAKES: ClassVar[Sequence[str]] = TEXT + WHOLE
    kind: Literal["date"]
    parts: list[PARTS] = Field(
        ["hour", "weekday", "yearday"], min_length=1, examples=[["hour", "month"]]
    )
    """Which parts: the time of day (`"hour"`), the day of the week, the day of the month
    (`"day"`), the month, the day of the year. `"trend"` is no part, but the whole as a z-score: for
    what changes over the years."""
    unit: Literal["s", "ms", "us"] = Field("us", examples=["s"])
    """The unit of a column of whole numbers, which count from 1970 on: seconds, milliseconds or
    microseconds. Timestamps of Parquet, Arrow, Avro and databases arrive in microseconds."""


class Tokens(OfOneColumn):
    """The words of a text. Case and punctuation do not count. The most frequent words of the train
    split are categories of their own, the others share some."""

    KIND: ClassVar[str] = "tokens"
    EXAMPLE: ClassVar[dict[str, Any]] = {"review": "tokens"}
    TAKES: ClassVar[Sequence[str]] = TEXT
    kind: Literal["tokens"]
    ngrams: int = Field(1, ge=1, le=5, examples=[2])
    """Up to how many words that follow each other count as one more word: 2 adds all pairs."""
    length: int = Field(200, ge=1, examples=[500])
    """How many words of each text count. Longer texts are cut."""
    top_k: int = Field(10_000, ge=1, examples=[20_000])
    """How many words have a category of their own at most."""
    min_count: int = Field(1, ge=1, examples=[5])
    """How often a word must occur in the train split to have a category of its own."""
    oov: int = Field(1, ge=1, examples=[10])
    """How many categories the other words share, by a hash."""
    embedding: int | None = Field(None, ge=1, examples=[32])
    """How many numbers the default network learns for each word. If not set, that depends on how
    many words there are."""


class Image(OfOneColumn):
    """An image as a file's bytes (PNG, JPEG, GIF or BMP): decoded, resized, scaled to 0 … 1. The
    feature has `height * width * channels` numbers, row by row. A missing one is black."""

    KIND: ClassVar[str] = "image"
    EXAMPLE: ClassVar[dict[str, Any]] = {"photo": "image"}
    TAKES: ClassVar[Sequence[str]] = TEXT
    kind: Literal["image"]
    height: int = Field(32, ge=1, examples=[28])
    """The height in pixels that images are brought to."""
    width: int = Field(32, ge=1, examples=[28])
    """The width in pixels that images are brought to."""
    channels: Literal[1, 3] = Field(3, examples=[1])
    """1 for grey, 3 for red, green and blue."""


KINDS: dict[str, type[Feature]] = {
    one.KIND: one
    for one in (
        *(Zscore, Log, Minmax, Buckets, Vocabulary, Hash, Identity, Crossed),
        *(Date, Tokens, Image),
    )
}
"""The tables of options, by the kind's name."""


def _named(value: Any) -> Any:
    """A table with a known kind, or an error; text is short for a table with the kind alone."""
    if isinstance(value, Feature):
        return value
    table = {"kind": value} if isinstance(value, str) else value
    kind = table.get("kind") if isinstance(table, dict) else None
    if kind not in KINDS:
        raise ValueError(f"expected a kind, or a table with kind, of {', '.join(KINDS)}")
    return table


AnyFeature = Annotated[
    Zscore
    | Log
    | Minmax
    | Buckets
    | Vocabulary
    | Hash
    | Identity
    | Crossed
    | Date
    | Tokens
    | Image,
    Field(discriminator="kind"),
    BeforeValidator(_named),
]
"""One feature, as the config declares it."""
