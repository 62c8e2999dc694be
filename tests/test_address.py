"""Addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfx.errors import MfxError
from mfx.storage import address


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
        ("gs://bucket/models", ""),
        ("gs:/bucket/models", ""),
        ("https://host/models", ""),
        ("hdfs://host/models", ""),
        ("unknown:/models", ""),
        ("/folder/s3://bucket", ""),
    ],
)
def test_what_only_looks_like_an_address_is_refused(text, meant):
    said = address.fault(text)
    expected = f"{text}: expected a folder or s3://bucket/prefix"
    assert said == expected + (f"; did you mean {meant}?" if meant else "")
    assert address.is_url(text), "and so is no folder"
    assert meant == "" or address.fault(meant) == ""
    with pytest.raises(MfxError, match="expected a folder"):
        address.check(text)


@pytest.mark.parametrize("text", ["s3://", "s3:///models", "s3://two words/x", "s3://-b/x"])
def test_s3_without_a_buckets_name_is_refused(text):
    assert "expected a folder or s3://bucket/prefix, found" in address.fault(text)


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_what_is_no_path_at_all_is_refused(text):
    assert address.fault(text) == f"expected a folder or s3://bucket/prefix, found {text!r}"


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
        "s3://a.b-c/d//e",
    ],
)
def test_paths_and_s3_are_taken_as_they_are(text):
    assert address.fault(text) == ""
    assert address.check(text) == text


@given(st.text())
def test_every_text_is_a_path_or_s3_or_refused(text):
    if address.fault(text):
        return
    assert not address.is_url(text) or text.startswith("s3://")


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
    ("text", "bucket", "key", "prefix"),
    [
        ("s3://bucket", "bucket", "", ""),
        ("s3://bucket/", "bucket", "", ""),
        ("s3://bucket/a/b.csv", "bucket", "a/b.csv", "a/b.csv/"),
        ("s3://bucket/a/b/", "bucket", "a/b/", "a/b/"),
        ("s3://bucket//a", "bucket", "/a", "a/"),
        ("s3://arn:aws:s3:eu:1:accesspoint/x", "arn:aws:s3:eu:1:accesspoint", "x", "x/"),
    ],
)
def test_an_address_on_s3_is_a_bucket_and_a_key(text, bucket, key, prefix):
    there = address.on_s3(text)
    assert (there.bucket, there.key, there.prefix) == (bucket, key, prefix)
    assert str(there) == (text if key else f"s3://{bucket}")
    assert str(there.at("other")) == f"s3://{bucket}/other"


@pytest.mark.parametrize("text", ["models", "/models", "gs://bucket/models", "s3:/bucket", ""])
def test_what_is_not_on_s3(text):
    assert address.on_s3(text) is None


@pytest.mark.parametrize(
    ("text", "same"),
    [("/a", True), ("s3://b/a", True), ("gs://b", True), ("a", False), ("./a", False)],
)
def test_what_means_the_same_from_any_folder(text, same):
    assert address.is_absolute(text) == same
