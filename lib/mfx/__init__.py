"""MFX: TensorFlow Extended's rigour in one plain Metaflow flow."""
