"""TF Serving's batching parameters, read from its file and written to it."""

from __future__ import annotations

import pytest

from mfx.errors import MfxError
from mfx.serve.parameters import BatchingParameters, read


def test_parameters_have_tf_servings_names(tmp_path):
    path = tmp_path / "batching_parameters.txt"
    path.write_text(
        "max_batch_size { value: 64 }\n"
        "batch_timeout_micros { value: 0 }\n"
        "max_enqueued_batches { value: 100 }\n"
        "num_batch_threads { value: 2 }\n"
        "allowed_batch_sizes: 8\nallowed_batch_sizes: 64\n"
    )
    assert read(path) == BatchingParameters(64, 100, 2, (8, 64))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size { value: many }", "1:25"),
        ("max_batchsize { value: 1 }", "max_batchsize"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "end with max_batch_size"),
        ("max_batch_size { value: 0 }", "at least 1"),
    ],
)
def test_wrong_parameters_are_one_message(tmp_path, text, said):
    path = tmp_path / "batching_parameters.txt"
    path.write_text(text)
    with pytest.raises(MfxError) as error:
        read(path)
    assert str(path) in str(error.value) and said in str(error.value)


@pytest.mark.parametrize(
    "given", [BatchingParameters(), BatchingParameters(64, 10, 3, (8, 32, 64))], ids=["", "sizes"]
)
def test_what_is_written_is_read(given, tmp_path):
    path = tmp_path / "batching_parameters.txt"
    path.write_text(given.text())
    assert read(path) == given
