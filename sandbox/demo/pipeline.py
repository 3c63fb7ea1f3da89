"""An onboarding pipeline that uses none of our code: only a queue, the names of tasks and a decision's fields.

    celery -A sandbox.demo.pipeline worker -Q onboarding

`BROKER_URL` is the broker of the decisions. The pipeline writes the decisions that it receives to `ONBOARDING_FILE`,
one JSON object a line. `ONBOARDING_DECISIONS` lists the decisions' names, separated by commas, for a decision table of
your own.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Celery

app = Celery("onboarding", broker=os.environ.get("BROKER_URL"))
app.conf.update(accept_content=["json"], task_ignore_result=True, broker_connection_retry_on_startup=True)

DECISIONS = os.environ.get("ONBOARDING_DECISIONS", "approve,reject,recapture,unsupported,abandoned,review")


def receive(task: Any, decision: dict[str, Any]) -> None:
    """Write the decision to the file. A real pipeline would open an account, or ask for a better photo."""
    line = {"received_at_ms": round(time.time() * 1000), "task": task.name, "decision": decision}
    descriptor = os.open(os.environ["ONBOARDING_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # One write, so that the lines of two threads do not mix.
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


for name in DECISIONS.split(","):
    app.task(bind=True, name=f"onboarding.{name}")(receive)
