"""A review that comes while its verification is being erased: it is taken back, and the certificate hides nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.kept_evidence import keep
from worker.errors import EvidenceErased
from worker.evidence.marks import Act
from worker.evidence.store import Evidence
from worker.ledger.erasures import Erasures
from worker.ledger.reviews import ReviewLedger
from worker.records.erasure import Eraser, Order, members_of
from worker.records.reviews import ReviewDesk, new_review

if TYPE_CHECKING:
    from redis import Redis

ID: Final = "f302f5d2454a85c2"
AT: Final = datetime(2027, 1, 31, 9, tzinfo=UTC)


def test_a_review_that_comes_during_an_erasure_is_taken_back_or_named(tmp_path: Path, redis: Redis) -> None:
    evidence = Evidence((tmp_path / "evidence").as_uri())
    one = keep(evidence, "ph", ID)
    folder = Path(one.url.removeprefix("file://"))
    desk = ReviewDesk(ReviewLedger(redis, via="console"), lambda _: [])
    late = new_review("1", "ph", ID, who="ann", verdict="confirmed", note="")

    def reached(step: str) -> None:
        if step == "plan":
            with pytest.raises(EvidenceErased):
                desk.take(one, late)
            assert not (folder / "review-001.json").exists()
            (folder / "review-007.json").write_bytes(b"of a process that was killed")

    eraser = Eraser(evidence, Erasures(redis), None, lambda _, text: f"{text}\nsigned")
    certificate = eraser.erase(Order("ph", ID, Act(AT, "maria", "asked")), reached=reached)
    deleted = [each["name"] for each in members_of(certificate)["evidence"]["deleted"]]
    assert "review-007.json" in deleted
    assert len(deleted) == len(set(deleted))
    assert not (folder / "review-007.json").exists()
