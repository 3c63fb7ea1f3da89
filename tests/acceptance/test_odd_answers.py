"""Every row of the table of malformed answers through real workers, beside healthy people of the same region."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.image_host import JPEG
from tests.support.odd_answers import APPROVE, PENDING, QUARANTINE, ROWS, TRANSIENT, passed, row_of, slug
from tests.support.vendor_stub import Call, Stub, http, token
from tests.support.waiting import until
from worker.evidence.manifest import load_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.fleet import Fleet
    from tests.support.odd_answers import Row

pytestmark = pytest.mark.timeout(180)

REGION = "ph"

#: How many people get the same odd answer. One, where the breaker is meant to count it, or the answer is large.
PEOPLE = 2
HEALTHY = 50

#: After so many odd answers a person whose row is polled again gets the ordinary one.
ODD_POLLS = 2

#: Ten times what the slowest healthy person takes on a machine with other work. Each hold takes 5 to 15 s, and they
#: follow each other.
HEALTHY_WITHIN_S = 60.0


class Vendor:
    """Answers each person with the bytes of their row, and counts the polls."""

    def __init__(self) -> None:
        self.origin = ""
        self.polls: Counter[str] = Counter()
        self._lock = Lock()

    def reply(self, call: Call) -> Iterator[bytes]:
        if call.method == "GET":
            yield http(JPEG, Content_Type="image/jpeg")
        elif call.path.endswith("generate-token"):
            yield token("the-token")
        else:
            yield http(self.answer(call.json()["signatureId"]))

    def answer(self, signature_id: str) -> bytes:
        with self._lock:
            self.polls[signature_id] += 1
        row = row_of(signature_id)
        again = row is not None and row.outcome in {TRANSIENT, PENDING}
        if row is None or (again and self.polls[signature_id] > ODD_POLLS):
            return passed(signature_id)
        return self.body(row, signature_id)

    def body(self, row: Row, signature_id: str) -> bytes:
        return row.body(signature_id).replace(b"ORIGIN", self.origin.encode())


def people() -> list[str]:
    """Odd and healthy people, mixed evenly."""
    odd = [
        f"{slug(row)}-{n}"
        for row in ROWS
        for n in range(1 if row.outcome == TRANSIENT or row.group == "sizes" else PEOPLE)
    ]
    healthy = [f"healthy-{n}" for n in range(HEALTHY)]
    every = len(odd) // HEALTHY
    return [name for n, one in enumerate(healthy) for name in [*odd[n * every : (n + 1) * every], one]] + odd[
        HEALTHY * every :
    ]


def test_odd_answers_of_some_people_hold_up_nobody_else(fleet: Fleet) -> None:
    vendor = Vendor()
    with Stub(vendor.reply) as stub:
        vendor.origin = stub.origin
        names = people()
        fleet.worker(ADVANCE_BASE_URL=stub.origin, EKYC_IMAGE_ORIGINS=stub.origin)
        enqueued_at = time.time()
        fleet.ledger().enqueue([EnqueueRequest(name, REGION) for name in names])
        until(lambda: settled(fleet) == len(names), "everybody is decided or in quarantine", 90)

    decided = {one["signature_id"]: one for one in decisions(fleet)}
    delays = [
        datetime.fromisoformat(one["decided_at"]).timestamp() - enqueued_at
        for name, one in decided.items()
        if row_of(name) is None
    ]
    sys.stdout.write(
        f"{len(names) - HEALTHY} odd and {HEALTHY} healthy people; "
        f"a healthy one was decided after {statistics.median(delays):.2f} s (median), {max(delays):.2f} s (slowest)\n"
    )
    counts = fleet.stats().counts(REGION)
    assert "VENDOR_DOWN" not in fleet.log("w1")
    assert len(delays) == HEALTHY
    assert max(delays) < HEALTHY_WITHIN_S
    assert set(counts.quarantine) == {"UNREADABLE"}
    faults = [
        fault for name in names if (row := row_of(name)) for fault in wrong(fleet, vendor, row, name, decided)
    ]
    assert faults == []


def settled(fleet: Fleet) -> int:
    counts = fleet.stats().counts(REGION)
    return counts.done + counts.quarantined


def decisions(fleet: Fleet) -> list[dict[str, Any]]:
    return [message["decision"] for message in fleet.delivered()]


def wrong(
    fleet: Fleet, vendor: Vendor, row: Row, name: str, decided: dict[str, dict[str, Any]]
) -> Iterator[str]:
    """What differs from the row of one person."""
    folder = fleet.evidence / REGION / name
    body = vendor.body(row, name)
    where = f"{row.group}: {row.name}: "
    if row.outcome == QUARANTINE:
        kept = [path.read_bytes() for path in folder.glob("unreadable-*")]
        if name in decided or kept != [body if row.kept else b""]:
            yield where + "not in quarantine with its raw answer"
        # An answer that does not name the id counts once a fresh connection has confirmed it.
        if vendor.polls[name] not in {1, 2}:
            yield where + f"asked {vendor.polls[name]} times"
    elif name not in decided:
        yield where + "not decided"
    else:
        yield from (where + fault for fault in wrongly_decided(row, decided[name]))
        yield from (where + fault for fault in wrongly_kept(row, folder, body))


def wrongly_decided(row: Row, decision: dict[str, Any]) -> Iterator[str]:
    again = row.outcome in {TRANSIENT, PENDING}
    if (decision["decision"], decision["reason"]) != (APPROVE if again else row.outcome, row.reason):
        yield f"decided as {decision['decision']} {decision['reason']}"
    if decision["polls"] != (ODD_POLLS + 1 if again else 1):
        yield f"decided after {decision['polls']} polls"
    if decision["evidence"]["complete"] != (not row.missing):
        yield "complete or not, contrary to the row"


def wrongly_kept(row: Row, folder: Path, body: bytes) -> Iterator[str]:
    again = row.outcome in {TRANSIENT, PENDING}
    if not again and (folder / "answer.json").read_bytes() != body:
        yield "another raw answer is kept"
    manifest = load_manifest((folder / "manifest.json").read_bytes())
    images = tuple(file.name for file in manifest.files if file.role != "answer")
    missing = tuple((one.role, one.reason) for one in manifest.missing)
    if (images, missing) != (row.images, row.missing):
        yield f"images {images}, missing {missing}"
    if any((folder / image).read_bytes() != JPEG for image in images):
        yield "another image is kept"
