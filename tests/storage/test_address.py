"""Addresses as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfx.errors import MfxError
from mfx.storage import address

FOLDER = "a folder, s3://bucket/prefix, gs://… or az://…"
FILE = "a path on disk, s3://bucket/key, gs://…, az://…, https://… or http://…"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("s3:/bucket/models", "s3://bucket/models"),
        ("s3:bucket/models", "s3://bucket/models"),
        ("s3//bucket/models", "s3://bucket/models"),
        ("S3://bucket/models", "s3://bucket/models"),
        ("s3a://bucket/models", "s3://bucket/models"),
        (" s3://bucket/models", "s3://bucket/models"),
        ("arn:aws:s3:::bucket/models", "s3://bucket/models"),
        ("https://bucket.s3.amazonaws.com/models", "s3://bucket/models"),
        ("https://bucket.s3.eu-west-1.amazonaws.com/models/", "s3://bucket/models"),
        ("https://s3.eu-west-1.amazonaws.com/bucket/models", "s3://bucket/models"),
        ("bucket.s3.amazonaws.com/models", "s3://bucket/models"),
        ("file:///models", "/models"),
        ("file:/models", "/models"),
        ("gs:/bucket/models", "gs://bucket/models"),
        ("gs//bucket/models", "gs://bucket/models"),
        ("gcs://bucket/models", "gs://bucket/models"),
        ("https://storage.googleapis.com/bucket/models/", "gs://bucket/models"),
        ("az:/container/models", "az://container/models"),
        ("AZ://container/models", "az://container/models"),
        ("azure://container/models", "az://container/models"),
        ("https://account.blob.core.windows.net/container/a", "az://container/a"),
        ("https://host/models", ""),
        ("hdfs://host/models", ""),
        ("unknown:/models", ""),
        ("/folder/s3://bucket", ""),
    ],
)
def test_what_only_looks_like_an_address_is_refused(text, meant):
    said = address.fault(text)
    expected = f"{text}: expected {FOLDER}"
    assert said == expected + (f"; did you mean {meant}?" if meant else "")
    assert address.is_url(text), "and so is no folder"
    assert meant == "" or address.fault(meant) == ""
    with pytest.raises(MfxError, match="expected a folder"):
        address.check(text)


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
@pytest.mark.parametrize("rest", ["", "/models", "two words/x", "-b/x"])
def test_a_bucket_without_a_name_is_refused(scheme, rest):
    assert f"expected {FOLDER}, found" in address.fault(f"{scheme}://{rest}")


@pytest.mark.parametrize(
    "text",
    [
        "http://host",
        "https://host:8443/a/b.csv?x=1&y=a b",
        "http://[::1]:80/a.csv",
        "http://1.2.3.4/",
    ],
)
def test_a_file_may_lie_on_the_web(text):
    assert address.fault(text, address.FILES) == ""
    assert "expected a folder" in address.fault(text)


@pytest.mark.parametrize("text", ["https://", "https:///a.csv", "https://two words/a.csv"])
def test_a_web_server_has_a_name(text):
    assert f"expected {FILE}, found" in address.fault(text, address.FILES)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    said = address.fault("https://ada:hush@host/a.csv", address.FILES)
    assert "hush" not in said and "ada" not in said
    assert said.startswith("https://…@host: ") and "~/.netrc" in said


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_what_is_no_path_at_all_is_refused(text):
    assert address.fault(text) == f"expected {FOLDER}, found {text!r}"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "pushed",
            "../pushed",
            "/srv/models",
            "./s3:/kept",
            "bucket/models",
            "a:b/c",
            "C:/models",
        ),
        *("//srv/models", "s3", "day 1/x.csv", "s3://bucket", "s3://bucket/"),
        *("s3://a.b-c/d//e", "gs://bucket/models", "az://container/models"),
    ],
)
def test_paths_and_buckets_are_taken_as_they_are(text):
    assert address.fault(text) == ""
    assert address.check(text) == text


@given(st.text())
def test_every_text_is_a_path_or_a_bucket_or_refused(text):
    if address.fault(text):
        return
    assert not address.is_url(text) or text.startswith(("s3://", "gs://", "az://"))


def test_only_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert address.absolute("pushed") == str(tmp_path / "pushed")
    for text in ("s3://b/x", "s3:/b/x", "gs://b/x"):
        assert address.absolute(text) == text


@pytest.mark.parametrize("text", ["/mnt/all", "s3://bucket/tmp", "gs://bucket/tmp", "hdfs://h/tmp"])
def test_beam_workers_may_see_any_storage(text):
    assert address.worker_folder_fault(text) == ""


@pytest.mark.parametrize("text", ["tmp", "s3:/bucket", "S3://bucket", "s3://", ""])
def test_but_it_must_be_one(text):
    assert "expected an absolute path or a URL" in address.worker_folder_fault(text)


@pytest.mark.parametrize(
    ("text", "bucket", "key", "prefix", "name"),
    [
        ("s3://bucket", "bucket", "", "", ""),
        ("gs://bucket/", "bucket", "", "", ""),
        ("az://bucket/a/b.csv", "bucket", "a/b.csv", "a/b.csv/", "b.csv"),
        ("s3://bucket/a/b/", "bucket", "a/b/", "a/b/", ""),
        ("s3://bucket//a", "bucket", "/a", "a/", "a"),
        ("s3://b/a?b.csv", "b", "a?b.csv", "a?b.csv/", "a?b.csv"),
        ("s3://arn:aws:s3:eu:1:accesspoint/x", "arn:aws:s3:eu:1:accesspoint", "x", "x/", "x"),
        ("https://h:1/a/b%20c.csv?v=/2", "h:1", "a/b%20c.csv?v=/2", "a/b%20c.csv?v=/2/", "b c.csv"),
    ],
)
def test_an_address_is_a_bucket_and_a_key(text, bucket, key, prefix, name):
    there = address.parse(text)
    assert (there.bucket, there.key, there.prefix, there.name) == (bucket, key, prefix, name)
    assert str(there) == (text if key else f"{there.scheme}://{bucket}")
    assert str(there.at("other")) == f"{there.scheme}://{bucket}/other"


@pytest.mark.parametrize("text", ["models", "/models", "C:/models", "s3:/bucket", "/a/s3://b", ""])
def test_what_is_in_no_bucket(text):
    assert address.parse(text) is None


def test_a_folder_on_disk_is_one():
    assert str(address.on_disk(Path("/srv/models")).at("a/b")) == "/srv/models/a/b"


@pytest.mark.parametrize(
    ("text", "same"),
    [("/a", True), ("s3://b/a", True), ("gs://b", True), ("a", False), ("./a", False)],
)
def test_what_means_the_same_from_any_folder(text, same):
    assert address.is_absolute(text) == same
