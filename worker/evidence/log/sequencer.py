"""The sequencer: adds the evidence of ended verifications to the log of a region.

Any number of sequencers may run at once, and any of them may be frozen or killed between any two steps:

1. The commit is created. Of several processes one succeeds; the others read its commit and try again with the rest.
2. The tiles, then the checkpoint. Each process that continues the log first completes what is missing of these.
3. The ledger notes the commit, and drops from its queue what the log has. What stays in the queue because of a kill is
   found in the log by its hash, and dropped at the next turn.
"""

from __future__ import annotations

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from worker.errors import (
    EkycError,
    EvidenceConflict,
    EvidenceErased,
    EvidenceUnavailable,
    InvalidInput,
    LogRolledBack,
)
from worker.evidence import paths
from worker.evidence.keys import Tombstone
from worker.evidence.log.commits import CHECKPOINT, Head
from worker.evidence.log.entries import ErasureEntry, VerificationEntry
from worker.evidence.log.leaf_indexes import LeafIndexes
from worker.evidence.log.merkle import leaf_hash
from worker.evidence.log.tiles import Rows
from worker.ledger.evidence_log import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from worker.evidence.log.commits import Commit, RegionLog
    from worker.evidence.log.entries import Entry
    from worker.evidence.store import Evidence
    from worker.ledger.evidence_log import EvidenceLogQueue, Queued

_log = structlog.get_logger(__name__)

#: The most entries of a commit.
MOST: Final = 1000

#: The most tries to be the one that writes the next commit, in one turn.
TRIES: Final = 20

#: Concurrent reads of the store.
READERS: Final = 8

#: Commits whose entries a sequencer knows when it starts, and the most entries that it remembers.
TAIL: Final = 64
MOST_RECENT: Final = 50_000

#: How far the clocks of two workers may differ. If they differ by more, more is read, and what is queued once more may
#: be logged twice, which changes nothing about what the log proves.
SKEW: Final = timedelta(minutes=5)

