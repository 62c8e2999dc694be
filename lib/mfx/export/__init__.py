"""The kinds of files that a trained network is exported to: one module for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfx import plugins
from mfx.export.base import Target
from mfx.plugins import Registry

TARGETS: Registry[Target] = Registry(plugins.TARGETS, "target")
if TYPE_CHECKING:  # Checks that the module is a `Target`.
    from mfx.export import saved_model

    _saved_model: Target = saved_model
