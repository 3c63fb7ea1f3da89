"""An onboarding pipeline as a stranger would write it: it knows a queue, the names of tasks and a decision's fields.

    celery -A sandbox.demo.pipeline worker -Q onboarding

`BROKER_URL` is where decisions come from. It writes what it received to `ONBOARDING_FILE`, one JSON object a line.
A table of decisions may have names of its own: `ONBOARDING_DECISIONS` lists them, with commas in between.
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
    """A real pipeline would open an account, or ask for a better photo. This one writes down what it received."""
    line = {"received_at_ms": round(time.time() * 1000), "task": task.name, "decision": decision}
    descriptor = os.open(os.environ["ONBOARDING_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # In one piece, so that the lines of two threads do not mix.
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


for name in DECISIONS.split(","):
    app.task(bind=True, name=f"onboarding.{name}")(receive)
