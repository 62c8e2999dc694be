"""A pushed model is announced on the webhook; a run never fails by it, and no URL is shown."""

from __future__ import annotations

import json
import socket
import time

import pytest

from mfx.artifacts import PushedModel, Replay
from mfx.artifacts.lineage import Lineage
from mfx.config import Deploy
from mfx.deploy import notify

LINEAGE = Lineage("d", "c", "f")
PUSHED = PushedModel("s3://b/taxi/7", 7, "blessed and valid", Replay(1, 0.0, 0.1), LINEAGE)
REFUSED = PushedModel("", None, "not blessed", Replay(1, 0.0, 0.1), LINEAGE)
METRICS = {"auc": 0.945612, "example_count": 4931, "recall": None}
DEPLOY = Deploy(webhook_variable="HOOK")


def announce(url, model=PUSHED, deploy=DEPLOY):
    said: list[str] = []
    values = {} if url is None else {"HOOK": url}
    notify.pushed(model, METRICS, deploy, "Pipeline/12", said.append, values)
    return said


def test_a_pushed_model_is_announced_with_its_metrics(webhook):
    assert announce(webhook.url) == []
    (body,) = webhook.bodies
    assert json.loads(body) == {
        "text": "Pipeline/12: new model at s3://b/taxi/7 (auc 0.9456, example_count 4,931)"
    }


@pytest.mark.parametrize(
    ("model", "deploy"),
    [
        (REFUSED, DEPLOY),
        (PUSHED, Deploy()),
        (PUSHED, Deploy(webhook_variable="HOOK", notify=["failure"])),
    ],
)
def test_nothing_is_said_unasked(webhook, model, deploy):
    assert announce(webhook.url, model, deploy) == []
    assert webhook.bodies == []


def test_a_refusal_is_reported(webhook):
    webhook.status = 403
    assert announce(webhook.url) == ["notification not sent: the webhook answered 403"]


def test_a_variable_that_is_not_set_is_named():
    assert announce(None) == ["notification not sent: HOOK is not set"]


@pytest.mark.parametrize(
    "url",
    ["hooks.example.com/hush", "file:///etc/hush", "http://127.0.0.1:9/hush", "http://[hush/"],
)
def test_a_bad_url_is_reported_without_being_shown(url):
    (said,) = announce(url)
    assert said.startswith("notification not sent: the webhook")
    assert "hush" not in said


def test_a_webhook_that_does_not_answer_costs_its_timeout(monkeypatch):
    monkeypatch.setattr(notify, "TIMEOUT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begin = time.perf_counter()
        (said,) = announce(f"http://127.0.0.1:{silent.getsockname()[1]}/hush")
    assert time.perf_counter() - begin < 5
    assert "TimeoutError" in said


def test_a_trial_announces_nothing(webhook, monkeypatch):
    monkeypatch.setattr(notify.trial, "is_trial", lambda: True)
    assert announce(webhook.url) == ["notification not sent: spin announces nothing"]
    assert webhook.bodies == []
