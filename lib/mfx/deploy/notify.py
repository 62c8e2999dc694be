"""Send a message to a webhook when a new model is in production."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any

from mfx.artifacts import PushedModel, trial
from mfx.config import Deploy
from mfx.figures import metric

TIMEOUT_SECONDS = 10


def pushed(
    model: PushedModel,
    metrics: Mapping[str, Any],
    deploy: Deploy,
    run: str,
    report: Callable[[str], object],
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Announce a pushed model if `[deploy]` names a webhook. A run never fails because of this.

    Args:
        model: The result of `push`. Nothing is sent for a model that was not pushed.
        metrics: The model's metrics on the whole split that it was judged on.
        deploy: Says which variable has the webhook's URL, and what is announced.
        run: The run's pathspec, such as `Pipeline/12`.
        report: Called with one line if the announcement was not sent. The line never has the URL,
            which is a secret.
        environment: Where the variable is looked up.
    """
    if not (deploy.webhook_variable and "pushed" in deploy.notify and model.pushed):
        return
    if trial.is_trial():
        report("notification not sent: spin announces nothing")
        return
    url = environment.get(deploy.webhook_variable)
    if not url:
        report(f"notification not sent: {deploy.webhook_variable} is not set")
        return
    shown = ", ".join(f"{n} {metric(v)}" for n, v in metrics.items() if isinstance(v, int | float))
    if fault := post(url, f"{run}: new model at {model.path} ({shown})"):
        report(f"notification not sent: {fault}")


def post(url: str, text: str) -> str:
    """POST `{"text": …}`, the form of Slack's and most other incoming webhooks.

    Returns:
        What went wrong, without the URL; or ''.
    """
    if not url.startswith(("https://", "http://")):
        return "the webhook's URL does not begin with https:// or http://"
    try:
        request = urllib.request.Request(
            url,
            data=json.dumps({"text": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"the webhook answered {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None)
        shown = reason if isinstance(reason, OSError) else error
        return f"the webhook cannot be reached: {type(shown).__name__}"
