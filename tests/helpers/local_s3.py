"""S3 for the tests: moto's server, or any other that MFX_TEST_S3 names (http://localhost:9000), its
keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

GIVEN = "MFX_TEST_S3"


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """A server's environment: the variables by which boto3 reaches it, and it alone.

    Buckets made meanwhile are gone at the end, those that were there are left alone.
    """
    if GIVEN not in os.environ:
        with _moto() as url:
            yield _environment(url, "test", "test")
        return
    keys = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    given = _environment(os.environ[GIVEN], *keys)
    there = _buckets(client(given))
    try:
        yield given
    finally:
        _clear(client(given), there)


def client(given: Mapping[str, str]) -> Any:
    """boto3's, whatever the environment says now."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=given["AWS_ENDPOINT_URL"],
        region_name=given["AWS_DEFAULT_REGION"],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
    )


@contextmanager
def _moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _environment(url: str, key: str, secret: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _buckets(s3: Any) -> set[str]:
    return {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def _clear(s3: Any, but: set[str]) -> None:
    for bucket in _buckets(s3) - but:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=found["Key"])
        s3.delete_bucket(Bucket=bucket)
