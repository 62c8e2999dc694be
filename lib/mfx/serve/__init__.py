"""A local model server that speaks TensorFlow Serving's API.

`versions` loads the models of a destination, each a `model`; `batching` puts requests together;
`http` and `grpc` answer; `server` joins them, `command` is its command line.
"""
