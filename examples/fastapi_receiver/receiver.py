"""A receiver of webhooks with FastAPI. It verifies ed25519 signatures, so it holds no secret.

    export WEBHOOK_PUBLIC_KEYS=whpk_… DATABASE=received.sqlite
    uvicorn receiver:app --port 9000

It needs the packages `fastapi`, `uvicorn` and `cryptography`.
"""

import base64
import os
import re
import sqlite3
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

#: The public keys of `GET /v1/webhook-keys`, separated by commas: during a rotation the old one and the new one.
KEYS = [
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key.strip().removeprefix("whpk_")))
    for key in os.environ["WEBHOOK_PUBLIC_KEYS"].split(",")
]
DATABASE = os.environ.get("DATABASE", "received.sqlite")

TOLERANCE_S = 300
MAX_BYTES = 1024 * 1024
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
TIMESTAMP = re.compile(r"[0-9]{1,12}")
SIGNATURE = re.compile(r"v1a,([A-Za-z0-9+/]{86}==)")

app = FastAPI()


def verified(headers, body):
    """Return the id of a delivery; None if it is not from the fleet."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not ID.fullmatch(message_id) or not TIMESTAMP.fullmatch(timestamp):
        return None
    if abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return None
    content = f"{message_id}.{timestamp}.".encode() + body
    for text in headers.get("webhook-signature", "").split(" ")[:16]:
        if found := SIGNATURE.fullmatch(text):
            for key in KEYS:
                try:
                    key.verify(base64.b64decode(found[1]), content)
                except InvalidSignature:
                    continue
                return message_id
    return None


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
async def deliver(request: Request):
    body = bytearray()
    async for piece in request.stream():  # the bytes as they arrive, not JSON that was parsed
        body += piece
        if len(body) > MAX_BYTES:
            return Response(status_code=413)
    message_id = verified(request.headers, body)
    if message_id is None:
        return Response(status_code=401)
    await run_in_threadpool(receive, message_id, body)
    return Response(status_code=204)  # for a known id, too
