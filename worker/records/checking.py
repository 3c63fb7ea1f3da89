"""The check of one verification's evidence within a bounded time, for a page that a person waits for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError, EkycError, EvidenceConflict, EvidenceErased, EvidenceUnavailable
from worker.evidence.keys import Tombstone
from worker.evidence.log.audit import Audit
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.ledger.evidence_log import LogLedger
from worker.records.assembly import certificate_verifiers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis

    from worker.evidence.log.audit import Finding, Report
    from worker.evidence.log.checkpoint import Checkpoint
    from worker.evidence.storage.backend import Backend
    from worker.evidence.store import VerificationEvidence
    from worker.settings import Settings

#: Seconds for the log. The largest log that a check reads whole is some hundred thousand entries.
LONGEST_S: Final = 10.0

#: Differences that are listed.
SHOWN: Final = 20


_WITHOUT_LOG: Final = (
    "there is no log to compare with, because EKYC_LOG_KEY is not set here: that somebody replaced the manifest and "
    "the files does not show"
)


class State(StrEnum):
    """What a check found."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    #: Nothing was proved, or not all of it.
    UNPROVED = "unproved"


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check, in lines for people."""

    state: State
    lines: tuple[str, ...]


class CheckTimeout(EkycError):
    """Reading the log took too long."""

    cause = "CHECK_TIMEOUT"


def audit_of(  # noqa: PLR0913 - what is compared
    settings: Settings,
    evidence: Evidence,
    log: RegionLog,
    redis: Redis | None,
    progress: Callable[[int], None] = lambda _: None,
    *,
    kept: Sequence[Checkpoint] = (),
    reviews: Mapping[str, Mapping[int, str]] | None = None,
) -> Audit:
    """Return the audit of a region's evidence. `redis`: None for an audit of the store alone.

    `kept` and `reviews`: see ``Audit``.
    """
    ledger = LogLedger(redis, log.region) if redis is not None else None
    signers = certificate_verifiers(settings, log.region)
    return Audit(evidence, log, ledger, progress, signers=signers, kept=kept, reviews=reviews)


def check(
    settings: Settings, redis: Redis, region: str, signature_id: str, *, longest_s: float = LONGEST_S
) -> Checked:
    """Compare the files of one verification with its manifest and with the log, which is checked, too.

    Raises ``LedgerUnavailable``. Everything else that prevents the check is a line of the outcome.
    """
    try:
        evidence = Evidence.from_settings(settings, must_exist=True)
        keys = LogKeys.parse(settings.log_key) if settings.log_key else None
    except ConfigError as error:
        return Checked(State.UNPROVED, (f"it cannot be checked here: {error}",))
    one = evidence.of(region, signature_id)
    if keys is None:
        return _of_files(one, _WITHOUT_LOG)
    log = _BoundedLog(evidence.backend, region, keys, time.monotonic() + longest_s)
    try:
        report = audit_of(settings, evidence, log, redis).some([signature_id])
    except CheckTimeout:
        command = f"`ekyc evidence verify --region {region} -- {signature_id}`"
        found = _of_files(one, f"the log is too long to be read within {longest_s:g} s: run {command}")
        return replace(found, state=State.UNPROVED) if found.state is State.UNCHANGED else found
    except (EvidenceConflict, EvidenceUnavailable) as error:
        return Checked(State.UNPROVED, (str(error),))
    return _of_report(one, report)


class _BoundedLog(RegionLog):
    """A log that is read until a moment of the monotonic clock, and raises ``CheckTimeout`` afterwards."""

    def __init__(self, backend: Backend, region: str, keys: LogKeys, until: float) -> None:
        super().__init__(backend, region, keys)
        self._store, self._until = backend, until

    def read(self, name: str) -> bytes | None:
        self._check()
        return super().read(name)

    def names(self, folder: str = "") -> list[str]:
        found: list[str] = []
        for file in self._store.list(f"{self.folder}/{folder}" if folder else self.folder):
            self._check()
            found.append(file.path.removeprefix(f"{self.folder}/"))
        return found

    def _check(self) -> None:
        if time.monotonic() > self._until:
            raise CheckTimeout("the log was not read in time")


def _of_report(one: VerificationEvidence, report: Report) -> Checked:
    own = [finding for finding in report.findings if finding.signature_id == one.signature_id]
    lines = [_line(finding) for finding in own[:SHOWN]]
    if others := len(report.findings) - len(own):
        command = f"run `ekyc evidence verify --region {report.region}`"
        lines.append(
            f"the log of {report.region} has {others:,} findings that are about other things: {command}"
        )
    if lines:
        return Checked(State.CHANGED, tuple(lines))
    said = (
        f"the log of {report.region} is whole: its size is {report.size:,}, its root {report.root or 'none'}"
    )
    if not report.checked:
        return _of_files(one, said, *(f"it {each.said}" for each in report.unproved))
    return Checked(State.UNCHANGED, ("it is as it was logged", said))


def _of_files(one: VerificationEvidence, *lines: str) -> Checked:
    """Compare the files with the manifest alone, which proves less than the log does."""
    state, said = _compared(one)
    return Checked(state, (*said, *lines))


def _compared(one: VerificationEvidence) -> tuple[State, tuple[str, ...]]:
    try:
        raw = one.keys.read(one.folder)
        if raw is not None and isinstance(one.keys.record(one.folder, raw), Tombstone):
            return State.UNPROVED, ("it was erased: its files are gone",)
        if not one.files():
            return State.UNPROVED, ("the store has no evidence of it",)
        if one.manifest() is None:
            return State.UNPROVED, ("its archiving has not ended: there is no manifest yet",)
        found = verify(one)
    except (EvidenceConflict, EvidenceErased, EvidenceUnavailable) as error:
        return State.UNPROVED, (str(error),)
    if found:
        return State.CHANGED, tuple(found[:SHOWN])
    return State.UNCHANGED, ("its files are as its manifest says",)


def _line(finding: Finding) -> str:
    return f"{finding.path.rpartition('/')[2]}: {finding.kind.replace('_', ' ')}: {finding.said}"
