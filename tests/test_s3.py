"""The flow on S3: the same hashes as on disk, also when S3 fails now and then; one error when it is
gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chaos
import pytest
from faulty_proxy import FaultyProxy, running


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with chaos.storage("s3", tmp_path_factory.mktemp("s3")) as place:
        yield place


def through(place: chaos.Storage, url: str) -> chaos.Storage:
    """The same storage behind a proxy."""
    endpoints = {"METAFLOW_S3_ENDPOINT_URL": url, "AWS_ENDPOINT_URL": url}
    return replace(place, environment={**place.environment, **endpoints})


def host(place: chaos.Storage) -> str:
    return place.environment["AWS_ENDPOINT_URL"].removeprefix("http://")


def test_one_request_in_a_hundred_may_fail(flow_run, s3):
    proxy = FaultyProxy(host(s3), share=0.01)
    with running(proxy) as url:
        run, _ = chaos.unbroken(through(s3, url), "s3://chaos/pushed")
    assert sum(proxy.counts[kind] for kind in proxy.kinds) > 0, proxy.counts
    local = chaos.Storage("local", _environment(flow_run.store), str(flow_run.store))
    assert chaos.digests(s3, run) == chaos.digests(local, flow_run.run_id)


def _environment(store: Path) -> dict[str, str]:
    import os

    return {**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(store)}
