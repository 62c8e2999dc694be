"""A local model server that speaks TensorFlow Serving's API.

The models of a destination, `model` by `model` and `versions` of each, batched by `batching`,
answered over `rest` and `grpc_api`; `server` puts them together.
"""
