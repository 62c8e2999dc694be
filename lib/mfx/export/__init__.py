"""What a trained network becomes: a module for each kind of file, and what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfx import plugins
from mfx.export.base import Target
from mfx.plugins import Registry

TARGETS: Registry[Target] = Registry(plugins.TARGETS, "target")
if TYPE_CHECKING:  # that a module is one
    from mfx.export import saved_model

    _saved_model: Target = saved_model