#: Commits before the newest one whose tiles are looked for, before all tiles are made again.
BACK: Final = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be added to the log.

    Parameters:
        since: no entry for it can be older; None: that is not known.
        doubt: why it must not be added: it may be planted. Empty: it may.
    """

    signature_id: str
    entry: Entry
    since: datetime | None
    doubt: str = ""

    @property
    def leaf(self) -> bytes:
        return leaf_hash(self.entry.raw)


def candidate_of(evidence: Evidence, region: str, signature_id: str) -> Candidate | None:
    """Return the entry of a verification as the store has it now; None: there is nothing to log.

    Raises ``EvidenceUnavailable``, ``EvidenceConflict`` for evidence that cannot be opened, and ``InvalidInput`` for
    what is no signature id.
    """
    try:
        return _candidate_of(evidence, region, signature_id)
    except EvidenceErased:
        # It was erased after its key was read: now there is a tombstone.
        return _candidate_of(evidence, region, signature_id)


def _candidate_of(evidence: Evidence, region: str, signature_id: str) -> Candidate | None:
    kept = evidence.of(region, signature_id)
    raw = evidence.keys.read(kept.folder)
    key = None if raw is None else evidence.keys.record(kept.folder, raw)
    if isinstance(key, Tombstone):
        # Without a certificate the erasure goes on; it queues the verification when it ends.
        return (
            Candidate(signature_id, ErasureEntry(key.certificate), _parsed(key.at))
            if key.certificate
            else None
        )
    found = {name: kept.content(name) for name in (paths.MANIFEST, paths.DECISION)}
    manifest, decision = (each.body if each else None for each in found.values())
    if manifest is None and decision is None:
        return None
    entry = VerificationEntry(_sha256(manifest), _sha256(decision))
    moments = [_moment(manifest, "archived_at"), _moment(decision, "decision", "decided_at")]
    known = [each for each in moments if each is not None]
    planted = [name for name, each in found.items() if each and each.may_be_planted]
    doubt = (
        f"{' and '.join(planted)} at {kept.url}, not encrypted by a worker, may be planted: if this is from before "
        "there were keys, run `ekyc evidence rotate`, then `ekyc evidence sequence`"
        if planted
        else ""
    )
    return Candidate(signature_id, entry, max(known) if known else None, doubt)


@dataclass(slots=True)
class _Recent:
    """The newest entries of the log by the hash of their leaf."""

    leaves: dict[bytes, int] = field(default_factory=dict)
    #: When the oldest of them was added; None: they are all entries of the log.
    since: datetime | None = None

    def add(self, commit: Commit) -> None:
        for number, entry in enumerate(commit.raw_entries):
            self.leaves[leaf_hash(entry)] = commit.first + number
        if len(self.leaves) > MOST_RECENT:
            # What is forgotten can still be found in the tiles.
            for leaf in list(self.leaves)[: len(self.leaves) // 2]:
                del self.leaves[leaf]
            # The clock of an older commit may have been ahead of this one.
            self.since = max(commit.at, self.since or commit.at)

    def covers(self, candidate: Candidate, now: datetime) -> bool:
        """Whether an entry for a candidate, if the log has one, must be among these."""
        if self.since is None:
            return True
        # A time in the future is of a clock that was wrong.
        return candidate.since is not None and self.since < candidate.since - SKEW <= now


class Sequencer:
    """Continues the log of one region. Not thread-safe: each thread has its own.

    Every method raises ``EvidenceUnavailable``, ``LedgerUnavailable``, ``LogDamaged`` and ``LogRolledBack``. After an
    error the next call starts over from the store.
    """

    def __init__(
        self,
        log: RegionLog,
        evidence: Evidence,
        queue: EvidenceLogQueue,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._files = log
        self._region = log.region
        self._evidence = evidence
        self._queue = queue
        self._clock = clock
        self._head: Head | None = None
        self._rows: Rows | None = None
        #: Commits whose entries are not in the tiles yet.
        self._unpublished: list[Commit] = []
        self._recent = _Recent()
        #: The size of the published checkpoint when it was last read or written.
        self._published = 0
        #: The verifications that were not added because they may be planted.
        self.doubted: set[str] = set()
        #: Whether the last turn could not read some evidence, or lacks a key: another process may have it.
        self.left_unread = False
        #: The verifications for which the last `_add` has added an entry.
        self._added: set[str] = set()

    def turn(self) -> int:
        """Add everything that waits. Return how many entries were added."""
        try:
            return self._turn()
        except BaseException:
            self._forget()
            raise

    def append(self, candidates: Sequence[Candidate]) -> int:
        """Add candidates that are not in the queue, unless the log has them. Return how many were added."""
        try:
            self._catch_up()
            added = 0
            for start in range(0, len(candidates), MOST):
                # How long ago these ended, only the clocks of workers say, and one of them may be wrong.
                added += self._add(candidates[start : start + MOST], by_time=False)
            self._publish()
            self._note()
        except BaseException:
            self._forget()
            raise
        return added

    @property
    def head(self) -> Head:
        """The head of the log as it was last seen."""
        return self._head or Head()

    def _turn(self) -> int:
        added = unread = 0
        self.left_unread = False
        self._catch_up()
        while waiting := self._queue.pending(self._region, MOST, skip=unread):
            found = self._read(waiting)
            added += self._add([each for each in found.values() if isinstance(each, Candidate)])
            found = {name: each for name, each in found.items() if name not in self.doubted}
            self._publish()
            # What the log had already is no further entry: an audit compares their number with that of the entries.
            taken = [
                (each, each.signature_id in self._added) for each in waiting if each.signature_id in found
            ]
            self._note(taken)
            # Evidence that cannot be read or opened stays in the queue; it must not hold back what was queued after it.
            unread += len(waiting) - len(taken)
        self._publish()
        if not added:
            self._note()
        self._queue.note_unopened(self._region, unread)
        return added

    def _forget(self) -> None:
        self._head, self._rows, self._unpublished, self._recent = None, None, [], _Recent()

    def _catch_up(self) -> None:
        """Read the commits of other processes. Raises ``LogRolledBack`` if commits are gone."""
        # Both are read before the commits: what they name existed by then.
        seen, published = self._queue.seen(self._region), self._files.checkpoint()
        self._published = published.size if published else 0
        if self._head is None:
            self._start(seen.seq)
        head = self.head
        while (commit := self._files.commit(head.seq + 1)) is not None:
            head = self._head = self._files.follow(head, commit)
            self._unpublished.append(commit)
            self._recent.add(commit)
        self._check(seen, head)

    def _start(self, hint: int) -> None:
        newest = self._files.newest(hint)
        self._recent = _Recent()
        self._unpublished = []
        if newest is None:
            self._head = Head()
            return
        tail = [newest]
        while len(tail) < TAIL and tail[-1].seq > 1:
            before = self._files.commit(tail[-1].seq - 1)
            if before is None:
                raise self._rolled_back(f"commit {tail[-1].seq - 1} is missing")
            tail.append(before)
        oldest = tail.pop()
        head = self._files.head_of(oldest) if oldest.seq > 1 else self._files.follow(Head(), oldest)
        self._recent.add(oldest)
        for commit in reversed(tail):
            head = self._files.follow(head, commit)
            self._recent.add(commit)
        self._head = head
        if oldest.seq > 1:
            self._recent.since = oldest.at

    def _check(self, seen: Seen, head: Head) -> None:
        for size, what in ((seen.size, "the ledger has seen"), (self._published, "its checkpoint has")):
            if size > head.size:
                raise self._rolled_back(f"{what} {size} entries, and the commits have {head.size}")
        if seen.seq and seen != _seen(head):
            frontier = self._files.head_of(self._commit(seen.seq)).frontier
            if _seen(Head(seen.seq, frontier)) != seen:
                raise self._rolled_back(f"commit {seen.seq} is not the one that the ledger has seen")

    def _rolled_back(self, why: str) -> LogRolledBack:
        return LogRolledBack(
            f"{self._files.url} was rolled back: {why}: nothing is added to this log; restore its commits from a "
            "backup, see docs/evidence-log.md#when-the-log-does-not-verify"
        )

    def _read(self, waiting: Sequence[Queued]) -> dict[str, Candidate | None]:
        """Return the entry of each, None if there is nothing to log. Leave out what cannot be read or opened."""

        def read(queued: Queued) -> Candidate | EkycError | None:
            try:
                return candidate_of(self._evidence, self._region, queued.signature_id)
            except (EvidenceConflict, EvidenceUnavailable, InvalidInput) as error:
                return error

        with ThreadPoolExecutor(READERS) as readers:
            found = list(zip(waiting, readers.map(read, waiting), strict=True))
        if any(isinstance(each, EvidenceUnavailable) for _, each in found):
            self.left_unread = True
            # Raises if it is the store that is unavailable, and not single objects in it.
            self._files.read(CHECKPOINT)
        for queued, each in found:
            if isinstance(each, EkycError):
                self._not_logged(queued.signature_id, each.cause, str(each))
        return {queued.signature_id: each for queued, each in found if not isinstance(each, EkycError)}

    def _add(self, candidates: Iterable[Candidate], *, by_time: bool = True) -> int:
        """Commit the candidates that the log does not have. Return how many they were.

        `by_time`: what has just ended cannot be an old entry, so that old entries need not be read for it.
        """
        self._added = set()
        wanted = {each.leaf: each for each in candidates}
        self._drop_known(wanted, by_time=by_time)
        self._drop_doubted(wanted)
        for _ in range(TRIES):
            for leaf in wanted.keys() & self._recent.leaves.keys():
                del wanted[leaf]
            if not wanted:
                return 0
            head, new = self.head, list(wanted.values())
            entries, ids = [each.entry for each in new], [each.signature_id for each in new]
            commit = self._files.make(head, entries, ids, self._clock())
            if self._files.append(commit):
                self._head = Head(commit.seq, commit.frontier)
                self._unpublished.append(commit)
                self._recent.add(commit)
                self._added.update(ids)
                return len(new)
            self._catch_up()
        raise EvidenceUnavailable(f"other processes keep writing {self._files.url}")

    def _drop_doubted(self, wanted: dict[bytes, Candidate]) -> None:
        """Drop candidates that may be planted, and that the log does not have."""
        for leaf, each in list(wanted.items()):
            self.doubted.discard(each.signature_id)
            if each.doubt and leaf not in self._recent.leaves:
                del wanted[leaf]
                self.doubted.add(each.signature_id)
                self._not_logged(each.signature_id, EvidenceConflict.cause, each.doubt)

    def _not_logged(self, signature_id: str, cause: str, why: str) -> None:
        _log.error(
            "evidence_not_logged", region=self._region, signature_id=signature_id, cause=cause, why=why
        )

    def _drop_known(self, wanted: dict[bytes, Candidate], *, by_time: bool) -> None:
        """Drop old candidates that the log has. The newest entries, which `_add` knows, cannot show these."""
        now, recent = self._clock(), self._recent
        old = {
            leaf
            for leaf, each in wanted.items()
            if leaf not in recent.leaves
            and recent.since is not None
            and not (by_time and recent.covers(each, now))
        }
        if old:
            self._publish()
            for leaf in LeafIndexes(self._files, remembers=False).find(self.head.size, old):
                del wanted[leaf]

    def _publish(self) -> None:
        """Write the tiles and the checkpoint of the newest commit, as far as they are missing."""
        head = self.head
        if not head.size:
            return
        if self._rows is None:
            self._rows, first = self._load_rows(head)
            self._unpublished = [self._commit(seq) for seq in range(first, head.seq + 1)]
        elif not self._unpublished and self._published == head.size:
            return
        full: list[str] = []
        entries = [entry for commit in self._unpublished for entry in commit.raw_entries]
        for name, body in self._rows.add(entries):
            if not self._files.put(name, body):
                _log.error("evidence_log_tile_changed", region=self._region, tile=f"{self._files.url}/{name}")
            if not name.rpartition("/")[0].endswith(".p"):
                full.append(name)
        newest = self._commit(head.seq)
        self._files.replace(CHECKPOINT, newest.checkpoint.encode())
        self._unpublished, self._published = [], head.size
        for name in full:
            self._drop_partials(name)

    def _load_rows(self, head: Head) -> tuple[Rows, int]:
        """Return the rows of the newest commit whose tiles are there, and the number of the commit after it."""
        for seq in range(head.seq, max(head.seq - BACK, 0), -1):
            frontier = self._files.head_of(self._commit(seq)).frontier
            rows = Rows.read(frontier, self._files.read)
            if rows is not None:
                return rows, seq + 1
        return Rows(), 1

    def _commit(self, seq: int) -> Commit:
        for commit in reversed(self._unpublished):
            if commit.seq == seq:
                return commit
        commit_ = self._files.commit(seq)
        if commit_ is None:
            raise self._rolled_back(f"commit {seq} is missing")
        return commit_

    def _drop_partials(self, tile: str) -> None:
        # A store that locks its objects keeps them.
        with suppress(EvidenceUnavailable):
            for name in self._files.names(f"{tile}.p"):
                self._files.remove(name)

    def _note(self, taken: Sequence[tuple[Queued, bool]] = ()) -> None:
        self._queue.note(self._region, _seen(self.head), taken)


def _sha256(body: bytes | None) -> str | None:
    return None if body is None else hashlib.sha256(body).hexdigest()


def _moment(body: bytes | None, *names: str) -> datetime | None:
    """Return the time at a place in a JSON document; None: there is none."""
    try:
        value: Any = json.loads(body or b"null")
        for name in names:
            value = value[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return _parsed(value)


def _parsed(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _seen(head: Head) -> Seen:
    return Seen(head.seq, head.size, base64.b64encode(head.frontier.root).decode()) if head.size else Seen()
