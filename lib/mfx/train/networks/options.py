"""The hyperparameters of the default network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from mfx.config import messages
from mfx.config.table import Table
from mfx.errors import MfxError

WHERE = "train.hyperparameters"


class Options(Table):
    """What `[train.hyperparameters]` and `[[train.candidates]]` may say to the default network."""

    units: int = Field(64, ge=1)
    """The width of its layers."""
    blocks: int = Field(2, ge=0)
    """How many residual blocks of two layers follow the first layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """The share of a layer's answers that is left out in training."""
    learning_rate: float = Field(0.001, gt=0)
    """Adam's learning rate."""
    wide: bool = True
    """Whether each category also has a weight of its own that is added to the answer."""
    class_weights: Literal["balanced"] | Annotated[list[float], Field(min_length=2)] | None = None
    """How much a row of each class counts in the loss: a number for each class, or "balanced", so
    that all classes count equally."""
    sizes: dict[str, Annotated[int, Field(ge=1)]] = {}  # noqa: RUF012
    """How many categories an int64 feature of `preprocessing_fn` has, if the graph does not say."""


def checked(hyperparameters: Mapping[str, Any]) -> Options:
    """Check hyperparameters for the default network.

    Raises:
        MfxError: One is unknown or does not fit.
    """
    try:
        return Options.model_validate(dict(hyperparameters))
    except ValidationError as error:
        said = messages.of(error, WHERE, Options).what
    raise MfxError(
        f"{said} (of the default network)",
        "See docs/how-to/declared-features.md; or write a build_model of your own.",
    )
