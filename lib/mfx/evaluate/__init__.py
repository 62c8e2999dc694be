"""The step evaluate: compute sliced metrics, then bless the model or not (TFX: Evaluator).

Its function is `evaluate.evaluate`. `spec` declares its inputs and the config tables it reads.
"""
