"""Small images of each format, and folders of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, size: int = 32) -> np.ndarray:
    """Noise: uint8 of shape [size, size, 3]."""
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)


def encoded(kind: str, seed: int = 0, size: int = 32, **options) -> bytes:
    """An image's file. `kind` is a format of Pillow's, or "GIF of 3"."""
    frames = [Image.fromarray(pixels(seed + n, size)) for n in range(3)]
    if kind == "GIF of 3":
        frames = [frame.quantize(64) for frame in frames]
        kind, options = "GIF", {"save_all": True, "append_images": frames[1:], **options}
    file = io.BytesIO()
    frames[0].save(file, kind, **options)
    return file.getvalue()


FORMATS = {
    "JPEG": encoded("JPEG"),
    "progressive JPEG": encoded("JPEG", progressive=True),
    "PNG": encoded("PNG"),
    "GIF": encoded("GIF"),
    "GIF of 3": encoded("GIF of 3"),
    "BMP": encoded("BMP"),
}
"""A file of each kind that fits."""


def two_classes(
    folder: Path, count: int, size: int = 32, classes: tuple[str, str] = ("dark", "light")
) -> None:
    """PNGs in two folders, in turn; those of the second have larger values."""
    for seed in range(count):
        name = classes[seed % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        shown = pixels(seed, size) // 2 + 100 * (seed % 2)
        Image.fromarray(shown.astype(np.uint8)).save(folder / name / f"{seed:05d}.png")
