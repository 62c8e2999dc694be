"""What a network gets from a feature: numbers, a category, a bag of categories or a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SizeOf = Callable[[str], int]
"""How many values a vocabulary has, by its name in the transform graph."""


@dataclass(frozen=True)
class Numbers:
    """Numbers of about the size of 1: float32 [batch], or [batch, width] if there is a width."""

    width: int | None = None


@dataclass(frozen=True)
class Categories:
    """The number of a category, 0 to `size` - 1: int64 [batch]. Of declared features, 0 is missing.

    Args:
        size: How many categories there are.
        embedding: How many numbers are learned for each; None leaves it to the network.
        indicator: Whether they are taken as they are, 1 for the one and 0 for all others.
        length: If there is one, a bag of categories: int64 [batch, length], where 0 is filling.
    """

    size: int
    embedding: int | None = None
    indicator: bool = False
    length: int | None = None


@dataclass(frozen=True)
class Picture:
    """Pixels of 0 to 1, row by row: float32 [batch, height * width * channels]."""

    height: int
    width: int
    channels: int


Form = Numbers | Categories | Picture
