"""The policies of `deploy/iam`: what each role can do in S3, and what it cannot. moto's server enforces them."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli_process import Ekyc
from tests.support.kept_evidence import keep
from tests.support.moto_s3 import MotoS3, enforced
from tests.support.paths import ROOT
from worker.errors import EvidenceUnavailable
from worker.evidence.storage.bucket import Bucket
from worker.evidence.storage.s3 import ObjectLock, S3Options
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.records.reviews import new_review

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLICIES = ROOT / "deploy" / "iam"
EVIDENCE, KEYS = "example-evidence", "example-evidence-keys"
REGION, ID = "ph", "f302f5d2454a85c2"
FOLDER = f"{REGION}/{ID}"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoS3]:
    with MotoS3().running() as server:
        server.use(monkeypatch)
        server.bucket(EVIDENCE, locked=True)
        server.bucket(KEYS)
        for path in (f"{FOLDER}/front.jpg", "log/ph/commits/000000000000", "ledger/ph/000001"):
            bucket(EVIDENCE).create(path, b"kept")
        bucket(KEYS).create(f"{FOLDER}/key.json", b"kept")
        yield server


def bucket(name: str, prefix: str = "ekyc", options: S3Options = S3Options()) -> Bucket:  # noqa: B008 - frozen
    return Bucket(f"s3://{name}/{prefix}", "s3", options)


def replace(name: str, path: str, body: bytes) -> None:
    """Write an object without a condition."""
    bucket(name)._store.put(f"{path}", body)


def policy(name: str) -> str:
    return (POLICIES / f"{name}.json").read_text()


def become(s3: MotoS3, monkeypatch: pytest.MonkeyPatch, *policies: str) -> None:
    s3.use(monkeypatch, *s3.user("someone", *map(policy, policies)))


def refuses(use: Callable[[], object]) -> bool:
    """Whether the server forbids it: no other error counts."""
    with enforced():
        try:
            use()
        except EvidenceUnavailable as error:
            assert "permission denied" in str(error)  # noqa: PT017 - any other error is a fault of the test
            return True
        return False


def test_a_user_without_a_policy_can_do_nothing(s3: MotoS3, monkeypatch: pytest.MonkeyPatch) -> None:
    become(s3, monkeypatch)
    assert refuses(lambda: bucket(EVIDENCE).read(f"{FOLDER}/front.jpg"))
    assert refuses(lambda: list(bucket(EVIDENCE).list("ph")))
    assert refuses(lambda: bucket(EVIDENCE).create(f"{FOLDER}/back.jpg", b"new"))


def test_a_worker_writes_and_reads_evidence_and_removes_none(
    s3: MotoS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(s3, monkeypatch, "worker")
    evidence = Evidence(f"s3://{EVIDENCE}/ekyc", s3=S3Options(lock=ObjectLock("GOVERNANCE", 1)))
    one = evidence.of(REGION, ID)
    with enforced():
        evidence.check()
        assert one.answer() is None
        one.keep_answer(b"{}")
        assert one.answer() == b"{}"
        assert [file.name for file in one.files()] == ["answer.json", "front.jpg"]
        evidence.keep_ledger(REGION, "ledger-1")
    assert not [key for key in s3.keys(EVIDENCE) if "probe-" in key]
    assert refuses(lambda: bucket(EVIDENCE).remove(f"{FOLDER}/answer.json"))
    assert refuses(lambda: bucket(EVIDENCE, "other").create(f"{FOLDER}/answer.json", b"{}"))
    assert refuses(lambda: bucket(KEYS).read(f"{FOLDER}/key.json"))


def test_a_worker_with_the_right_to_keys_writes_keys_and_nothing_else_there(
    s3: MotoS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(s3, monkeypatch, "worker", "worker-keys")
    keys = format_key(new_key("first"))
    evidence = Evidence(f"s3://{EVIDENCE}/ekyc", keys=keys, keys_url=f"s3://{KEYS}/ekyc")
    with enforced():
        evidence.check()
        evidence.of(REGION, "another").keep_answer(b"{}")
        assert evidence.of(REGION, "another").answer() == b"{}"
        assert bucket(KEYS).create(f"{REGION}/other/key.json", b"key")
        replace(KEYS, f"{FOLDER}/key.json", b"rotated")
        assert bucket(KEYS).read(f"{FOLDER}/key.json") == b"rotated"
        assert bucket(KEYS).read(f"{REGION}/unknown/key.json") is None
    assert refuses(lambda: bucket(KEYS).remove(f"{FOLDER}/key.json"))
    assert refuses(lambda: bucket(KEYS).create(f"{FOLDER}/answer.json", b"{}"))


def test_an_auditor_reads_everything_and_changes_nothing(s3: MotoS3, monkeypatch: pytest.MonkeyPatch) -> None:
    become(s3, monkeypatch, "auditor")
    with enforced():
        assert bucket(EVIDENCE).read(f"{FOLDER}/front.jpg") == b"kept"
        assert bucket(KEYS).read(f"{FOLDER}/key.json") == b"kept"
        assert len(list(bucket(EVIDENCE).list())) == 3
    for name, path in ((EVIDENCE, f"{FOLDER}/front.jpg"), (KEYS, f"{FOLDER}/key.json")):
        assert refuses(lambda: bucket(name).create(path, b"new"))  # noqa: B023 - called at once
        assert refuses(lambda: bucket(name).remove(path))  # noqa: B023 - called at once
    assert refuses(Evidence(f"s3://{EVIDENCE}/ekyc").check)


def test_a_reviewer_adds_reviews_to_what_an_auditor_may(s3: MotoS3, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, place = format_key(new_key("first")), f"s3://{KEYS}/ekyc"
    keep(Evidence(f"s3://{EVIDENCE}/ekyc", keys=keys, keys_url=place), REGION, "judged")
    become(s3, monkeypatch, "auditor", "reviewer")
    lock = S3Options(lock=ObjectLock("GOVERNANCE", 1))
    one = Evidence(f"s3://{EVIDENCE}/ekyc", keys=keys, keys_url=place, s3=lock).of(REGION, "judged")
    judged = new_review("1", REGION, "judged", who="ann", verdict="confirmed", note="")
    with enforced():
        assert one.keep_review(judged).number == 1
        assert [each.verdict for each in one.reviews()] == ["confirmed"]
    assert refuses(lambda: one.keep("back.jpg", b"new"))
    assert refuses(lambda: bucket(EVIDENCE).remove(f"{REGION}/judged/review-001.json"))
    assert refuses(lambda: bucket(KEYS).create(f"{REGION}/other/key.json", b"new"))


def test_the_policy_of_an_auditor_is_enough_for_the_commands(
    s3: MotoS3, redis_url: str, tmp_path: Path
) -> None:
    keys, place = format_key(new_key("first")), f"s3://{KEYS}/ekyc"
    keep(Evidence(f"s3://{EVIDENCE}/ekyc", keys=keys, keys_url=place), REGION, "audited")
    ekyc = Ekyc(
        s3.environment(*s3.user("auditor", policy("auditor")))
        | {
            "EKYC_EVIDENCE_URL": f"s3://{EVIDENCE}/ekyc",
            "EKYC_EVIDENCE_KEYS": keys,
            "EKYC_EVIDENCE_KEYS_URL": place,
            "ADVANCE_REGIONS": REGION,
            "REDIS_URL": redis_url,
        }
    )
    output = str(tmp_path / "case.tar")
    with enforced():
        listed = ekyc("evidence", "list", "--state", "archived", "--json")
        exported = ekyc("evidence", "export", "audited", "--output", output, "--why", "audit", "--json")
    assert [json.loads(line)["signature_id"] for line in listed.out.splitlines()] == ["audited"], listed.err
    assert exported.code == 0, exported.err
    with tarfile.open(output) as archive:
        assert f"{REGION}/audited/front.jpg" in archive.getnames()


def test_an_eraser_destroys_keys_and_evidence_but_no_log_and_writes_no_evidence(
    s3: MotoS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(s3, monkeypatch, "eraser")
    with enforced():
        replace(KEYS, f"{FOLDER}/key.json", b"erased")
        bucket(EVIDENCE).remove(f"{FOLDER}/front.jpg")
    assert s3.keys(EVIDENCE) == ["ekyc/ledger/ph/000001", "ekyc/log/ph/commits/000000000000"]
    assert refuses(lambda: bucket(EVIDENCE).remove("log/ph/commits/000000000000"))
    assert refuses(lambda: bucket(EVIDENCE).remove("ledger/ph/000001"))
    assert refuses(lambda: bucket(EVIDENCE).create(f"{FOLDER}/answer.json", b"{}"))
    assert refuses(lambda: bucket(KEYS).remove(f"{FOLDER}/key.json"))
    with enforced():
        for mark in ("hold.json", "closed.json", "erasure.json", "certificate.txt"):
            assert bucket(EVIDENCE).create(f"{FOLDER}/{mark}", b"{}")
        bucket(EVIDENCE).remove(f"{FOLDER}/erasure.json")
    assert refuses(lambda: bucket(EVIDENCE).remove(f"{FOLDER}/certificate.txt"))


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.json")), ids=lambda path: path.name)
def test_no_policy_of_a_role_allows_more_than_s3_on_named_resources(path: Any) -> None:
    for statement in json.loads(path.read_text())["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = statement.get("Resource") or statement["NotResource"]
        resources = resources if isinstance(resources, list) else [resources]
        assert all(each.startswith("arn:aws:s3:::example-evidence") for each in resources)
        if statement["Effect"] == "Allow":
            assert not any("*" in action for action in actions)
            assert all(action.startswith("s3:") for action in actions)
            assert "s3:BypassGovernanceRetention" not in actions
