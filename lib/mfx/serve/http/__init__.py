"""TensorFlow Serving's REST API, and the HTTP that it needs."""
