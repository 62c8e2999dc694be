"""The step train: a Keras model is fitted, and exported with the graph (TFX: Trainer).

Its function is `train.train`. `spec` declares its inputs and the config tables it reads.
"""
