"""Encrypted evidence in a bucket of moto's server, its keys in another bucket."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
import requests

from worker.errors import EvidenceConflict, EvidenceErased, EvidenceKeyUnknown
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.rotation import Rotated, rotate
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION, ID = "ph", "f302f5d2454a85c2"
ANSWER = b'{"code":"SUCCESS","name":"SANDBOX PERSON"}'
OLD, NEW = (f"{name}:{b64encode(name[0].encode() * 32).decode()}" for name in ("old", "new"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    served = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    yield f"http://{host}:{port}"
    served.stop()


@pytest.fixture
def buckets(server: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two empty buckets: for evidence, and for its keys."""
    for name, value in {
        "AWS_ENDPOINT": server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    with requests.Session() as session:
        session.trust_env = False
        session.post(f"{server}/moto-api/reset", timeout=30).raise_for_status()
        for name in ("evidence", "keys"):
            session.put(f"{server}/{name}", timeout=30).raise_for_status()
    return "s3://evidence/ekyc", "s3://keys/ekyc"


def opened(buckets: tuple[str, str], keys: str) -> Evidence:
    return Evidence(buckets[0], keys=keys, keys_url=buckets[1])


def names(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Return the paths in both buckets."""
    store, keys = (
        sorted(found.path for found in backend.list())
        for backend in (evidence.of(REGION, ID)._backend, evidence.keys._backend)
    )
    return store, keys


def test_keys_are_in_their_bucket_and_nothing_readable_is_in_the_other(buckets: tuple[str, str]) -> None:
    evidence = opened(buckets, OLD)
    evidence.check()
    assert evidence.of(REGION, ID).keep_answer(ANSWER) == ANSWER
    assert opened(buckets, f"{NEW},{OLD}").of(REGION, ID).keep_answer(b"another") == ANSWER
    assert names(evidence) == (
        ["keys/place/noted", f"{REGION}/{ID}/answer.json"],
        ["keys/check/old", "keys/place/identity", f"{REGION}/{ID}/key.json"],
    )
    backend = evidence.of(REGION, ID)._backend
    assert b"SANDBOX" not in (backend.read(f"{REGION}/{ID}/answer.json") or b"")
    with pytest.raises(EvidenceKeyUnknown):
        opened(buckets, "").of(REGION, ID).answer()


def test_rotation_replaces_one_object_and_undoes_no_erasure(buckets: tuple[str, str]) -> None:
    opened(buckets, OLD).of(REGION, ID).keep_answer(ANSWER)
    evidence = opened(buckets, f"{NEW},{OLD}")
    one = evidence.of(REGION, ID)
    before = one.keys.read(one.folder)
    assert before is not None
    assert list(evidence.ids(REGION)) == [ID]
    assert rotate(one) is Rotated.REWRAPPED
    assert rotate(one) is Rotated.CURRENT
    assert json.loads(one.keys.read(one.folder) or b"")["key"] == "new"
    assert opened(buckets, NEW).of(REGION, ID).answer() == ANSWER
    # A rotation that read the object before is too late.
    assert not one.keys.replace(one.folder, before, expected=before)

    tombstone = dump_key(Tombstone("2027-01-02T03:04:05Z", "c" * 64))
    now = one.keys.read(one.folder)
    assert now is not None
    assert one.keys.replace(one.folder, tombstone, expected=now)
    assert rotate(one) is Rotated.ERASED
    with pytest.raises(EvidenceErased):
        one.answer()


def test_what_was_kept_plain_is_encrypted(buckets: tuple[str, str]) -> None:
    opened(buckets, "").of(REGION, ID).keep_answer(ANSWER)
    one = opened(buckets, NEW).of(REGION, ID)
    assert one.answer() == ANSWER
    assert rotate(one) is Rotated.ENCRYPTED
    assert b"SANDBOX" not in (one._backend.read(f"{REGION}/{ID}/answer.json") or b"")
    assert opened(buckets, NEW).of(REGION, ID).answer() == ANSWER


def test_an_answer_whose_key_is_gone_is_not_taken_for_a_plain_one(buckets: tuple[str, str]) -> None:
    one = opened(buckets, OLD).of(REGION, ID)
    one.keep_answer(ANSWER)
    one.keys._backend.remove(f"{one.folder}/key.json")
    with pytest.raises(EvidenceConflict, match=r"its key at s3://keys/ekyc/ph/\w+/key\.json is gone"):
        opened(buckets, OLD).of(REGION, ID).answer()
