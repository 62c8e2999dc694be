"""The step evaluate: sliced metrics, and a blessing or none (TFX: Evaluator).

Its function is `evaluate.evaluate`; what that takes and reads of the config is in `spec`.
"""
