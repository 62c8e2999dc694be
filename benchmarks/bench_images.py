"""Measure start and ingest on folders of images, beside a plain loop of Pillow.

    python benchmarks/bench_images.py [--output FILE]

Makes folders of images, some of them cut off. The flow runs on each, in processes of its own, and
is killed after `ingest`. The loop opens, decodes and reads the same files in one process, and does
nothing with them. A Markdown table is printed, and put into --output between its marks.
"""

from __future__ import annotations

import argparse
import datetime
import io
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import bench
import numpy as np
from bench import ROOT
from measuring import Measured, measure, step_seconds, tasks

MARKS = re.compile(r"(<!-- bench-images -->\n).*?(<!-- end -->)", re.S)
LOOP = """
import io, sys
from pathlib import Path
from PIL import Image
files = bad = size = 0
for path in sorted(Path(sys.argv[1]).rglob("*.*")):
    data = path.read_bytes()
    files, size = files + 1, size + len(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception:
        bad += 1
print(files, bad)
"""
CONFIG = """
[pipeline]
name = "images"
[data]
images = "photos"
tolerate = 0.05
shard_mb = {shard_mb}
[label]
name = "y"
columns = ["label"]
[evaluate]
metrics = ["BinaryAccuracy"]
select = "binary_accuracy"
[push]
destination = "pushed"
"""
MODEL = "def preprocessing_fn(inputs): ...\ndef build_model(): ...\n"


class Case(NamedTuple):
    """A folder to be made: how many images, of which format, and pixels of a side."""

    images: int
    format: str
    size: int
    shard_mb: float = 256


CASES = [
    Case(10_000, "PNG", 32),
    Case(10_000, "JPEG", 32),
    Case(10_000, "JPEG", 256),
    Case(1_000, "PNG", 512),
    Case(1_000, "PNG", 512, shard_mb=64),
    Case(300, "JPEG", 2000),
]
DIFFERENT = 50
"""So many images are made; the others are copies that differ at their end."""
DAMAGED = 100
"""One of so many files is cut off."""


def main() -> None:
    """Measure and write the table."""
    bench.leave_the_callers_environment()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(CASES))))
    parser.add_argument("--output", type=Path, default=ROOT / "docs/how-to/images-and-texts.md")
    given = parser.parse_args()
    lines = []
    for number in given.cases:
        with tempfile.TemporaryDirectory(prefix="mfx-bench-") as directory:
            lines.append(line(CASES[number], Path(directory)))
            print(lines[-1], file=sys.stderr)
    table = render(lines)
    print(table)
    text = given.output.read_text(encoding="utf-8")
    given.output.write_text(
        MARKS.sub(lambda found: found[1] + table + found[2], text), encoding="utf-8"
    )


def line(case: Case, folder: Path) -> str:
    """The table's line of a case."""
    size = make(case, folder / "photos")
    plain = measure([sys.executable, "-c", LOOP, folder / "photos"])
    ours = run(case, folder)
    files, bad = map(int, plain.output.split())
    if (files, bad) != (case.images, case.images // DAMAGED):
        sys.exit(f"{case}: the loop found {bad} of {files} damaged")
    took = step_seconds(ours.output)
    seconds = took["start"] + took["ingest"]
    peak = max(ours.memory[step] for step in ("start", "ingest"))
    return (
        f"| {case.images:,} {case.format}, {case.size} by {case.size} | {size / 1e6:,.0f} | "
        f"{tasks(ours.output, 'ingest')} | {took['start']:.1f} s | {took['ingest']:.1f} s | "
        f"{case.images / seconds:,.0f} | {case.images / plain.seconds:,.0f} | {peak:,.0f} MB | "
        f"{plain.memory['']:,.0f} MB |"
    )


def make(case: Case, folder: Path) -> int:
    """Write a folder of images; how many bytes they have together."""
    made = [encoded(case, number) for number in range(min(case.images, DIFFERENT))]
    size = 0
    for number in range(case.images):
        # What follows an image's end is no part of it, and makes each file another.
        data = made[number % DIFFERENT] + b"%d" % number
        data = data if number % DAMAGED else data[: len(data) // 2]
        path = folder / f"class {number % 10}" / f"{number}.{case.format.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        size += len(data)
    return size


def encoded(case: Case, number: int) -> bytes:
    """An image: soft colors, and noise on a part of it, so that it packs about as a photo does."""
    from PIL import Image

    random = np.random.default_rng(number)
    coarse = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    shape = (case.size, case.size)
    soft = np.asarray(Image.fromarray(coarse).resize(shape, Image.Resampling.BICUBIC)) // 2
    noise = random.integers(0, 12, soft.shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(soft + noise).save(file, case.format)
    return file.getvalue()


def run(case: Case, folder: Path) -> Measured:
    """Run the flow up to the last task of `ingest`."""
    (folder / "config.toml").write_text(CONFIG.format(shard_mb=case.shard_mb), encoding="utf-8")
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    command = [sys.executable, ROOT / "flows" / "pipeline.py"]
    command += ["--config", "config", folder / "config.toml", "run"]
    try:
        return measure(
            command, until="validate", METAFLOW_DATASTORE_SYSROOT_LOCAL=str(folder / "store")
        )
    finally:
        shutil.rmtree(folder / "store", ignore_errors=True)


def render(lines: list[str]) -> str:
    """The table."""
    return f"""
| images | MB | shards | start | ingest | rows/s | plain loop's rows/s | peak memory | loop's |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

Made by `make bench-images` on {datetime.date.today().isoformat()}: {platform.system()}
{platform.machine()}, {os.cpu_count()} cores, {bench.memory_gib():.0f} GiB, Python
{platform.python_version()}.
"""


if __name__ == "__main__":
    main()
