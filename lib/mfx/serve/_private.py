"""The private parts of TensorFlow that `serve` uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CHECKED = {"tensorflow": ("2.16.2", "2.21.0")}


def callable_of(session: Any, options: Any) -> Callable[..., Any]:
    """A function from a v1 session's feeds to its fetches, both in the order of `options`.

    The public `make_callable` uses `run` with a dict if there are feeds. That takes longer than the
    model itself.
    """
    return session._make_callable_from_options(options)
