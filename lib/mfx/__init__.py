"""MFX: TensorFlow Extended's rigour in one plain Metaflow flow."""

METAFLOW_PACKAGE_POLICY = "include"
"""Metaflow puts this package into the code package of a deployed run."""
