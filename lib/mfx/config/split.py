"""How rows are divided into splits: by shares of a hash, by a column, or by the files."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from mfx.config.table import Table
from mfx.config.times import microseconds
from mfx.errors import nearest
from mfx.splits import EVAL, TRAIN, in_order

Kind = Literal["shares", "begins", "values", "files"]
KEYS: dict[Kind, tuple[str, ...]] = {
    "shares": ("train", "eval", "key"),
    "begins": ("by", "begins", "unit", "missing"),
    "values": ("by", "values", "others", "missing"),
    "files": ("files",),
}
"""The keys that each way to divide rows takes. Shares take names of further splits besides."""
RESERVED = {"rejected", "schema", *(key for keys in KEYS.values() for key in keys)} - {TRAIN, EVAL}
"""Names that no split can have: keys, and names that results have for something else."""
BEGINS = "a table of times or numbers"
VALUES = "a table of lists of texts or of whole numbers"
FILES = "a table of patterns"
"""Types of values in words."""
_NAME = "[a-z][a-z0-9_]*"
_INT64 = range(-(2**63), 2**63)


def _check_names(names: Iterable[Any]) -> None:
    for name in names:
        if not (isinstance(name, str) and re.fullmatch(_NAME, name)):
            raise ValueError(
                "expected names of splits of small letters, digits and '_', a letter first, "
                f"found {name!r}"
            )
        if name in RESERVED:
            raise ValueError(f"expected another name for a split, found {name!r}")


def _table(value: Any, words: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"expected {words}")
    return value


def _begins(value: Any) -> dict[str, str | int | float] | None:
    if value is None:
        return None
    # TOML's own dates and times are kept as text, as a run's config is JSON.
    dates = (datetime.date, datetime.datetime)
    found = {n: str(v) if isinstance(v, dates) else v for n, v in _table(value, BEGINS).items()}
    for one in found.values():
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            raise ValueError(f"expected times or numbers, found {one!r}")
        if isinstance(one, str):
            microseconds(one)
        elif not -(2.0**63) <= one < 2.0**63:
            raise ValueError(f"expected numbers that fit into 64 bits, found {one}")
    if len({isinstance(one, str) for one in found.values()}) > 1:
        raise ValueError("expected times or numbers, found both")
    ordered = [microseconds(one) if isinstance(one, str) else one for one in found.values()]
    if len(set(ordered)) < len(ordered):
        raise ValueError("expected another begin for each split, found two that are equal")
    return found


def _values(value: Any) -> dict[str, list[str | int]] | None:
    if value is None:
        return None
    seen: dict[Any, str] = {}
    for name, values in _table(value, VALUES).items():
        if not (isinstance(values, list) and values):
            raise ValueError(f"expected a list of values for {name}, found {values!r}")
        for one in values:
            if isinstance(one, bool) or not isinstance(one, (str, int)):
                raise ValueError(f"expected texts or whole numbers, found {one!r}")
            if isinstance(one, int) and one not in _INT64:
                raise ValueError(f"expected numbers that fit into 64 bits, found {one}")
            if one in seen:
                raise ValueError(
                    f"expected each value once, found {one!r} for {seen[one]} and for {name}"
                )
            seen[one] = name
    if len({isinstance(one, str) for one in seen}) > 1:
        raise ValueError("expected texts or whole numbers, found both")
    return value


def _files(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    for pattern in _table(value, FILES).values():
        if not isinstance(pattern, str) or not pattern:
            raise ValueError(f"expected patterns, found {pattern!r}")
        if pattern.startswith("/") or "://" in pattern:
            raise ValueError(f"expected patterns below path, found {pattern!r}")
    return value


class Split(Table):
    """How rows are divided."""

    # What is not a key is the share of a further split.
    model_config = ConfigDict(extra="allow")

    train: int = Field(2, ge=1, examples=[4])
    """The share of the train split, by a hash."""
    eval: int = Field(1, ge=1, examples=[1])
    """The share of the eval split, by a hash. Further splits are named in the same way, such as
    `test = 1`; then train and eval must be there too."""
    key: list[str] = Field([], examples=[["customer_id"]])
    """Columns that keep rows together: rows with equal values in all of them go to the same split,
    such as all rows of one customer. If empty, the whole row is hashed."""
    by: str | None = Field(
        None,
        examples=["trip_start"],
        json_schema_extra={"beside": {"begins": {"eval": "2024-05-01"}}},
    )
    """A column that decides, by `begins` or by `values`, instead of a hash."""
    begins: Annotated[dict[str, str | int | float] | None, PlainValidator(_begins)] = Field(
        None,
        examples=[{"eval": "2024-05-01", "test": "2024-06-01"}],
        json_schema_extra={"words": BEGINS, "beside": {"by": "trip_start"}},
    )
    """Where each split begins, in the column `by`: a row is in the split with the last begin that
    is not after its value. Begins are times, such as `"2024-05-01"` or `"2024-05-01 12:30"`, in UTC
    if they name no zone; or numbers. One split may have no begin, as train here: it has all rows
    before the others. If all have one, rows before the first are left out and counted."""
    unit: Literal["s", "ms", "us"] | None = Field(
        None,
        examples=["s"],
        json_schema_extra={
            "beside": {"by": "trip_start_timestamp", "begins": {"eval": "2024-05-01"}}
        },
    )
    """What the whole numbers of the column `by` count since 1970, where `begins` has times:
    seconds, milliseconds or microseconds. If not set, microseconds, as columns of timestamps
    become. A column of texts needs no unit."""
    values: Annotated[dict[str, list[str | int]] | None, PlainValidator(_values)] = Field(
        None,
        examples=[{"train": ["a", "b"], "eval": ["c"]}],
        json_schema_extra={"words": VALUES, "beside": {"by": "fold"}},
    )
    """The values that rows of each split have in the column `by`."""
    others: Literal["stop", "drop"] = Field(
        "stop",
        examples=["drop"],
        json_schema_extra={
            "beside": {"by": "fold", "values": {"train": ["a", "b"], "eval": ["c"]}}
        },
    )
    """What happens to rows with a value that `values` does not name: `"stop"` stops the run,
    `"drop"` leaves them out and counts them."""
    missing: Literal["stop", "drop"] = Field(
        "stop",
        examples=["drop"],
        json_schema_extra={
            "beside": {"by": "trip_start", "begins": {"eval": "2024-05-01", "test": "2024-06-01"}}
        },
    )
    """What happens to rows without a value in the column `by`: `"stop"` stops the run, `"drop"`
    leaves them out and counts them."""
    files: Annotated[dict[str, str] | None, PlainValidator(_files)] = Field(
        None,
        examples=[{"train": "train/*.csv", "eval": "eval/*.csv"}],
        json_schema_extra={"words": FILES, "beside": {}},
    )
    """The files of each split, where they come divided: patterns below `path`, which is their
    folder then."""

    @property
    def _given(self) -> list[Kind]:
        return [kind for kind in KEYS if kind != "shares" and getattr(self, kind) is not None]

    @property
    def kind(self) -> Kind:
        """The way in which rows are divided, a name in `KEYS`."""
        return self._given[0] if self._given else "shares"

    @property
    def shares(self) -> dict[str, int]:
        """The share of each split, by a hash."""
        given = {TRAIN: self.train, EVAL: self.eval, **(self.model_extra or {})}
        return {name: given[name] for name in in_order(given)}

    @property
    def names(self) -> tuple[str, ...]:
        """The splits' names, in order: train, eval, the others by name."""
        if self.kind == "shares":
            return tuple(self.shares)
        return in_order({TRAIN, EVAL, *getattr(self, self.kind)})

    @property
    def columns(self) -> list[str]:
        """The columns that decide: `key`, or `by`."""
        return list(self.key) if self.by is None else [self.by]

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Split:
        if len(self._given) > 1:
            raise ValueError(
                f"expected one of begins, values and files, found {' and '.join(self._given)}"
            )
        if self.kind == "shares":
            self._check_shares(self.model_extra or {})
            return self
        for key in [*self.model_fields_set, *(self.model_extra or {})]:
            if key not in KEYS[self.kind]:
                raise ValueError(f"expected no {key} beside {self.kind}, found one")
        if self.kind != "files" and self.by is None:
            raise ValueError(f"expected by, a column, beside {self.kind}, found none")
        _check_names(named := getattr(self, self.kind))
        lacking = [name for name in (TRAIN, EVAL) if name not in named]
        if len(lacking) > (self.kind == "begins"):
            raise ValueError(f"expected {' and '.join(lacking)} in {self.kind}, found none")
        if self.unit and any(not isinstance(one, str) for one in (self.begins or {}).values()):
            raise ValueError("expected times in begins beside unit, found numbers")
        return self

    def _check_shares(self, further: dict[str, Any]) -> None:
        """Names of further splits could be misspelled keys, so these are told apart."""
        for name, share in further.items():
            if isinstance(share, bool) or not isinstance(share, int) or share < 1:
                meant = nearest(name, [key for keys in KEYS.values() for key in keys])
                raise ValueError(
                    f"expected a whole number, at least 1, as the share of '{name}', found "
                    f"{share!r:.80}{meant}"
                )
            if lacking := [one for one in (TRAIN, EVAL) if one not in self.model_fields_set]:
                raise ValueError(
                    f"expected a share of {' and '.join(lacking)} beside that of '{name}', found "
                    f"none{nearest(name, lacking)}"
                )
        _check_names(further)
        for key in ("by", "unit", "others", "missing"):
            if key in self.model_fields_set and getattr(self, key) is not None:
                raise ValueError(f"expected begins or values beside {key}, found neither")

    @model_serializer(mode="wrap")
    def _only_of_its_kind(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Other keys say nothing; and without them shares are kept as they always were."""
        values = dump(self)
        return {key: values[key] for key in (*KEYS[self.kind], *sorted(self.model_extra or ()))}
