"""A Celery pipeline that trusts the fleet's signature, not every client that can write to the broker.

    export BROKER_URL=redis://127.0.0.1:6379/0 WEBHOOK_PUBLIC_KEYS=whpk_… DATABASE=decisions.sqlite
    celery -A pipeline worker -Q onboarding -n pipeline@%h

It needs the packages `celery`, `redis`, `cryptography` and `ekyc-worker`.
"""

import json
import os
import sqlite3

from celery import Celery
from celery.exceptions import Reject
from celery.utils.log import get_task_logger

from worker.client import verify
from worker.errors import SignatureRefused

KEYS = os.environ["WEBHOOK_PUBLIC_KEYS"]
DATABASE = os.environ.get("DATABASE", "decisions.sqlite")

log = get_task_logger(__name__)
app = Celery("onboarding", broker=os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(task_ignore_result=True, task_acks_late=True, task_reject_on_worker_lost=True)


def connect():
    database = sqlite3.connect(DATABASE, timeout=30)
    database.execute(
        "CREATE TABLE IF NOT EXISTS decisions (id TEXT PRIMARY KEY, decision TEXT, context TEXT)"
    )
    return database


def receive(self, decision):
    try:
        message_id = verify(self, decision, keys=KEYS)
    except SignatureRefused as error:
        log.error("refused a decision: %s", error.reason)  # noqa: TRY400 - the reason says it all
        raise Reject(error.reason, requeue=False) from None
    database = connect()
    with database:  # one transaction: the id and what follows from it, or neither
        new = database.execute(
            "INSERT OR IGNORE INTO decisions VALUES (?, ?, ?)",
            (message_id, decision["decision"], json.dumps(decision["context"])),
        ).rowcount
        if new:
            pass  # apply the decision here, in the same transaction
    database.close()
    log.info("decision %s: %s", message_id, "new" if new else "known")


for name in ("approve", "reject", "recapture", "unsupported", "abandoned", "review"):
    app.task(receive, bind=True, name=f"onboarding.{name}")
