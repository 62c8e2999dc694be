"""The step validate: statistics, schema and anomalies (TFX: StatisticsGen, SchemaGen,
ExampleValidator).

Its function is `validate.validate`. `spec` declares its inputs and the config tables it reads.
"""
