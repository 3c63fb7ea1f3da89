"""`GET /v1/webhook-keys`, served by a process: the keys that a receiver reads verify deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.web_process import web_process
from worker import signatures
from worker.client import verify
from worker.decisions.delivery import Outgoing

if TYPE_CHECKING:
    from pathlib import Path


def test_a_receiver_reads_the_keys_without_a_token(tmp_path: Path, redis_url: str) -> None:
    newer, older = (signatures.new_private_key() for _ in range(2))
    text = ",".join(map(signatures.format_private_key, (newer, older)))
    with web_process(tmp_path, redis_url, EKYC_SIGNING_KEY=text) as web:
        answer = web.get("/v1/webhook-keys", name=None)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.headers["cache-control"] == "public, max-age=300"
        assert answer.json == {
            "keys": [
                {
                    "key_id": signatures.key_id(key.public_key()),
                    "public_key": signatures.format_public_key(key.public_key()),
                    "algorithm": "ed25519",
                }
                for key in (newer, older)
            ]
        }
        assert web.post("/v1/webhook-keys", {}, name=None).status == 405
        assert "whsk_" not in answer.raw.decode() + web.log
    signer = signatures.key_signer(text)
    assert signer is not None
    decision = {"id": "d-1", "decision": "approve", "decided_at": "2026-11-29T10:00:00.000Z"}
    outgoing = Outgoing(
        "d-1", "approve", '{"id":"d-1","decision":"approve","decided_at":"2026-11-29T10:00:00.000Z"}'
    )
    headers = outgoing.signature("onboarding.approve", signer)
    for key in answer.json["keys"]:
        keys = key["public_key"]
        age_s = 100 * 365 * 86_400
        assert verify(headers, decision, keys=keys, name="onboarding.approve", max_age_s=age_s) == "d-1"


def test_without_a_signing_key_there_is_none(tmp_path: Path, redis_url: str) -> None:
    with web_process(tmp_path, redis_url, EKYC_API_TOKENS_FILE="") as web:
        assert web.get("/v1/webhook-keys", name=None).json == {"keys": []}
