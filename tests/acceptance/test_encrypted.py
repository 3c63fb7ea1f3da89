"""A fleet with keys: what it stores, what it says, and how keys come and go while it works."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.waiting import until
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.keyring import format_key, new_key

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def keys(fleet: Fleet) -> str:
    """A key that the fleet has as a file."""
    file = fleet.folder / "evidence_keys"
    file.write_text(format_key(new_key("one")))
    fleet.environment["EKYC_EVIDENCE_KEYS_FILE"] = str(file)
    return file.read_text()


def enqueue(fleet: Fleet, *names: str) -> None:
    fleet.ledger().enqueue([EnqueueRequest(name, "ph", '{"who":"SANDBOX PERSON"}') for name in names])


def stored(fleet: Fleet) -> dict[str, bytes]:
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in (fleet.evidence / "ph").rglob("*")
        if path.is_file()
    }


def test_what_a_fleet_stores_can_be_read_with_its_keys_alone(fleet: Fleet, keys: str) -> None:
    for name in ("w1", "w2"):
        fleet.worker(name)
    names = [f"pass-n2-{number}" for number in range(10)] + [
        "CARD_NOT_FOUND-2",
        "wrongid-always-3",
        "wrongid-always-4",
    ]
    enqueue(fleet, *names)
    fleet.await_done(11)
    until(lambda: fleet.stats().counts("ph").quarantined == 2, "two cannot be read")

    for name, raw in stored(fleet).items():
        assert name.endswith("/key.json") == (not raw.startswith(b"EKYCE1\n")), name
        assert b"SANDBOX" not in raw, name
        assert b"PASS" not in raw, name
    evidence = Evidence(fleet.evidence.as_uri(), keys=keys)
    for message in fleet.delivered():
        decision = message["decision"]
        one = evidence.of("ph", decision["signature_id"])
        assert verify(one) == []
        assert (b"SANDBOX PERSON" in (one.answer() or b"")) == (decision["decision"] == "approve")
        # The record is the decision as it was delivered, without the pipeline's context.
        record = json.loads(one.read("decision.json") or b"")
        assert record["decision"] == {name: value for name, value in decision.items() if name != "context"}
        assert "SANDBOX" not in json.dumps(record)
        assert len(record["salt"]) == 32
    secret = keys.partition(":")[2].strip()
    for name in ("w1", "w2"):
        assert secret not in fleet.log(name)
        assert "EKYC_EVIDENCE_KEYS" not in fleet.log(name)
        assert "Traceback" not in fleet.log(name)


def test_a_decision_without_an_answer_is_stored_too(fleet: Fleet, keys: str) -> None:
    fleet.worker(EKYC_POLL_DEADLINE="1")
    enqueue(fleet, "pass-n2000-1")
    fleet.await_delivered(1)  # and is polled on, for its evidence
    (message,) = fleet.delivered()
    assert message["decision"]["reason"] == "DEADLINE_PASSED"
    one = Evidence(fleet.evidence.as_uri(), keys=keys).of("ph", "pass-n2000-1")
    record = one.decision()
    assert record is not None
    assert (record.decision.reason, record.decision.decision) == (
        "DEADLINE_PASSED",
        message["decision"]["decision"],
    )
    assert one.answer() is None


def test_without_keys_a_worker_says_that_documents_lie_readable_and_for_whom(fleet: Fleet) -> None:
    fleet.worker()
    (line,) = [line for line in fleet.log("w1").splitlines() if "EKYC_EVIDENCE_KEYS" in line]
    assert line.startswith(
        f"ekyc: warning: EKYC_EVIDENCE_KEYS is not set: the documents at {fleet.evidence.as_uri()}"
    )
    assert "lie readable for the account " in line
    assert "(folder mode 0700)" in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("one", "give id:base64"),
        ("one:c2VzYW1l", "a key has 32 bytes, this one has 6"),
        (format_key(new_key("one")), "the key one is not the one that was used"),
    ],
    ids=["no key", "short", "another"],
)
def test_a_wrong_key_starts_no_worker_and_is_one_line(fleet: Fleet, keys: str, text: str, says: str) -> None:
    Evidence(fleet.evidence.as_uri(), keys=keys).check()
    (fleet.folder / "evidence_keys").write_text(text)
    ended = fleet.run("celery", "-A", "worker", "worker")
    assert ended.returncode == 2, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("ekyc: ")]
    assert says in line
    assert text.partition(":")[2] not in ended.stderr or ":" not in text


def test_while_the_keys_are_away_nobody_is_polled_and_then_all_goes_on(fleet: Fleet, keys: str) -> None:
    place = fleet.folder / "keys"
    fleet.environment["EKYC_EVIDENCE_KEYS_URL"] = place.as_uri()
    fleet.worker()
    place.rename(fleet.folder / "away")
    enqueue(fleet, *(f"pass-{number}" for number in range(20)))
    until(lambda: "evidence_unavailable" in fleet.log("w1"), "the breaker trips")
    assert "EKYC_EVIDENCE_KEYS_URL" in fleet.log("w1")
    assert not stored(fleet)
    assert fleet.stats().counts("ph").done == 0
    (fleet.folder / "away").rename(place)
    fleet.await_done(20)
    assert len(list(place.glob("ph/*/key.json"))) == 20
    assert not list(fleet.evidence.rglob("key.json"))
    evidence = Evidence(fleet.evidence.as_uri(), keys=keys, keys_url=place.as_uri())
    assert [verify(evidence.of("ph", f"pass-{number}")) for number in range(20)] == [[]] * 20


def test_keys_are_switched_on_and_rotated_worker_by_worker(fleet: Fleet) -> None:
    """At each moment some workers lack a key: what they cannot read, the others finish."""
    first, second = format_key(new_key("one")), format_key(new_key("two"))
    rounds = {"plain": "", "first": first, "second": f"{second},{first}"}
    running = {}
    for number, (name, text) in enumerate(rounds.items()):
        given = {"EKYC_EVIDENCE_KEYS": text} if text else {}
        running[name] = [fleet.worker(f"{name}-{each}", **given) for each in "ab"]
        enqueue(fleet, *(f"pass-n3-{name}-{each}" for each in range(30)))
        until(lambda: fleet.stats().counts("ph").polls > 0, "they are polled")
        for process in running.pop(list(rounds)[number - 1], []) if number else []:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    fleet.await_done(90)
    assert fleet.stats().counts("ph").quarantined == 0
    evidence = Evidence(fleet.evidence.as_uri(), keys=f"{second},{first}")
    ids = [f"pass-n3-{name}-{each}" for name in rounds for each in range(30)]
    assert [verify(evidence.of("ph", signature_id)) for signature_id in ids] == [[]] * 90

    rotated = fleet.run("worker.cli", "evidence", "rotate", EKYC_EVIDENCE_KEYS=f"{second},{first}")
    assert rotated.returncode == 0, rotated.stderr
    evidence = Evidence(fleet.evidence.as_uri(), keys=second)
    assert [verify(evidence.of("ph", signature_id)) for signature_id in ids] == [[]] * 90
    for name, raw in stored(fleet).items():
        assert name.endswith("/key.json") or raw.startswith(b"EKYCE1\n"), name
