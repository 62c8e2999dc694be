"""The step push: the model is served and asked for rows, then pushed if blessed (TFX: Pusher).

Its function is `push.push`.
"""
