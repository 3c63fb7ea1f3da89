"""A receiver of webhooks with Flask and the reference library of Standard Webhooks, with a shared secret.

    export WEBHOOK_SECRET=whsec_… DATABASE=received.sqlite
    flask --app receiver run --port 9000        (for production: a WSGI server such as gunicorn)

It needs the packages `flask` and `standardwebhooks`.
"""

import os
import sqlite3

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

#: Separated by commas: during a rotation the old one and the new one.
SECRETS = [Webhook(secret.strip()) for secret in os.environ["WEBHOOK_SECRET"].split(",")]
DATABASE = os.environ.get("DATABASE", "received.sqlite")

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024


def verified(headers, body):
    """Whether a delivery is from the fleet. `body`: the bytes as they arrived."""
    if "." in headers.get("webhook-id", ""):
        return False  # a dot separates what is signed
    for webhook in SECRETS:
        try:
            webhook.verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):  # ValueError: a signature that cannot be read
            continue
        return True
    return False


def receive(message_id, body):
    """Store a delivery once, and do what follows from it in the same transaction."""
    database = sqlite3.connect(DATABASE, timeout=30)
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS received (id TEXT PRIMARY KEY, body TEXT)")
        new = database.execute(
            "INSERT OR IGNORE INTO received VALUES (?, ?)", (message_id, body.decode())
        ).rowcount
        if new:
            pass  # apply json.loads(body) here: its `type` is `verification.decided`; ignore other types
    database.close()


@app.post("/")
def deliver():
    body = request.get_data()
    headers = {name.lower(): value for name, value in request.headers}
    if not verified(headers, body):
        return "", 401
    receive(headers["webhook-id"], body)
    return "", 204  # for a known id, too
