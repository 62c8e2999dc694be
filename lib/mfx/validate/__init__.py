"""The step validate: statistics, schema and anomalies (TFX: StatisticsGen, SchemaGen,
ExampleValidator).

Its function is `validate.validate`; what that takes and reads of the config is in `spec`.
"""
