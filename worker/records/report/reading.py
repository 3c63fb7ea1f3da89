"""Reads the evidence of a month: in parallel, with at most a few verifications in memory."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from schemas.errors import SchemaError
from worker.errors import (
    ConfigError,
    EvidenceConflict,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
)
from worker.evidence import paths
from worker.evidence.decision_record import load_record
from worker.evidence.keys import Tombstone
from worker.evidence.log.commits import RegionLog
from worker.records.report.case import UNREADABLE, Case
from worker.records.report.figures import APPROVE, Figures, Tally
from worker.records.report.report import Checkpoint, Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from worker.errors import EkycError
    from worker.evidence.decision_record import DecisionRecord
    from worker.evidence.log.log_keys import LogKeys
    from worker.evidence.store import Evidence, StoredFile, VerificationEvidence
    from worker.records.report.log_comparison import Compared, LogComparison
    from worker.records.report.month import Month
    from worker.records.report.sample import Sample

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Verifications that are read at the same time: a bucket answers after some 20 ms.
READERS: Final = 16

#: Verifications in memory for each reader.
_AHEAD: Final = 4

#: A bar that moves for each verification would take longer than the reading.
_ADVANCE_EVERY: Final = 50

#: So many verifications in a row that cannot be read because the store does not answer are a fault of the store.
_UNAVAILABLE_IN_A_ROW: Final = 2 * READERS

#: Verifications of which nothing is said before one is opened.
_HELD_BACK: Final = 1000


@dataclass(frozen=True, slots=True)
class Unread:
    """A verification whose evidence cannot be read. `error` is for the operator: it names the object."""

    region: str
    signature_id: str
    error: EkycError


@dataclass(frozen=True, slots=True)
class _Found:
    """What the evidence of one verification adds to the report of a month."""

    region: str
    signature_id: str
    case: Case | None = None
    unreadable_answers: int = 0
    undecided: bool = False
    erased: bool = False
    error: EkycError | None = None
    #: The SHA-256 of the decision before encryption; None: there is none, or it cannot be read.
    digest: bytes | None = None


class MonthReader:
    """Reads evidence, and counts what belongs to a month.

    Parameters:
        logs: the comparison with the log of each region, made before the reading; without one, nothing is compared.
        sample: it is offered every approval of the month.
        say: called with each verification that cannot be read.
        advance: called now and then with the number of verifications so far.
    """

    def __init__(
        self,
        month: Month,
        *,
        logs: Mapping[str, LogComparison] | None = None,
        sample: Sample | None = None,
        say: Callable[[Unread], None] = lambda _: None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._month = month
        self._logs = logs or {}
        self._compared: list[Compared] = []
        self._sample = sample
        self._say = say
        self._advance = advance
        self._tally = Tally(month.days)
        self._read = self._undecided = self._erased = self._unread = self._unavailable = 0
        #: Whether a decision was opened: until then, keys that do not fit are the fault of the settings.
        self._opened = False
        #: What is said of the first verifications, once one was opened.
        self._held_back: list[Unread] = []
        self._of_keys: Unread | None = None

    def read(self, evidence: Evidence, regions: Sequence[str]) -> None:
        """Read the evidence of some regions. Raises ``EvidenceUnavailable`` if the store does not answer.

        Raises ``ConfigError`` if the keys that are set here open no decision at all, ``EvidenceUnavailable`` if the
        evidence is encrypted and none are set, and ``LogDamaged``.
        """
        verifications = (
            evidence.of(region, signature_id) for region in regions for signature_id in evidence.ids(region)
        )
        for found in ahead(lambda each: _look(evidence, each, self._month), verifications):
            self._add(found)
        if self._of_keys is not None and not self._opened:
            raise _none_opens(self._unread, self._of_keys)
        self._compared = [log.result() for log in self._logs.values()]

    def figures(self) -> Figures:
        return self._tally.figures()

    def coverage(self) -> Coverage:
        found = Coverage(self._undecided, self._erased, self._unread)
        if not self._logs:
            return found
        return replace(
            found,
            not_logged=sum(each.not_logged for each in self._compared),
            missing=sum(each.missing for each in self._compared),
        )

    def _add(self, found: _Found) -> None:
        self._read += 1
        self._tally.add_unreadable_answers(found.unreadable_answers)
        self._undecided += found.undecided
        self._erased += found.erased
        self._note(found)
        if found.digest is not None and (log := self._logs.get(found.region)) is not None:
            log.meet(found.digest, of_month=found.case is not None)
        if found.case is not None:
            self._tally.add(found.case)
            if self._sample is not None and found.case.outcome == APPROVE:
                self._sample.offer(found.region, found.signature_id)
        if self._read % _ADVANCE_EVERY == 0:
            self._advance(self._read)

    def _note(self, found: _Found) -> None:
        """Note whether it could be read."""
        unavailable = isinstance(found.error, EvidenceUnavailable) and not isinstance(
            found.error, EvidenceKeyUnknown
        )
        self._unavailable = self._unavailable + 1 if unavailable else 0
        if found.digest is not None:
            self._opened = True
            self._say_held_back()
        if found.error is None:
            return
        if self._unavailable >= _UNAVAILABLE_IN_A_ROW:
            raise found.error
        self._unread += 1
        unread = Unread(found.region, found.signature_id, found.error)
        if _is_of_keys(found.error):
            self._of_keys = self._of_keys or unread
        if self._opened or not _is_of_keys(found.error) or len(self._held_back) >= _HELD_BACK:
            self._say_held_back()
            self._say(unread)
        else:
            self._held_back.append(unread)

    def _say_held_back(self) -> None:
        for each in self._held_back:
            self._say(each)
        self._held_back.clear()


def _is_of_keys(error: EkycError) -> bool:
    """Whether evidence does not open because of the keys that are set here."""
    return isinstance(error, EvidenceKeyUnknown) or (
        isinstance(error, EvidenceConflict) and error.reason == EvidenceConflict.WRONG_KEY
    )


def _none_opens(count: int, first: Unread) -> ConfigError:
    return ConfigError(
        f"EKYC_EVIDENCE_KEYS: the keys here open none of {count:,} decisions, so nothing is reported: {first.error}"
    )


def checkpoints(evidence: Evidence, keys: LogKeys, regions: Sequence[str]) -> tuple[Checkpoint, ...]:
    """Return the published checkpoint of each region that has a log. Raises ``LogDamaged``."""
    found = ((region, RegionLog(evidence.backend, region, keys).checkpoint()) for region in regions)
    return tuple(
        Checkpoint(region, checkpoint.size, base64.b64encode(checkpoint.root).decode())
        for region, checkpoint in found
        if checkpoint is not None
    )


def ahead(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Call a function in parallel, and yield the results in order. A bounded number of items is in memory."""
    waiting = iter(items)
    with ThreadPoolExecutor(READERS) as readers:
        running = deque(readers.submit(function, item) for item in islice(waiting, READERS * _AHEAD))
        try:
            while running:
                yield running.popleft().result()
                running.extend(readers.submit(function, item) for item in islice(waiting, 1))
        finally:
            for each in running:
                each.cancel()


