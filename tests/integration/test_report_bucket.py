"""A report of evidence in a bucket: read in parallel over HTTP, and refused while the bucket is away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.bucket_stub import S3
from tests.support.kept_decisions import keep_decision
from worker.errors import EvidenceUnavailable
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.records.report.month import Month
from worker.records.report.reading import MonthReader

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The bucket says of each object that it was stored on the first day of this month.
JANUARY = Month(2025, 1)
DECIDED_AT = datetime(2025, 1, 10, tzinfo=UTC)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with S3().running() as bucket:
        for name, value in bucket.environment().items():
            monkeypatch.setenv(name, value)
        yield bucket


def test_encrypted_evidence_in_a_bucket_becomes_a_report(bucket: S3) -> None:
    evidence = Evidence("s3://bucket/evidence", keys=format_key(new_key("first")))
    for number in range(20):
        keep_decision(evidence, f"id-{number:02}", decided_at=DECIDED_AT)
    keep_decision(evidence, "id-1", "reject", region="sg", decided_at=DECIDED_AT)
    assert not any(b"SUCCESS" in body for body in bucket.objects.values())
    reader = MonthReader(JANUARY)
    reader.read(evidence, ("my", "sg"))
    assert reader.figures().outcomes == {"approve": 20, "reject": 1}
    assert reader.coverage().unreadable == 0


def test_a_bucket_that_refuses_ends_the_reading(bucket: S3) -> None:
    evidence = Evidence("s3://bucket/evidence")
    keep_decision(evidence, "id-1", decided_at=DECIDED_AT)
    bucket.refuses = (403, "AccessDenied")
    with pytest.raises(EvidenceUnavailable, match="permission denied"):
        MonthReader(JANUARY).read(evidence, ("my",))
