"""The step ingest: input files become typed, split rows (TFX: ExampleGen).

Its function is `ingest.ingest`. `spec` declares its inputs and the config tables it reads.
"""