def _look(evidence: Evidence, verification: VerificationEvidence, month: Month) -> _Found:
    """Return what one verification adds to the report of a month."""
    found = _Found(verification.region, verification.signature_id)
    try:
        files = {file.name: file for file in verification.files()}
        if paths.DECISION not in files:
            return _undecided(evidence, verification, month, found, files.values())
        # The time of the file proves nothing: people who can write the store can set it.
        if (raw := verification.read(paths.DECISION)) is None:
            return found
        record, found = _decision(verification, raw), replace(found, digest=hashlib.sha256(raw).digest())
        if not month.has(record.decision.decided_at):
            return found
        unreadable = sum(map(_is_unreadable, files))
        case = replace(_case(verification, record), verdict=_verdict(verification, files))
        return replace(found, case=case, unreadable_answers=unreadable)
    except EvidenceErased:
        return replace(found, erased=_erased_since(evidence, verification, month))
    except (EvidenceConflict, EvidenceUnavailable) as error:
        if isinstance(error, EvidenceKeyUnknown) and not evidence.keys.are_on:
            raise
        return replace(found, error=error)


def _decision(verification: VerificationEvidence, raw: bytes) -> DecisionRecord:
    try:
        record = load_record(raw)
    except SchemaError as error:
        raise EvidenceConflict(
            "DECISION_UNREADABLE", f"{verification.url}/{paths.DECISION}: {error}"
        ) from None
    if (record.region, record.signature_id) != (verification.region, verification.signature_id):
        raise EvidenceConflict(
            "OTHER_VERIFICATION", f"{verification.url}/{paths.DECISION} belongs to another verification"
        )
    return record


def _verdict(verification: VerificationEvidence, files: Collection[str]) -> str | None:
    """Return the newest verdict on the decision. A review that cannot be read takes no decision out of the figures.

    One whose number does not follow is none of ours if it cannot be read.
    """
    numbers = {number for name in files if (number := paths.review_number(name)) is not None}
    for number in sorted(numbers, reverse=True):
        try:
            found = verification.review(paths.review(number))
        except EvidenceConflict:
            found = None
        if found is not None:
            return found.verdict.value
        if number == 1 or number - 1 in numbers:
            return UNREADABLE
    return UNREADABLE if numbers else None


def _undecided(
    evidence: Evidence,
    verification: VerificationEvidence,
    month: Month,
    found: _Found,
    files: Collection[StoredFile],
) -> _Found:
    """Return what a verification without a decision adds."""
    first = min((file.kept_at for file in files if not paths.is_unlisted(file.name)), default=None)
    if first is not None and not month.has(first):
        return found
    if _erased_since(evidence, verification, month):
        return replace(found, erased=True)
    if first is None:
        return found
    unreadable = sum(_is_unreadable(file.name) for file in files)
    return replace(found, undecided=True, unreadable_answers=unreadable)


def _is_unreadable(name: str) -> bool:
    """Return whether a file is an answer of the vendor that could not be read."""
    return name.startswith("unreadable-")


def _erased_since(evidence: Evidence, verification: VerificationEvidence, month: Month) -> bool:
    """Return whether a verification was erased after the month began."""
    record = evidence.keys.stored(verification.folder)
    return isinstance(record, Tombstone) and record.at >= f"{month}-01"


def _case(verification: VerificationEvidence, record: DecisionRecord) -> Case:
    decision, course = record.decision, record.course
    complete, missing = decision.evidence.complete, tuple[str, ...]()
    if not complete and (manifest := verification.manifest()) is not None:
        # It may have been completed after the decision.
        complete, missing = manifest.complete, tuple(each.reason for each in manifest.missing)
    return Case(
        region=decision.region,
        outcome=decision.decision,
        overall_result=decision.overall_result,
        error_code=decision.error_code,
        reason=decision.reason,
        document_type=course.document_type,
        table=decision.table,
        decided_at=decision.decided_at.astimezone(UTC),
        enqueued_at=course.enqueued_at,
        settled_at=course.settled_at,
        polls=decision.polls,
        vendor_faults=course.vendor_faults,
        complete=complete,
        missing=missing,
    )
