"""The pipeline's own Python, `model.py` and what it imports: found, loaded, bundled; its errors."""
