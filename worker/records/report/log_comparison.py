"""Compares the stored decisions of a region with its evidence log, while a report reads them.

It trusts what the key of the log has signed: the entries and their order. Nobody signs the id of an entry or its time.
So every decision of the log must be in the store, of whatever month; and an erasure in the log explains that one
decision is missing, because a verification has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final

from worker.errors import LogDamaged
from worker.evidence.log.commits import CHECKPOINT, Head
from worker.evidence.log.entries import ErasureEntry, VerificationEntry
from worker.records.report.reading import ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.evidence.log.checkpoint import Checkpoint
    from worker.evidence.log.commits import Commit, RegionLog

_EMPTY: Final = Head()


@dataclass(frozen=True, slots=True)
class Compared:
    """The differences: decisions of the month that the log lacks, and logged decisions that the store lacks."""

    not_logged: int
    missing: int


class LogComparison:
    """The decisions of one region's log, to be met in the store. Not thread-safe.

    Every method but `meet` raises ``EvidenceUnavailable``, and ``LogDamaged`` for a log that does not verify.
    """

    def __init__(self, log: RegionLog) -> None:
        self._log = log
        self._head = _EMPTY
        #: The verification of each decision that was not met, by the hash of the decision.
        self._missing: dict[bytes, str] = {}
        self._unlogged: set[bytes] = set()
        #: The erased verifications. An erasure that is logged twice is one.
        self._erased: set[str] = set()
        self._certificates: set[str] = set()
        self._begin()

    def meet(self, digest: bytes, *, of_month: bool) -> None:
        """Note a decision in the store by its SHA-256 before encryption. `of_month`: it is in the figures."""
        if self._missing.pop(digest, None) is None and of_month:
            self._unlogged.add(digest)

    def result(self) -> Compared:
        """Read what was logged meanwhile, and return what differs."""
        # A decision of a newer commit may have been stored when its folder was read already.
        for commit in self._commits():
            self._follow(commit, is_newer=True)
        explained = set(self._missing.values()) & self._erased
        missing = len(self._missing) - min(len(explained), len(self._certificates))
        return Compared(len(self._unlogged), missing)

    def _begin(self) -> None:
        published = self._log.checkpoint()
        is_met = published is None or published.size == 0
        for commit in self._commits():
            self._follow(commit, is_newer=False)
            is_met = is_met or self._is_of(published)
        if not is_met:
            raise LogDamaged(
                f"{self._log.url}/{CHECKPOINT} is of no commit of this log, so its end is cut off: "
                f"run `ekyc evidence verify --region {self._log.region}`"
            )

    def _commits(self) -> Iterator[Commit]:
        """Yield the commits that follow the head."""
        for commit in ahead(self._log.commit, count(self._head.seq + 1)):
            if commit is None:
                return
            yield commit

    def _is_of(self, published: Checkpoint | None) -> bool:
        frontier = self._head.frontier
        return published is not None and (published.size, published.root) == (frontier.size, frontier.root)

    def _follow(self, commit: Commit, *, is_newer: bool) -> None:
        self._head = self._log.follow(self._head, commit)
        for signature_id, entry in zip(commit.ids, commit.entries, strict=True):
            match entry:
                case ErasureEntry():
                    self._erased.add(signature_id)
                    self._certificates.add(entry.certificate)
                case VerificationEntry(decision=str(text)):
                    digest = bytes.fromhex(text)
                    self._unlogged.discard(digest)
                    if not is_newer:
                        self._missing[digest] = signature_id
