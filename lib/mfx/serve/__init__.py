"""A local model server that speaks TensorFlow Serving's API.

`versions` loads the versions of a model, each as a `model`; `batching` puts requests together;
`http` and `grpc` are the two APIs; `server` connects them, and `command` is its command line.
"""
