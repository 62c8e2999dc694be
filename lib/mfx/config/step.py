"""How a step is declared: its inputs, the tables of the config that it reads, its function."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

from mfx.config.table import Placed, Table

Self = TypeVar("Self", bound="Reads")


class Reads(Placed):
    """The part of a config that one step gets. A subclass has a field for each table.

    A field's type may have fewer keys than the config's own table; the step then gets only these. A
    step sees nothing else, so nothing else can change its result.
    """

    @classmethod
    def of(cls: type[Self], settings: Placed) -> Self:
        """Take this part out of a whole config."""
        return cls.model_validate(_only(cls, settings.to_dict()))

    def values(self) -> dict[str, Any]:
        """All values that the step reads, by dotted names such as `train.steps`."""
        return {
            key: value
            for name, table in self.to_dict().items()
            if name != "home"
            for key, value in flat(name, table).items()
        }


@dataclass(frozen=True)
class Step:
    """A step of a pipeline, declared in `mfx.<step>.spec`. A subclass's fields are its inputs.

    A field declared with `field(compare=False)` does not change the result, such as a function that
    takes reports. Declaring a step imports nothing heavy; only `make` does.
    """

    reads: ClassVar[type[Reads]]
    by_span: ClassVar[bool] = False
    """Whether an input is a part of the data that may be in several windows of spans. Its result is
    then looked for in earlier runs whenever a run reads several spans."""

    @property
    def name(self) -> str:
        """The step's name in the flow."""
        return type(self).__name__.lower()

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that the result depends on, by the names of their fields."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.compare}

    def make(self, settings: Any) -> Any:
        """Make the step's result.

        Args:
            settings: An object of the class `reads`.
        """
        raise NotImplementedError


def flat(name: str, value: Any) -> dict[str, Any]:
    """A value by its name; for a table, all values in it, by dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in flat(f"{name}.{key}", inner).items()}


def _only(table: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """The values of a table that a table with fewer keys has too.

    A table that takes more keys than it names is taken whole.
    """
    if table.model_config.get("extra") == "allow":
        return values
    found = {}
    for name, field in table.model_fields.items():
        key, kind = field.alias or name, field.annotation
        is_table = isinstance(kind, type) and issubclass(kind, Table)
        found[key] = _only(kind, values[key]) if is_table else values[key]  # type: ignore[arg-type]
    return found
