"""Large objects of storages are read in parts, each task fetching only its own."""

from __future__ import annotations

import pytest
from helpers.boxes import BOXES
from helpers.large_files import ROWS, WRITTEN, bytes_unpacked

from mfx.artifacts import Part, Shard
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import shards
from mfx.ingest.ingest import ingest, merge
from mfx.storage.reading import Reader
from mfx.storage.s3 import S3Storage
from mfx.storage.web import WebStorage


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(shards, "LEAST", 1)


@pytest.fixture
def given(tmp_path, settings, datastore):
    """Settings for a path, with parts of a sixth of a file's bytes or so."""

    def make(path, size=0):
        mb = size / 8 / 2**20 if size else 1000
        none = str(tmp_path / "none.pbtxt")
        return settings.override(data__path=str(path), data__shard_mb=mb, schema__path=none)

    return make


@pytest.fixture
def fetched(monkeypatch):
    """How many bytes each `fetch_ranges` brings; to fetch a whole object fails."""
    counts = []

    def whole(self, key, path, most=None):
        raise AssertionError(f"{key} is fetched whole")

    def ranges(self, key, path, size, ranges):
        counts.append(sum(end - begin for begin, end in ranges))
        return before(self, key, path, size, ranges)

    before = Reader.fetch_ranges

    def begin():
        for kind in (Reader, S3Storage):
            monkeypatch.setattr(kind, "fetch", whole)
        monkeypatch.setattr(Reader, "fetch_ranges", ranges)
        return counts

    return begin


@pytest.mark.parametrize("kind", [name for name in BOXES if name != "folder"])
def test_parts_give_what_the_whole_gives(request, given, fetched, tmp_path, kind):
    box = BOXES[kind](request)
    runs = {}
    for name in ("a.csv", "a.jsonl", "a.parquet", "a.tfrecord"):
        path = tmp_path / name
        WRITTEN[name](path)
        box.put(name, path.read_bytes())
        whole, cut = given(path), given(f"{box.place}/{name}", bytes_unpacked(path))
        local, sources = start.resolve(whole), start.resolve(cut)
        assert len(local.shards) == 1 and len(sources.shards) == 6
        assert sources.lineage.data == local.lineage.data
        runs[name] = sources, cut, merge([ingest(s, local, whole) for s in local.shards], local)
    counts = fetched()
    for sources, cut, whole in runs.values():
        counts.clear()
        size = sources.files[0].size
        examples = merge([ingest(s, sources, cut) for s in sources.shards], sources)
        assert (examples.digest, examples.missing) == (whole.digest, whole.missing)
        around = 3 * 2**16  # a header, which is little where parts are of the usual size
        assert len(counts) == 6 and max(counts) < size / 4 + around
        assert sum(counts) < size + 6 * around
        # Several parts of one shard are fetched at the same time.
        parts = Shard(tuple(file for shard in sources.shards for file in shard.files))
        assert ingest(parts, sources, cut).rows_in == len(ROWS)


def test_sequence_examples_on_s3_give_what_they_give_on_disk(s3, given, tmp_path):
    import tensorflow as tf

    def texts(*values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for n in range(500):
            steps = tf.train.FeatureList(feature=[texts(f"step {n}-{at}") for at in range(n % 4)])
            writer.write(
                tf.train.SequenceExample(
                    context=tf.train.Features(feature={"user": texts(f"user {n}")}),
                    feature_lists=tf.train.FeatureLists(feature_list={"steps": steps}),
                ).SerializeToString()
            )
    content = (tmp_path / "a.tfrecord").read_bytes()
    s3.put_object(Bucket=s3.bucket, Key="a.tfrecord", Body=content)
    runs = []
    for path, size in [
        (tmp_path / "a.tfrecord", 0),
        (f"s3://{s3.bucket}/a.tfrecord", 0),
        (f"s3://{s3.bucket}/a.tfrecord", len(content)),
    ]:
        how = given(path, size)
        sources = start.resolve(how)
        runs.append(merge([ingest(s, sources, how) for s in sources.shards], sources))
    assert runs[0].columns == {"steps": "bytes list", "user": "bytes"}
    assert [len(run.shards) for run in runs] == [1, 1, 6]
    assert runs[0].digest == runs[1].digest == runs[2].digest
    assert runs[2].to_arrow("train").equals(runs[0].to_arrow("train"))


def test_an_object_that_changed_is_one_message(s3, given, tmp_path):
    WRITTEN["a.csv"](tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_bytes()
    s3.put_object(Bucket=s3.bucket, Key="a.csv", Body=text)
    cut = given(f"s3://{s3.bucket}/a.csv", len(text))
    sources = start.resolve(cut)
    other = text.replace(b"\n29999,", b"\n19999,")
    s3.put_object(Bucket=s3.bucket, Key="a.csv", Body=other)
    with pytest.raises(MfxError, match=r"^s3://.*/a\.csv: changed since this run began"):
        ingest(sources.shards[-1], sources, cut)
    s3.put_object(Bucket=s3.bucket, Key="a.csv", Body=text + b"1,2,c\n")
    with pytest.raises(MfxError, match=r"^s3://.*/a\.csv: changed while it was read"):
        ingest(sources.shards[2], sources, cut)
    s3.delete_object(Bucket=s3.bucket, Key="a.csv")
    with pytest.raises(MfxError, match=r"^s3://.*/a\.csv: no such object"):
        ingest(sources.shards[2], sources, cut)


def test_a_server_without_ranges_is_read_whole(request, given, tmp_path, monkeypatch):
    box = BOXES["http"](request)
    WRITTEN["a.jsonl"](tmp_path / "a.jsonl")
    box.put("a.jsonl", (tmp_path / "a.jsonl").read_bytes())
    monkeypatch.setattr(WebStorage, "gives_ranges", lambda self, key: False)
    cut = given(f"{box.place}/a.jsonl", (tmp_path / "a.jsonl").stat().st_size)
    assert len(start.resolve(cut).shards) == 1


def test_what_a_part_takes_is_told(tmp_path):
    """A header of many blocks and a delimiter that is found late."""
    from mfx.config import Reading
    from mfx.ingest.sources import csv, parquet

    names = [f"{'c' * 1000}{n}" for n in range(200)]
    (tmp_path / "a.csv").write_text(";".join(names) + "\n" + (";".join("1" * 200) + "\n") * 9000)
    head, tail = csv.around(tmp_path / "a.csv", Reading())
    assert head > len(";".join(names)) + 2**16 and tail == 0
    content = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "b.csv").write_bytes(content[:head] + bytes(len(content) - head))
    assert csv.header(tmp_path / "b.csv", Reading()) == names
    WRITTEN["a.parquet"](tmp_path / "a.parquet")
    head, tail = parquet.around(tmp_path / "a.parquet", Reading())
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(bytes(len(content) - tail) + content[-tail:])
    assert parquet.header(tmp_path / "b.parquet", Reading()) == ["n", "x", "w"]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Part(0, 10, 0, head=4), [(0, 10)]),
        (Part(10, 20, 0), [(10, 20)]),
        (Part(10, 20, 0, head=4, tail=5), [(0, 4), (10, 20), (95, 100)]),
        (Part(10, 20, 0, head=12, tail=85), [(0, 100)]),
        (Part(90, 100, 0, head=4, tail=500), [(0, 100)]),
        (Part(80, 100, 0, head=4, tail=10), [(0, 4), (80, 100)]),
    ],
)
def test_ranges_of_a_part(part, expected):
    assert part.ranges(100) == expected
