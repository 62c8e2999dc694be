"""The user's own code (`model.py` and the files it imports): find, load and bundle it; errors."""
