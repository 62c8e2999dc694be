"""What is an image: whole files of the formats that TensorFlow decodes, and nothing else."""

from __future__ import annotations

import io

import pytest
from helpers.images import FORMATS, encoded
from PIL import Image

from mfx.ingest.folders import images


@pytest.fixture(autouse=True)
def _prepared():
    images.prepare()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_whole_file_fits_as_it_is(kind):
    assert images.value(FORMATS[kind]) is FORMATS[kind]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_cut_off_anywhere_does_not(kind):
    data = FORMATS[kind]
    for end in [*range(1, 60), *range(60, len(data), 37), *range(len(data) - 40, len(data))]:
        with pytest.raises(ValueError):
            images.value(data[:end])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file"),
        (encoded("WEBP"), "WebP, which tf.io.decode_image does not decode"),
        (encoded("TIFF"), "TIFF, which tf.io.decode_image does not decode"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which tf.io.decode_image does not decode"),
        (b"%PDF-1.7", "no image but PDF"),
        (b"\0" * 99, "no image"),
        (b"a text", "no image"),
        (FORMATS["PNG"][:1000], "PNG that is cut off"),
        (FORMATS["PNG"][:40] + b"\1\2\3" + FORMATS["PNG"][43:], "PNG that is damaged"),
        (FORMATS["JPEG"][:700], "JPEG that is cut off"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "JPEG that is damaged"),
        (b"BM" + b"\0" * 80, "BMP of a kind that tf.io.decode_image does not decode"),
    ],
)
def test_what_does_not_fit_says_why(data, said):
    with pytest.raises(ValueError) as caught:
        images.value(data)
    assert str(caught.value) == said


def test_images_too_large_to_decode_are_refused_unread():
    file = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(file, "PNG")
    with pytest.raises(ValueError, match=r"PNG of more than 178,956,970 pixels"):
        images.value(file.getvalue())
