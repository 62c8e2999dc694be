"""The step transform: one graph, and all splits transformed by it (TFX: Transform).

Its function is `transform.transform`. `spec` declares its inputs and the config tables it reads.
"""
