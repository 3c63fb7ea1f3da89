"""The job, apart from queues and HTTP: where this process is told everything, what is kept, and what is decided."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

REDIS_URL: Final = os.environ["REDIS_URL"]
#: For a pool with more connections than any process here has hands: redis-py stops at 100, and then tasks break.
POOL_URL: Final = f"{REDIS_URL}?max_connections=1000"
VENDOR_URL: Final = os.environ["ADVANCE_BASE_URL"]
EVIDENCE: Final = Path(os.environ["BENCH_EVIDENCE"])
#: Between two polls, in seconds.
COUNTDOWN_S: Final = float(os.environ["BENCH_COUNTDOWN_S"])
#: Whether each file is synced to the disk, as ours does. The profiles run without.
SYNCED: Final = bool(os.environ.get("BENCH_SYNCED"))

TOKEN_URL: Final = f"{VENDOR_URL}/openapi/auth/ticket/v1/generate-token"
RESULT_URL: Final = f"{VENDOR_URL}/intl/openapi/identity-risk/idvs-h5/ekyc/v1/get-result"

REGION: Final = "ph"
SIDES: Final = {"front": "docFrontImage", "back": "docBackImage"}


def credentials() -> dict[str, str]:
    """The body of a token request."""
    access_key, secret_key = os.environ["ADVANCE_ACCESS_KEY"], os.environ["ADVANCE_SECRET_KEY"]
    timestamp = str(round(time.time() * 1000))
    signature = hashlib.sha256(f"{access_key}{secret_key}{timestamp}".encode()).hexdigest()
    return {"accessKey": access_key, "timestamp": timestamp, "signature": signature}


def result(answer: dict[str, Any]) -> dict[str, Any] | None:
    """The `data` of an answer; None while the vendor is still at it. Raises ``ValueError`` for a refusal."""
    if answer["code"] != "SUCCESS":
        raise ValueError(f"the vendor answers {answer['code']}")
    data: dict[str, Any] = answer["data"]
    return data if data["overallResult"] is not None else None


def links(data: dict[str, Any]) -> dict[str, str]:
    """The images of a result, by side."""
    detail = data["docDetail"]
    return {side: detail[field] for side, field in SIDES.items() if detail[field]}


def keep(signature_id: str, name: str, body: bytes) -> None:
    """Write one file of the evidence."""
    folder = EVIDENCE / REGION / signature_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)
    if SYNCED:
        # The bytes, the name, and with the first file its folder's name.
        for path in (folder / name, folder, *([folder.parent] if name == "answer.json" else [])):
            _sync(path)


async def keep_async(signature_id: str, name: str, body: bytes) -> None:
    """As `keep`. A sync does not hold up who else is under way: it takes a thread, as asyncio has it."""
    if SYNCED:
        await asyncio.to_thread(keep, signature_id, name, body)
    else:
        keep(signature_id, name, body)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def decision(signature_id: str, data: dict[str, Any], polls: int) -> dict[str, Any]:
    """What the pipeline is told, in the shape of ours."""
    approved = (data["overallResult"], data["errorCode"]) == ("PASS", "SUCCESS")
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{REGION}:{signature_id}")),
        "signature_id": signature_id,
        "region": REGION,
        "decision": "approve" if approved else "review",
        "overall_result": data["overallResult"],
        "error_code": data["errorCode"],
        "reason": None,
        "decided_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "evidence": {"url": f"file://{EVIDENCE}/{REGION}/{signature_id}", "complete": True},
        "context": None,
        "polls": polls,
        "table": "bench",
    }


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
