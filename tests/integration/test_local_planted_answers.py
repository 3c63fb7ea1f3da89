"""An answer planted in the evidence store before the vendor's is stored, by somebody who has no key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from worker.client import enqueue
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.keyring import format_key, new_key
from worker.ledger import Quarantine
from worker.settings import current
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The sandbox passes documents with this label, so that this table approves none of them.
TABLE = """
name = "labels"
otherwise = "review"

[[rules]]
decision = "review"
text = "It may be a copy."
overall_result = "PASS"
error_code = "SUCCESS"
forgery_labels = "photocopy"

[[rules]]
decision = "approve"
text = "The verification has passed."
overall_result = "PASS"
error_code = "SUCCESS"
"""

#: What the sandbox says of the documents that it passes.
LABELS: Final = '"forgeryLabels":["photocopy"]'


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFleet]:
    table: Path = tmp_path_factory.mktemp("table") / "table.toml"
    table.write_text(TABLE)
    settings = {
        "ADVANCE_REGIONS": "ph",
        "EKYC_EVIDENCE_KEYS": format_key(new_key("test")),
        "EKYC_DECISIONS_FILE": str(table),
    }
    with LocalFleet(settings=settings) as fleet:
        yield fleet


def plant(fleet: LocalFleet, signature_id: str, *, labels: str = LABELS, **changes: Any) -> None:
    """Write the answer of another verification, with changes, as a plain file."""
    enqueue(f"{signature_id}-first", "ph")
    (delivered,) = fleet.drain()
    assert delivered.name == "review"
    raw = Evidence.from_settings(current()).of("ph", f"{signature_id}-first").answer() or b""
    assert LABELS in raw.decode()
    answer = json.loads(raw.decode().replace(LABELS, labels))
    answer["data"] |= {"signatureId": signature_id} | changes
    folder = fleet.evidence / "ph" / signature_id
    folder.mkdir(parents=True)
    (folder / "answer.json").write_text(json.dumps(answer))


def test_a_planted_answer_with_other_labels_makes_no_approval(fleet: LocalFleet) -> None:
    plant(fleet, "pass-planted", labels='"forgeryLabels":null')
    enqueue("pass-planted", "ph")
    assert fleet.drain() == []
    found = {each.signature_id: each.reason for each in fleet.quarantined()}
    assert found["pass-planted"] == "EVIDENCE_CONFLICT"


def test_a_planted_answer_about_another_person_is_replaced_by_that_of_the_vendor(fleet: LocalFleet) -> None:
    """As is one that a worker without keys stored before it was killed. Images are those of the vendor's links."""
    plant(fleet, "pass-before", frontImageUrl="https://attacker.example/front.jpg", name="PLANTED PERSON")
    planted = fleet.evidence / "ph" / "pass-before" / "front.jpg"
    planted.write_bytes(b"\xff\xd8\xff planted")
    enqueue("pass-before", "ph")
    assert fleet.drain() == []
    found = {each.signature_id: each.reason for each in fleet.quarantined()}
    assert found["pass-before"] == "EVIDENCE_CONFLICT", "the image is another one than the vendor's"
    planted.unlink()
    with Redis.from_url(fleet.redis_url) as redis:
        Quarantine(redis, who="test").retry("ph", ["pass-before"])
    (delivered,) = fleet.drain()
    assert (delivered.signature_id, delivered.name) == ("pass-before", "review")
    one = Evidence.from_settings(current()).of("ph", "pass-before")
    assert b"PLANTED" not in (one.answer() or b"")
    assert verify(one) == []
    for file in ("answer.json", "front.jpg"):
        assert (fleet.evidence / "ph" / "pass-before" / file).read_bytes().startswith(b"EKYCE1\n")
