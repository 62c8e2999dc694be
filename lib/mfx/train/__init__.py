"""The step train: a Keras model is fitted, and exported with the graph (TFX: Trainer).

Its function is `train.train`; what that takes and reads of the config is in `spec`.
"""
