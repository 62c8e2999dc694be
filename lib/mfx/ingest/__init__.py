"""The step ingest: input files become typed, split rows (TFX: ExampleGen).

Its function is `ingest.ingest`; what that takes and reads of the config is in `spec`.
"""
