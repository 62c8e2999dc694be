"""Metaflow's own S3 requests: given up in the stated time, with one error that says what to do."""

from __future__ import annotations

import os
import re
import time

import pytest
from helpers.faulty_proxy import DENIED, FaultyProxy, running

from mfx.artifacts import metaflow_s3
from mfx.storage import retries, s3


@pytest.fixture
def patient(monkeypatch):
    metaflow_s3.limit_time()
    monkeypatch.setenv(retries.PATIENCE, "1")
    monkeypatch.setattr(metaflow_s3._Gone, "until", 0.0)
    # A process without a run: nothing was started.
    monkeypatch.setattr("sys.argv", ["pipeline.py", "run"])


@pytest.fixture
def proxy(server, monkeypatch, patient):
    """A proxy that lets all through until told otherwise."""
    import boto3
    from metaflow.plugins.datatools.s3 import s3util

    boto3.client("s3").create_bucket(Bucket="given")
    # The number of tries inside boto, as `environment.set_defaults` sets it.
    retries = {"mode": "standard", "max_attempts": s3.RETRIES}
    monkeypatch.setitem(s3util.DATATOOLS_CLIENT_PARAMS, "config", {"retries": retries})
    proxy = FaultyProxy(os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"), 0.0, ["503"])
    with running(proxy) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield proxy


def client():
    from metaflow import S3

    return S3(s3root="s3://given/flow")


def test_nothing_changes_while_s3_answers(proxy):
    from metaflow.plugins.datatools.s3 import MetaflowS3NotFound

    with client() as found:
        found.put("a", b"1")
        found.put_many([(f"m/{number}", b"2") for number in range(12)])
        assert found.get("a").blob == b"1"
        assert len(found.get_many([f"m/{number}" for number in range(12)])) == 12
        assert not found.info("gone", return_missing=True).exists
        with pytest.raises(MetaflowS3NotFound):
            found.get("gone")


@pytest.mark.parametrize("many", [False, True])
def test_a_fault_that_passes_is_not_seen(many, proxy, monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, "30")
    proxy.share = 0.5
    with client() as found:
        for number in range(3):
            found.put_many([(f"{number}", b"x")]) if many else found.put(f"{number}", b"x")
    assert proxy.counts["503"] > 0


def test_s3_that_is_gone_is_not_asked_again_by_the_same_process(proxy):
    from metaflow.plugins.datatools.s3 import MetaflowS3Exception

    proxy.share = 1.0
    with client() as found:
        with pytest.raises(MetaflowS3Exception, match="does not answer, tried for") as first:
            found.put("a", b"1")
        asked, begin = proxy.counts["503"], time.monotonic()
        with pytest.raises(MetaflowS3Exception) as second:
            found.get("b")
        assert proxy.counts["503"] == asked and time.monotonic() - begin < 0.5
        assert second.value is first.value
        assert first.value.headline == "The pipeline stopped"
        assert "Nothing was started. Check METAFLOW_DATASTORE_SYSROOT_S3" in str(first.value)
        assert metaflow_s3.is_own_error(first.value) and not metaflow_s3.is_own_error(ValueError())
        proxy.share = 0.0
        time.sleep(1.1)  # As long as its patience. After that it may be back.
        found.put("a", b"1")


@pytest.mark.parametrize("operation", ["get_many", "list_paths"])
def test_many_at_a_time_give_up_too(operation, proxy, monkeypatch):
    from metaflow.plugins.datatools.s3 import MetaflowS3Exception

    # For listings. The separate process that lists reads it.
    monkeypatch.setenv("METAFLOW_S3_RETRY_COUNT", "0")
    monkeypatch.setenv("METAFLOW_S3_CLIENT_RETRY_CONFIG", '{"mode": "standard", "max_attempts": 1}')
    proxy.share = 1.0
    begin = time.monotonic()
    with client() as found, pytest.raises(MetaflowS3Exception) as caught:
        getattr(found, operation)(["a", "b"])
    assert "s3://given/flow: S3 at http://localhost:" in str(caught.value)
    reason = {"get_many": "again and again", "list_paths": "botocore.*SlowDown"}[operation]
    assert re.search(reason, str(caught.value))
    assert "Traceback" not in str(caught.value) and time.monotonic() - begin < 20


@pytest.mark.parametrize("many", [False, True])
def test_denied_access_names_address_and_settings(many, proxy):
    from metaflow.plugins.datatools.s3 import MetaflowS3AccessDenied

    proxy.share, proxy.kinds = 1.0, [DENIED]
    with client() as found, pytest.raises(MetaflowS3AccessDenied) as caught:
        found.get_many(["a"]) if many else found.get("a")
    assert "s3://given/flow" in str(caught.value) and "access denied" in str(caught.value)
    assert "METAFLOW_DATASTORE_SYSROOT_S3" in str(caught.value)


def test_missing_credentials_are_one_error_at_once(proxy, monkeypatch):
    from metaflow.plugins.datatools.s3 import MetaflowS3Exception

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with client() as found, pytest.raises(MetaflowS3Exception) as caught:
        found.get("a")
    assert "s3://given/flow/a: cannot send a request: " in str(caught.value)
    assert "redentials" in str(caught.value).splitlines()[0] and not proxy.counts


def test_what_to_do_depends_on_who_asks(patient, monkeypatch, tmp_path):
    from metaflow import current

    monkeypatch.setattr(current, "_run_id", "17", raising=False)
    assert metaflow_s3._remedy() == "When it is back: resume --origin-run-id 17"
    monkeypatch.setattr("sys.argv", ["pipeline.py", "step", "train"])
    assert metaflow_s3._remedy() == ""
    (tmp_path / ".mf_install").touch()
    monkeypatch.setattr("sys.argv", [str(tmp_path / "pipeline.py"), "step", "train"])
    assert "--from-run" in metaflow_s3._remedy()
