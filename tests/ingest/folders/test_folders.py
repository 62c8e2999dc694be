"""Folders of images and of texts as data: found, cut into shards, read once, misfits kept aside."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.images import FORMATS, encoded
from helpers.ingesting import ingested, settings_in

from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest.folders import members, reading
from mfx.storage.reading import Reader

MARK = b"\xef\xbb\xbf"


@pytest.fixture
def given(tmp_path, settings, datastore):
    """Settings of a folder; a value is what stands in the config."""

    def make(key="images", folder="photos", **changes):
        return settings_in(tmp_path, settings, **{key: folder, **changes})

    return make


def rows(examples) -> list[dict]:
    """All rows, by path."""
    parts = [examples.to_arrow(split) for split in examples.rows]
    return sorted(pa.concat_tables(parts).to_pylist(), key=lambda row: row["path"])


def write(folder, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


CATS = {
    f"{'cats' if n % 2 else 'dogs'}/{n}.{kind[:3].lower()}": FORMATS[kind]
    for n, kind in enumerate([*FORMATS] * 4)
}
LABELS = {name: name.split("/")[0].encode() for name in CATS}


@pytest.fixture
def photos(tmp_path):
    junk = {".DS_Store": b"", "cats/Thumbs.db": b"", ".git/x.png": b"", "__MACOSX/a.png": b""}
    write(tmp_path / "photos", CATS | junk)
    return tmp_path / "photos"


def test_a_folders_images_are_rows(given, photos):
    made = ingested(given())
    expected = [
        {"image": data, "path": name.encode(), "label": LABELS[name]}
        for name, data in sorted(CATS.items())
    ]
    assert rows(made) == expected
    assert made.columns == dict.fromkeys(("image", "path", "label"), "bytes")
    assert made.rows_in == sum(made.rows.values()) == len(CATS)


def test_how_it_is_cut_into_shards_does_not_show(given, photos, monkeypatch):
    whole = ingested(given())
    settings = given(shard_mb=0.005)
    resolved = start.resolve(settings)
    assert len(resolved.shards) > 3
    paths = [file.path for shard in resolved.shards for file in shard.files]
    assert paths == [f"photos/{name}" for name in sorted(CATS)]  # Each by exactly one task.
    assert ingested(settings, resolved).digest == whole.digest
    monkeypatch.setattr(reading, "BATCH_BYTES", 3000)
    monkeypatch.setattr(reading, "_AHEAD", 2000)
    monkeypatch.setattr(reading, "_TOGETHER_BYTES", 5000)
    assert ingested(given()).digest == whole.digest


def test_a_shards_identity_is_its_files_names_and_bytes(given, photos):
    def sha256():
        (shard,) = start.resolve(given()).shards
        return shard.sha256

    before = sha256()
    (photos / "cats/1.pro").rename(photos / "cats/one")
    renamed = sha256()
    (photos / "cats/one").rename(photos / "dogs/1.pro")
    assert len({before, renamed, sha256()}) == 3
    (photos / "dogs/1.pro").rename(photos / "cats/1.pro")
    assert sha256() == before
    (photos / "cats/1.pro").write_bytes(encoded("PNG", 9))
    assert sha256() != before


@pytest.mark.parametrize("tolerate", [3, 0.2])
def test_what_is_no_image_is_counted_and_kept_aside(given, photos, tolerate):
    bad = {"cats/0.txt": b"a text", "dogs/a.png": FORMATS["PNG"][:99], "dogs/w": encoded("WEBP")}
    write(photos, bad)
    made = ingested(given(tolerate=tolerate))
    assert (made.rows_in, sum(made.rows.values())) == (len(CATS) + 3, len(CATS))
    assert dict(made.misfits) == {
        "no image": 1,
        "PNG that is cut off": 1,
        "WebP, which tf.io.decode_image does not decode": 1,
    }
    found = made.rejected_rows().to_pylist()
    assert {row["source"]: row["raw"] for row in found} == {
        f"photos/{name}": data for name, data in bad.items()
    }
    assert {(row["unit"], row["number"]) for row in found} == {("file", 1)}


def test_one_that_is_not_tolerated_is_one_message(given, photos):
    write(photos, {"cats/a.png": FORMATS["PNG"][:99]})
    with pytest.raises(MfxError, match=r"photos/cats/a\.png: PNG that is cut off") as caught:
        ingested(given())
    assert "tolerate" in caught.value.remedy and "JPEG, PNG, GIF or BMP" in caught.value.remedy
    write(photos, {"cats/b.png": b"", "cats/c.png": b""})
    with pytest.raises(MfxError, match=r"3 rows so far do not fit, and tolerate .* is 2"):
        ingested(given(tolerate=2))


def test_texts_are_rows_without_the_mark_of_editors(given, tmp_path):
    texts = {f"good/{n}.txt": f"größe {n}".encode() for n in range(20)}
    bad = {"bad/1.txt": "größe".encode("latin1"), "bad/2.txt": "größe".encode("utf-16")}
    write(tmp_path / "reviews", texts | bad | {"good/mark": MARK + b"x", "good/none": b""})
    made = ingested(given("texts", "reviews", tolerate=2))
    assert [row["text"] for row in rows(made)] == [
        *(texts[name] for name in sorted(texts)),
        b"x",
        b"",
    ]
    assert dict(made.misfits) == {"not UTF-8": 1, "not UTF-8 but UTF-16 text": 1}
    assert made.columns == dict.fromkeys(("text", "path", "label"), "bytes")


TABLE = "file,breed,kg\n" + "".join(
    f"{'./' * (n % 2)}{name},breed {n % 3},{n / 4 if n else ''}\n"
    for n, name in enumerate(sorted(CATS))
)


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_table_names_the_images(given, photos, tmp_path, end):
    write(tmp_path / "photos", {"not named.png": b"?"})
    (tmp_path / "labels.csv").write_text(TABLE)
    if end == "parquet":
        import pyarrow.csv

        pq.write_table(pyarrow.csv.read_csv(tmp_path / "labels.csv"), tmp_path / "labels.parquet")
    made = ingested(given(folder={"path": "photos", "table": f"labels.{end}", "column": "file"}))
    assert list(made.columns) == ["image", "file", "breed", "kg"]
    assert made.columns["kg"] == "float32"
    read = pa.concat_tables([made.to_arrow(split) for split in made.rows]).to_pylist()
    assert len(read) == len(CATS)
    for row in read:
        name = row["file"].decode().removeprefix("./")
        n = sorted(CATS).index(name)
        assert row["image"] == CATS[name]
        assert (row["breed"], row["kg"]) == (f"breed {n % 3}".encode(), n / 4 if n else None)
    assert made.missing == ((("kg", "", 1),) if end == "csv" else ())


def test_rows_of_a_table_that_do_not_fit_are_kept_aside(given, photos, tmp_path):
    text = TABLE + "cats/gone.png,breed 1,2\ncats/1.pro,too,many,cells\n"
    (tmp_path / "labels.csv").write_text(text)
    folder = {"path": "photos", "table": "labels.csv", "column": "file"}
    made = ingested(given(folder=folder, tolerate=2))
    assert made.rows_in == sum(made.rows.values()) + 2 == len(CATS) + 2
    one, other = sorted(made.rejected_rows().to_pylist(), key=lambda row: row["number"])
    assert json.loads(one["raw"]) == {"file": "cats/gone.png", "breed": "breed 1", "kg": 2.0}
    assert one["reason"] == "no such file in the folder"
    assert (other["raw"], other["unit"]) == (b"cats/1.pro,too,many,cells", "line")
    with pytest.raises(MfxError, match=r"labels\.csv"):
        start.resolve(given(folder=folder))


@pytest.mark.parametrize(
    ("files", "folder", "said"),
    [
        ({}, "gone", "gone: no such folder"),
        ({".hidden/a.png": b"", "Thumbs.db": b""}, "photos", "photos: no file in it"),
        ({"a.png": b"", "b.png": b""}, "photos", "such as a.png, lie in no folder of their class"),
        ({"a.png": b"", "cats/b.png": b""}, "photos", "a.png lies beside a folder that has files"),
        ({"x/a": b"", "x/y/z/b": b""}, "photos", "x/a lies beside a folder that has files too"),
        ({"x/a": b""}, {"path": "photos", "table": "gone.csv"}, "gone.csv: no such file"),
        ({"x/a": b""}, {"path": "photos", "table": "u.csv"}, "no column 'path', which names the"),
        (
            {"x/a": b""},
            {"path": "photos", "table": "t.csv", "column": "image"},
            "has a column 'image', which is the name",
        ),
        (
            {"x/a": b""},
            {"path": "photos", "table": "u.csv", "column": "n"},
            "column 'n' has int64, not the paths of files",
        ),
        (
            {"x/a": b""},
            {"path": "photos", "table": "u.csv", "column": "file"},
            "row 1: 'x/b': no such file in the folder",
        ),
        ({"x/a": b""}, "https://host/photos", "a web server does not list a folder"),
    ],
)
def test_a_folder_that_does_not_do_is_one_message(given, tmp_path, files, folder, said):
    (tmp_path / "t.csv").write_text("image,label\nx/a,1\n")
    (tmp_path / "u.csv").write_text("n,file\n1,x/b\n")
    write(tmp_path / "photos", files)
    with pytest.raises(MfxError) as caught:
        start.resolve(given(folder=folder))
    assert said in caught.value.what and caught.value.remedy


def test_links_are_followed_but_not_in_circles(given, photos):
    (photos / "cats/again").symlink_to(photos / "cats/1.pro")
    assert ingested(given()).rows_in == len(CATS) + 1
    (photos / "birds").symlink_to(photos)
    with pytest.raises(MfxError, match=r"photos/birds/: a link that leads back to"):
        start.resolve(given())


@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_file_that_changes_meanwhile_stops_the_run(given, photos, change):
    settings = given(tolerate=0.9)
    resolved = start.resolve(settings)
    file = photos / "cats/1.pro"
    file.unlink() if change == "gone" else file.write_bytes(encoded("PNG", 7))
    with pytest.raises(MfxError, match=r"photos/cats/1\.pro: changed since this run began"):
        ingested(settings, resolved)


def test_the_schema_may_not_make_numbers_of_files(given, photos, tmp_path):
    (tmp_path / "schema.pbtxt").write_text('feature { name: "label" type: INT }')
    settings = given().override(schema__path=str(tmp_path / "schema.pbtxt"))
    with pytest.raises(MfxError, match=r"column 'label' has the bytes of files"):
        start.resolve(settings)


def test_choices_for_tables_need_a_table(given, photos):
    with pytest.raises(MfxError, match=r"data\.trim: means nothing beside data\.images"):
        start.resolve(given(trim=True))


def test_the_command_line_gives_another_folder(given):
    changed = given(folder={"path": "photos", "table": "t.csv"}).override(data__path="others")
    assert (changed.data.path, changed.data.images.path) == (None, "others")
    assert changed.data.images.table == "t.csv"
    with pytest.raises(MfxError, match=r"data\.images\.path: expected text"):
        given().override(data__path=["a", "b"])


def test_one_place_must_be_named(given):
    with pytest.raises(ValueError, match="found images and texts"):
        given(texts="reviews")
    with pytest.raises(ValueError, match="expected a table beside column"):
        given(folder={"path": "photos", "column": "file"})


@pytest.fixture
def stored(box, photos):
    if box.place.scheme in ("http", "https", ""):
        pytest.skip("lists nothing, or is a disk")
    for name, content in CATS.items():
        box.put(f"data/photos/{name}", content)
    box.put("data/photos/.DS_Store", b"")
    return box


def test_a_storages_objects_are_read_once_in_ingest(stored, given, photos, monkeypatch):
    expected = ingested(given()).digest
    read = []
    before = Reader._read_range
    monkeypatch.setattr(
        Reader, "_read_range", lambda self, key, *args: read.append(key) or before(self, key, *args)
    )
    monkeypatch.setattr(Reader, "_read_through", None)
    settings = given(folder=f"{stored.place}/data/photos", shard_mb=0.005)
    resolved = start.resolve(settings)
    assert not read and len(resolved.shards) > 3
    assert ingested(settings, resolved).digest == expected
    assert sorted(read) == [f"data/photos/{name}" for name in sorted(CATS)]


def test_an_object_that_changes_meanwhile_stops_the_run(stored, given):
    settings = given(folder=f"{stored.place}/data/photos")
    resolved = start.resolve(settings)
    stored.put("data/photos/cats/1.pro", encoded("PNG", 7))
    with pytest.raises(MfxError, match=r"data/photos/cats/1\.pro: changed"):
        ingested(settings, resolved)


def test_ten_thousand_files_are_read_in_tasks_of_the_target_size(given, tmp_path):
    (tmp_path / "photos/a").mkdir(parents=True)
    for n in range(10_000):
        data = encoded("JPEG", n % 50, 16) if n % 100 else b"\xff\xd8\xffno"
        (tmp_path / f"photos/a/{n}.jpg").write_bytes(data)
    settings = given(shard_mb=1, tolerate=100)
    resolved = start.resolve(settings)
    sizes = [shard.size / 2**20 for shard in resolved.shards]
    assert len(sizes) > 2 and max(sizes) < 5
    made = ingested(settings, resolved)
    assert (made.rows_in, dict(made.misfits)) == (10_000, {"JPEG that is damaged": 100})
    assert made.rejected_rows().num_rows == 100


def test_hashes_on_disk_are_of_the_bytes(given, photos):
    found = members.identified(members.find(given(), "images", "photos"), given().resolve)
    assert [(m.sha256, m.size) for m in found] == [
        (hashlib.sha256(CATS[m.below]).hexdigest(), len(CATS[m.below])) for m in found
    ]
