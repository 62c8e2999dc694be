"""What a kind of exported model is to the training; each is a module of this package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import tensorflow_transform as tft


class Target(Protocol):
    """One kind of file that a trained network becomes. A module is one, with these functions."""

    def export(
        self,
        model: Any,
        graph: tft.TFTransformOutput,
        label_columns: Iterable[str],
        directory: Path,
        classes: Sequence[str] = (),
    ) -> None:
        """Write the model of a network that may still have to be trained.

        Called before training, so that a network which cannot be exported is found out first.

        Args:
            model: The network, compiled, on transformed features.
            graph: The transform graph, which the model holds as well.
            label_columns: Raw columns that are not asked for.
            directory: Where to; made if missing.
            classes: `[label] classes`.

        Raises:
            MfxError: The network cannot be exported.
        """

    def put_weights(self, model: Any, directory: Path) -> None:
        """Put the weights that the network has after training into what `export` wrote."""
