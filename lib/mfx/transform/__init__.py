"""The step transform: one graph, and both splits transformed by it (TFX: Transform).

Its function is `transform.transform`; what that takes and reads of the config is in `spec`.
"""
