"""The interface of a kind of exported model. Each kind is a module of this package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import tensorflow_transform as tft


class Target(Protocol):
    """One kind of exported model. A module is a target if it has these functions."""

    def export(
        self,
        model: Any,
        graph: tft.TFTransformOutput,
        label_columns: Iterable[str],
        directory: Path,
        classes: Sequence[str] = (),
    ) -> None:
        """Export a network that need not be trained yet.

        Training calls this first, so that a network that cannot be exported fails early.

        Args:
            model: The compiled network; it takes transformed features.
            graph: The transform graph. It becomes part of the exported model.
            label_columns: The label's raw columns, which the exported model does not take.
            directory: Where to write; created if it does not exist.
            classes: The config's `[label] classes`.

        Raises:
            MfxError: The network cannot be exported.
        """

    def put_weights(self, model: Any, directory: Path) -> None:
        """Write the trained network's weights into the files that `export` wrote."""
