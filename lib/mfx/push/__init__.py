"""The step push: serve the model, compare its answers, push it if it is blessed (TFX: Pusher).

Its function is `push.push`.
"""
