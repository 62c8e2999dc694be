"""MFX: TensorFlow Extended's rigour in one plain Metaflow flow."""

__all__ = ["__version__"]

# The one place that states the version: pyproject.toml reads it here, as a deployed run has this
# package without anything that an installer writes.
__version__ = "0.3.0.dev0"

METAFLOW_PACKAGE_POLICY = "include"
"""Metaflow puts this package into the code package of a deployed run."""
