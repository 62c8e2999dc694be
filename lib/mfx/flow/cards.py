"""Where Metaflow looks for cards, and which of them it draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfx.artifacts import _private

CHECKPOINTS = "task_checkpoints"
"""Id of the card that `@checkpoint` adds to its step."""


def keep_beside_runs() -> None:
    """Make Metaflow look for local cards in the local datastore, as it does for everything else.

    Metaflow looks in the current folder's `.metaflow`, or nowhere if METAFLOW_CARD_LOCALROOT is
    set. So cards of a run that was started in another folder would not be found.
    """
    from metaflow.metaflow_config import CARD_SUFFIX
    from metaflow.plugins.datastores.local_storage import LocalStorage

    def beside(storage_root: Callable[..., str | None]) -> Callable[..., str | None]:
        def get_storage_root(cls: Any, storage_type: str) -> str | None:
            if storage_type != LocalStorage.TYPE or LocalStorage.SYSROOT_VAR is None:
                return storage_root(cls, storage_type)
            root = LocalStorage.get_datastore_root_from_config(lambda *_: None)
            return str(Path(root, CARD_SUFFIX))

        return get_storage_root

    _private.around_card_root(beside)


def draw_only_what_is_seen() -> None:
    """Keep Metaflow from starting processes that draw what nobody sees.

    At the end of a step Metaflow starts two processes for each card, and each takes half a second.
    The first writes the page. The second tells browsers in which the page is open that it will not
    change any more: this is needed only if the step showed the card while it ran. And
    `@checkpoint(show_card=False)` still adds a card, which stays empty.
    """
    _private.around_card_drawing(_if_seen)


def _if_seen(create: Callable[..., None]) -> Callable[..., None]:
    live: set[str] = set()  # cards that were shown before their step's end

    def create_if_seen(self: Any, *, card_uuid: str, **options: Any) -> None:
        mode, final = options.get("mode", "render"), options.get("final", False)
        if not final:
            live.add(card_uuid)
        elif card_uuid not in live:
            is_checkpoints = options.get("user_set_card_id") == CHECKPOINTS
            if mode == "refresh" or (is_checkpoints and _private.is_empty_card(card_uuid)):
                return
        create(self, card_uuid=card_uuid, **options)

    return create_if_seen
