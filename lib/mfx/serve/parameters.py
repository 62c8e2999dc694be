"""Batching parameters as in TF Serving, for this server, TF Serving itself and Triton."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfx.errors import MfxError


@dataclass(frozen=True)
class BatchingParameters:
    """The settings of TF Serving's `--batching_parameters_file` that this server has too.

    Attributes:
        max_batch_size: The most rows that run together. A larger request runs in parts.
        max_enqueued_batches: How many full batches may wait. More are refused with UNAVAILABLE.
        num_batch_threads: How many batches of a signature run at the same time.
        allowed_batch_sizes: A batch is padded to the next of these sizes. They ascend, and the last
            one is `max_batch_size`. If there are none, batches are not padded.
        observed: Called with the rows of each batch, without padding, while a lock is held.
    """

    max_batch_size: int = 128
    max_enqueued_batches: int = 64
    num_batch_threads: int = 1
    allowed_batch_sizes: tuple[int, ...] = ()
    observed: Callable[[int], None] | None = field(default=None, compare=False, repr=False)

    def padded(self, rows: int) -> int:
        """The size to which a batch with so many rows is padded."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)

    def text(self) -> str:
        """The text of TF Serving's file. With it, TF Serving too waits for no further requests."""
        values = {
            "max_batch_size": self.max_batch_size,
            "batch_timeout_micros": 0,
            "max_enqueued_batches": self.max_enqueued_batches,
            "num_batch_threads": self.num_batch_threads,
        }
        lines = [f"{name} {{ value: {value} }}\n" for name, value in values.items()]
        return "".join([*lines, *(f"allowed_batch_sizes: {n}\n" for n in self.allowed_batch_sizes)])


def read(path: Path) -> BatchingParameters:
    """Read a file in TF Serving's text format, such as `max_batch_size { value: 64 }`.

    Raises:
        MfxError: The file does not have this format, or its sizes are not valid.
    """
    from google.protobuf import text_format

    message = _message()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except text_format.ParseError as error:
        raise MfxError(
            f"{path}: {error}", "Expected TF Serving's batching parameters in text format."
        ) from None
    given: dict[str, Any] = {
        name: getattr(message, name).value
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads")
        if message.HasField(name)
    }
    found = BatchingParameters(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
    sizes = found.allowed_batch_sizes
    if min(found.max_batch_size, found.max_enqueued_batches, found.num_batch_threads) < 1:
        raise MfxError(f"{path}: all sizes and numbers must be at least 1")
    if sizes and (sorted(set(sizes)) != list(sizes) or sizes[-1] != found.max_batch_size):
        raise MfxError(
            f"{path}: allowed_batch_sizes {list(sizes)}, max_batch_size {found.max_batch_size}",
            "The allowed sizes must ascend and end with max_batch_size.",
        )
    return found


def _message() -> Any:
    """TF Serving's message BatchingParameters (`session_bundle_config.proto`).

    TF Serving's Python package does not contain it.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    kind = descriptor_pb2.FieldDescriptorProto
    wrapped = {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "thread_pool_name": (5, "StringValue"),
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    }
    for name, (number, wrapper) in wrapped.items():
        message.field.add(
            name=name,
            number=number,
            label=kind.LABEL_OPTIONAL,
            type=kind.TYPE_MESSAGE,
            type_name=f".google.protobuf.{wrapper}",
        )
    message.field.add(
        name="allowed_batch_sizes", number=6, label=kind.LABEL_REPEATED, type=kind.TYPE_INT64
    )
    message.field.add(
        name="pad_variable_length_inputs", number=7, label=kind.LABEL_OPTIONAL, type=kind.TYPE_BOOL
    )
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    return message_factory.GetMessageClass(descriptor)()
