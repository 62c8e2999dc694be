"""A step as a declaration: what goes in, which tables of the config it reads, what makes it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

from mfx.config.table import Placed, Table

Self = TypeVar("Self", bound="Reads")


class Reads(Placed):
    """The part of a config that one step is handed: a subclass has a field for each table.

    A field's type may be narrower than the config's own table; it then has those keys alone. A step
    sees nothing else, and so nothing else can make a difference to its result.
    """

    @classmethod
    def of(cls: type[Self], settings: Placed) -> Self:
        """This part of a whole config."""
        return cls.model_validate(_only(cls, settings.to_dict()))

    def values(self) -> dict[str, Any]:
        """What the step reads, each value by its dotted name, such as `train.steps`."""
        return {
            key: value
            for name, table in self.to_dict().items()
            if name != "home"
            for key, value in flat(name, table).items()
        }


@dataclass(frozen=True)
class Step:
    """A step of a pipeline, as `mfx.<step>.spec` declares it; a subclass's fields are what goes in.

    Fields declared with `field(compare=False)` make no difference to the result, such as where to
    report. Declaring a step imports nothing heavy; `make` does.
    """

    reads: ClassVar[type[Reads]]

    @property
    def name(self) -> str:
        """The step's name in the flow."""
        return type(self).__name__.lower()

    @property
    def inputs(self) -> dict[str, Any]:
        """What the result is made from, by the fields' names."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.compare}

    def make(self, settings: Any) -> Any:
        """The step's result.

        Args:
            settings: An object of the class `reads`.
        """
        raise NotImplementedError


def flat(name: str, value: Any) -> dict[str, Any]:
    """A value of a config, or the values in it if it is a table, by dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in flat(f"{name}.{key}", inner).items()}


def _only(table: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """Those of a table's values that a narrower table has."""
    found = {}
    for name, field in table.model_fields.items():
        key, kind = field.alias or name, field.annotation
        is_table = isinstance(kind, type) and issubclass(kind, Table)
        found[key] = _only(kind, values[key]) if is_table else values[key]  # type: ignore[arg-type]
    return found
