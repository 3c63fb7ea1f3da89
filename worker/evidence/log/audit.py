"""The audit of a region's log: each commit, tile and entry against the store, and the store and the ledger against it.

It finds what was changed, is missing, was added, reordered, truncated or rolled back since it was logged. It trusts the
key alone: without it, people who can write the store cannot make another log that passes.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from worker.errors import (
    EvidenceConflict,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    LogDamaged,
)
from worker.evidence import paths
from worker.evidence.keys import Tombstone
from worker.evidence.lifecycle import fingerprint
from worker.evidence.log import timestamps
from worker.evidence.log.checkpoint import Checkpoint
from worker.evidence.log.commits import CHECKPOINT, FIRST, UNSIGNED, Commit, Head, commit_name
from worker.evidence.log.entries import ErasureEntry, VerificationEntry
from worker.evidence.log.merkle import leaf_hash, proves_consistency
from worker.evidence.log.notes import NoteRefused, UnknownSigner, open_note
from worker.evidence.log.proofs import TileReader, consistency_of
from worker.evidence.log.sequencer import candidate_of
from worker.evidence.log.tiles import Rows, partial_tiles, tile_name
from worker.evidence.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from worker.evidence.log.commits import RegionLog
    from worker.evidence.log.entries import Entry
    from worker.evidence.log.notes import NoteVerifier
    from worker.evidence.store import Evidence
    from worker.ledger.evidence_log import LogState

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Concurrent readers of the store, and reads that wait for one of them.
READERS: Final = 8
AHEAD: Final = 64

#: The missing commits of one gap that are looked for and named one by one: a number in a name may be any.
MOST_MISSING: Final = 64

#: How long an audit waits for the tiles of a commit that a worker has just written, in seconds.
PUBLISHED_S: Final = 5.0

_COMMIT: Final = re.compile(r"commits/([0-9]{12})")


class Kind(StrEnum):
    """What is wrong with something."""

    CHANGED = "changed"
    MISSING = "missing"
    ADDED = "added"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    ROLLED_BACK = "rolled_back"
    #: It may be right: `ekyc evidence sequence` logs it.
    NOT_LOGGED = "not_logged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `path`: the object, relative to the evidence URL."""

    kind: Kind
    region: str
    path: str
    said: str
    signature_id: str | None = None


class Ledger(Protocol):
    """What an audit asks the ledger."""

    def state(self) -> LogState:
        """Return what the ledger knows of the log."""

    def open_ids(self, signature_ids: Sequence[str]) -> set[str]:
        """Return which of some verifications are under way, or wait to be logged."""

    def why_open(self, signature_id: str) -> str:
        """Return why a verification has no entry yet; empty: it is not open."""

    def was_dropped(self, signature_id: str) -> bool:
        """Return whether a person dropped a verification in quarantine."""


@dataclass(slots=True)
class Report:
    """The audit of one region. `checked`: the verifications whose evidence was compared with the log."""

    region: str
    size: int = 0
    commits: int = 0
    root: str = ""
    checked: int = 0
    findings: list[Finding] = field(default_factory=list)
    #: Verifications in the store without an entry, about which the ledger could not be asked.
    unsure: int = 0
    #: Verifications in the store without an entry that have not ended, or wait to be logged.
    waiting: int = 0
    #: The verifications that were asked for, and could not be compared with the log.
    unproved: list[Unproved] = field(default_factory=list)
    #: For each kept checkpoint that the log continues, the proof of RFC 6962 that it does.
    grown: list[Grown] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unproved:
    """A verification that has no entry. That is no difference, and proves nothing about its evidence."""

    region: str
    signature_id: str
    said: str


@dataclass(frozen=True, slots=True)
class Grown:
    """Proof that a log begins with that of an older checkpoint: for the checkpoint as it is now, by its tiles."""

    size: int
    root: bytes
    proof: tuple[bytes, ...]


@dataclass(slots=True)
class _Entries:
    """The entries of a verification in the log, the oldest first."""

    entries: list[Entry] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)


class Audit:
    """The audit of one region.

    Every method raises ``EvidenceUnavailable`` and ``LedgerUnavailable``: then nothing is proved.

    Parameters:
        ledger: None for an audit of the store alone, which cannot find an old copy of the whole store.
        progress: gets the number of verifications that were checked so far.
        signers: further keys that may have signed certificates of erasure, besides the log's own.
        kept: checkpoints of this log that somebody has kept elsewhere: the log must continue each.
        reviews: by signature id, number and verdict of the reviews that the audit log has.
    """

    def __init__(  # noqa: PLR0913 - what is compared
        self,
        evidence: Evidence,
        log: RegionLog,
        ledger: Ledger | None = None,
        progress: Callable[[int], None] = lambda _: None,
        *,
        signers: Sequence[NoteVerifier] = (),
        kept: Sequence[Checkpoint] = (),
        reviews: Mapping[str, Mapping[int, str]] | None = None,
    ) -> None:
        self._reviews = reviews or {}
        self._evidence = evidence
        self._files = log
        self._ledger = ledger
        self._progress = progress
        self._kept = kept
        self._signers = (*log.keys.verifiers(log.region), *signers)
        self._report = Report(log.region)
        self._by_id: dict[str, _Entries] = {}
        self._roots: dict[int, bytes] = {0: b""}
        #: Those of commits that were written after the files were listed.
        self._newer_roots: dict[int, bytes] = {}
        self._head = Head()
        self._days: dict[str, set[str]] = {}

    def whole(self) -> Report:
        """Compare everything in the region."""
        if self._read_log():
            self._check_evidence(list(self._by_id))
            self._check_strangers()
        return self._report

    def day(self, day: date) -> Report:
        """Compare the whole log, and the evidence of what was logged on one day (UTC)."""
        if self._read_log():
            self._check_evidence(sorted(self._days.get(day.isoformat(), ())))
        return self._report

    def some(self, signature_ids: Sequence[str]) -> Report:
        """Compare the whole log, and the evidence of some verifications."""
        if not self._read_log():
            return self._report
        self._check_evidence([each for each in signature_ids if each in self._by_id])
        left = [each for each in dict.fromkeys(signature_ids) if each not in self._by_id]
        self._check_unlogged(left)
        found = {finding.signature_id for finding in self._report.findings}
        for signature_id in left:
            if signature_id not in found:
                self._check_unproved(signature_id)
        return self._report

    # The log itself.

    def _read_log(self) -> bool:
        """Compare the log with itself and with the ledger. False: no key here has signed any of it."""
        # What the ledger and the checkpoint name existed before the commits are read.
        state = self._ledger.state() if self._ledger else None
        published = self._checkpoint()
        names = set(self._files.names())
        with ThreadPoolExecutor(READERS) as readers:
            self._read_commits(readers, names)
        if self._is_of_another_key(names):
            said = "its signature does not verify with this key, nor does any commit: give the key that signed it"
            self._report.findings.clear()
            self._found(Kind.CHANGED, CHECKPOINT, said)
            return False
        self._check_published(published)
        if state is not None:
            self._check_state(state)
        for each in self._kept:
            self._check_kept(each)
        self._check_timestamps(names)
        return True

    def _is_of_another_key(self, names: set[str]) -> bool:
        """Whether there are commits and a checkpoint, and no key here has signed one of them.

        Whatever else differs follows from that, and says nothing about the log.
        """
        note = self._files.read(CHECKPOINT)
        if note is None or len(self._roots) > 1 or not any(map(_COMMIT.fullmatch, names)):
            return False
        try:
            open_note(note, self._files.keys.verifiers(self._files.region))
        except UnknownSigner:
            return True
        except NoteRefused:
            return False
        return False

    def _read_commits(self, readers: ThreadPoolExecutor, names: set[str]) -> None:
        numbers = sorted(int(found[1]) for name in names if (found := _COMMIT.fullmatch(name)))
        rows: Rows | None = Rows()
        numbers = sorted({*numbers, *self._unlisted(numbers)})
        seen, absent = set[str](), list[tuple[str, bytes]]()
        raw = _ahead(readers, lambda seq: (seq, self._files.read(commit_name(seq))), numbers)
        for seq, body in raw:
            commit = self._parsed(seq, body)
            if commit is None:
                rows = None
                continue
            rows = rows if commit.seq == seq and self._follow(commit) else None
            self._note(commit)
            if rows is not None:
                seen.update(self._check_tiles(readers, rows, commit, names, absent))
        if rows is not None:
            self._check_edges(rows, names, seen, absent)
        self._report.commits = len(numbers)
        self._report.size = self._head.size
        self._report.root = self._head.frontier.root.hex()

    def _unlisted(self, numbers: Sequence[int]) -> Iterator[int]:
        """Yield the commits that were not listed, and are there. The others are findings.

        A file system may list a file, and not another that was written a moment before it.
        """
        for before, number in pairwise((FIRST - 1, *numbers)):
            named = min(number, before + 1 + MOST_MISSING)
            for missing in range(before + 1, named):
                if self._files.read(commit_name(missing)) is None:
                    self._found(Kind.MISSING, commit_name(missing), "is missing")
                else:
                    yield missing
            if named < number:
                self._found(Kind.MISSING, commit_name(named), f"to {commit_name(number - 1)} are missing")

    def _parsed(self, seq: int, body: bytes | None) -> Commit | None:
        if body is None:
            self._found(Kind.MISSING, commit_name(seq), "is missing")
            return None
        try:
            commit = Commit.load(body)
        except ValueError as error:
            self._found(Kind.CHANGED, commit_name(seq), f"cannot be read ({error})")
            return None
        if commit.seq != seq:
            self._found(Kind.REORDERED, commit_name(seq), f"holds commit {commit.seq}")
            with suppress(LogDamaged):
                frontier = self._files.head_of(commit).frontier
                self._roots[frontier.size] = frontier.root
        return commit

    def _follow(self, commit: Commit) -> bool:
        """Follow the log to a commit. False: it is not the next one; its own head counts then, if it is signed."""
        try:
            self._head = self._files.follow(self._head, commit)
        except LogDamaged:
            self._broken(commit)
            return False
        self._roots[self._head.size] = self._head.frontier.root
        return True

    def _broken(self, commit: Commit) -> None:
        """Find out what is wrong with a commit that does not follow."""
        name, before = commit_name(commit.seq), self._head
        try:
            self._head = self._files.head_of(commit)
        except LogDamaged as error:
            self._found(Kind.CHANGED, name, str(error).partition(": nothing")[0].partition(name)[2].strip())
            return
        self._roots[self._head.size] = self._head.frontier.root
        if commit.seq != before.seq + 1 or commit.first != before.size:
            # The commit before it is reported already, unless other commits replaced some.
            if commit.seq == before.seq + 1:
                self._found(
                    Kind.CHANGED, name, f"begins at entry {commit.first}, and the log ends at {before.size}"
                )
            return
        leaves = [leaf_hash(entry) for entry in commit.raw_entries]
        if before.frontier.add(leaves) == self._head.frontier:
            self._found(Kind.CHANGED, name, UNSIGNED)
            return
        logged = self._leaves(commit.first, len(leaves))
        if Counter(leaves) == Counter(logged):
            self._found(Kind.REORDERED, name, "has its entries in another order than it was signed with")
        else:
            self._found(Kind.CHANGED, name, "has other entries than it was signed with")

    def _leaves(self, first: int, count: int) -> list[bytes]:
        """Return hashes of leaves by the tiles, as far as there are tiles."""
        tiles, found = TileReader(self._files, self._head.size), list[bytes]()
        for index in range(first, first + count):
            try:
                found.append(tiles.node(0, index))
            except LogDamaged:
                break
        return found

    def _note(self, commit: Commit) -> None:
        day = self._days.setdefault(commit.at.date().isoformat(), set())
        for number, (signature_id, entry) in enumerate(zip(commit.ids, commit.entries, strict=True)):
            entries = self._by_id.setdefault(signature_id, _Entries())
            entries.entries.append(entry)
            entries.indexes.append(commit.first + number)
            day.add(signature_id)

    def _check_tiles(
        self,
        readers: ThreadPoolExecutor,
        rows: Rows,
        commit: Commit,
        names: set[str],
        absent: list[tuple[str, bytes]],
    ) -> Iterable[str]:
        """Compare the tiles that a commit has filled, and those of its edge if they are there. Return their names.

        `absent` gets name and bytes of the full ones that are not there, or not yet.
        """
        wanted = dict(rows.add(commit.raw_entries))
        partial = {name for name in wanted if name.rpartition("/")[0].endswith(".p")}
        asked = [name for name in wanted if name in names or name not in partial]
        for name, kept in zip(asked, readers.map(self._files.read, asked), strict=True):
            # A partial tile is removed when its tile is full, also after the files were listed.
            if kept is None and name not in partial:
                absent.append((name, wanted[name]))
            elif kept is not None and kept != wanted[name]:
                self._found(Kind.CHANGED, name, "is not the tile of the commits")
        return wanted.keys()

    def _check_edges(
        self, rows: Rows, names: set[str], seen: set[str], absent: Sequence[tuple[str, bytes]]
    ) -> None:
        """Check the partial tiles of the whole tree, and that there are no files that the log does not have.

        Workers may have continued the log since its files were listed.
        """
        head, newer = self._head, set[str]()
        with suppress(LogDamaged):
            while (commit := self._files.commit(head.seq + 1)) is not None:
                head = self._files.follow(head, commit)
                self._newer_roots[head.size] = head.frontier.root
                newer.update(name for name, _ in rows.add(commit.raw_entries))
        # Workers write the tiles of the newer commits at this moment.
        edge = {tile_name(*tile) for tile in partial_tiles(head.size)} - newer - names
        if absent or edge:
            self._await_tiles(head.size)
        said = "is missing: `ekyc evidence sequence` makes it again"
        for name, body in absent:
            kept = self._files.read(name)
            if kept is None:
                self._found(Kind.MISSING, name, said)
            elif kept != body:
                self._found(Kind.CHANGED, name, "is not the tile of the commits")
        for name in sorted(edge):
            if self._files.read(name) is None:
                self._found(Kind.MISSING, name, said)
        for name in sorted(names - seen - newer):
            known = _COMMIT.fullmatch(name) or name == CHECKPOINT or name.startswith(timestamps.FOLDER)
            if not known and not name.rpartition("/")[2].startswith("staged-"):
                self._found(Kind.ADDED, name, "is not a file of the log")

    def _await_tiles(self, size: int) -> None:
        """Wait until a worker that has just written a commit has published it, which it does after its tiles."""
        ends = time.monotonic() + PUBLISHED_S
        with suppress(LogDamaged):
            while (
                (published := self._files.checkpoint()) is not None
                and published.size < size
                and time.monotonic() < ends
            ):
                time.sleep(0.1)

    def _checkpoint(self) -> Checkpoint | None:
        try:
            return self._files.checkpoint()
        except LogDamaged as error:
            self._found(Kind.CHANGED, CHECKPOINT, str(error).rpartition(": ")[2])
            return None

    def _check_published(self, published: Checkpoint | None) -> None:
        if published is None:
            if self._head.size and self._files.read(CHECKPOINT) is None:
                self._found(Kind.MISSING, CHECKPOINT, "is missing: `ekyc evidence sequence` makes it again")
        elif published.size > (size := max(self._roots)):
            said = f"has {published.size} entries, and the commits {size}: the end of the log is cut off"
            self._found(Kind.TRUNCATED, CHECKPOINT, said)
        elif published.size and self._roots.get(published.size) != published.root:
            self._found(Kind.CHANGED, CHECKPOINT, "is of no commit of this log")

    def _check_state(self, state: LogState) -> None:
        seen, size = state.seen, max(self._roots)
        if seen.size > size:
            said = f"has {size} entries, and the ledger saw {seen.size}: this is an older copy, or its end is cut off"
            self._found(Kind.ROLLED_BACK, "", said)
        elif (
            seen.size
            and seen.size in self._roots
            and seen.root != timestamps.base64_of(self._roots[seen.size])
        ):
            self._found(
                Kind.ROLLED_BACK, "", f"has another tree of {seen.size} entries than the ledger has seen"
            )
        if state.lost > 0:
            said = f"lacks {state.lost} verifications that the ledger has queued: they left the queue without an entry"
            self._found(Kind.MISSING, "", said)
        if state.logged > size:
            said = f"has {size} entries, and the ledger has counted {state.logged}"
            self._found(Kind.TRUNCATED, "", said)

    def _check_kept(self, old: Checkpoint) -> None:
        """Check that the log begins with that of a checkpoint that was kept elsewhere."""
        size = max(self._roots)
        if old.size > size:
            said = f"has {size} entries, the kept checkpoint {old.size}: this is an older copy, or its end is cut off"
            self._found(Kind.ROLLED_BACK, "", said)
            return
        new = Checkpoint(old.origin, self._head.size, self._head.frontier.root)
        try:
            proof = consistency_of(self._files, old, new) if old.size else ()
        except LogDamaged as error:
            self._found(Kind.MISSING, "", f"cannot prove that it continues the kept checkpoint: {error}")
            return
        known = self._roots.get(old.size, old.root)
        if old.size and (
            known != old.root or not proves_consistency(old.size, new.size, old.root, new.root, proof)
        ):
            said = f"has another tree of {old.size} entries than the kept checkpoint"
            self._found(Kind.ROLLED_BACK, "", said)
            return
        self._report.grown.append(Grown(old.size, old.root, proof))

    def _check_timestamps(self, names: set[str]) -> None:
        for name in sorted(names):
            if not name.startswith(timestamps.FOLDER):
                continue
            if not timestamps.is_file(name):
                self._found(Kind.ADDED, name, "is not a file of the log")
            elif why := timestamps.fault_of(self._files, name, self._roots | self._newer_roots):
                self._found(Kind.CHANGED, name, why)

    # The evidence.

    def _check_evidence(self, signature_ids: Sequence[str]) -> None:
        with ThreadPoolExecutor(READERS) as readers:
            for found in _ahead(readers, self._compare, signature_ids):
                self._report.findings += found
                self._report.checked += 1
                self._progress(self._report.checked)

    def _compare(self, signature_id: str) -> list[Finding]:
        """Compare the evidence of one verification, once more if it was erased while it was read."""
        with suppress(EvidenceConflict, EvidenceErased):
            found = self._compared(signature_id)
            if not found or not self._erasure_goes_on(signature_id):
                return found
        return self._compared(signature_id)

    def _compared(self, signature_id: str) -> list[Finding]:
        return self._unless_unread(self._compare_once, signature_id)

    def _unless_unread(self, compare: Callable[[str], Iterable[Finding]], signature_id: str) -> list[Finding]:
        """Return what a comparison found. One object that cannot be read is a finding, and stops no other."""
        try:
            return list(compare(signature_id))
        except EvidenceKeyUnknown:
            raise
        except EvidenceUnavailable as error:
            self._evidence.check_answers()
            said = f"cannot be opened: {error}"
            return [self._finding(Kind.CHANGED, self._folder(signature_id), said, signature_id)]

    def _compare_once(self, signature_id: str) -> list[Finding]:
        """Compare the evidence of one verification with its newest entry, and its older entries with that."""
        logged = self._by_id[signature_id].entries
        newest = logged[-1]
        found = [
            self._finding(
                Kind.CHANGED,
                f"{self._folder(signature_id)}/{name}",
                "was logged twice, each time another",
                signature_id,
            )
            for older in logged[:-1]
            for name in _contradicted(older, newest)
        ]
        if isinstance(newest, ErasureEntry):
            return found + self._compare_erased(signature_id, newest)
        evidence, folder = self._evidence.of(self._files.region, signature_id), self._folder(signature_id)
        try:
            candidate = candidate_of(self._evidence, self._files.region, signature_id)
        except EvidenceConflict as error:
            return [*found, self._finding(Kind.CHANGED, folder, f"cannot be opened: {error}", signature_id)]
        if candidate is None:
            kind, said = Kind.MISSING, "is in the log, and not in the store"
            if self._erasure_goes_on(signature_id):
                kind, said = Kind.CHANGED, "is being erased: if that was interrupted, erase it again"
            return [*found, self._finding(kind, folder, said, signature_id)]
        if isinstance(candidate.entry, ErasureEntry):
            if self._is_open(signature_id):
                return found  # it is queued and logged within a minute, or was logged since
            said = "is erased, and the log does not have the erasure"
            return [*found, self._finding(Kind.CHANGED, folder, said, signature_id)]
        wrong = list(self._differences(folder, signature_id, newest, candidate.entry))
        if newest.manifest is not None and not wrong:
            try:
                recorded = self._reviews.get(signature_id)
                wrong = [self._of_line(folder, signature_id, line) for line in verify(evidence, recorded)]
            except EvidenceConflict as error:
                wrong = [self._finding(Kind.CHANGED, folder, f"cannot be opened: {error}", signature_id)]
        return found + wrong

    def _compare_erased(self, signature_id: str, entry: ErasureEntry) -> list[Finding]:
        folder = self._folder(signature_id)
        try:
            candidate = candidate_of(self._evidence, self._files.region, signature_id)
        except EvidenceConflict as error:
            return [self._finding(Kind.CHANGED, folder, f"cannot be opened: {error}", signature_id)]
        if candidate is None:
            return [
                self._finding(
                    Kind.MISSING, f"{folder}/{paths.KEY}", "is missing: the mark of an erasure", signature_id
                )
            ]
        if candidate.entry != entry:
            return [
                self._finding(
                    Kind.CHANGED, folder, "is erased by the log, and not so in the store", signature_id
                )
            ]
        return self._compare_erased_folder(signature_id, entry)

    def _compare_erased_folder(self, signature_id: str, entry: ErasureEntry) -> list[Finding]:
        """Check the certificate, and that nothing is there but what it says is locked."""
        kept = self._evidence.lifecycle(self._files.region, signature_id)
        text, found = kept.certificate(), list[Finding]()
        locked: set[tuple[str, int]] = set()
        certified_at = datetime.now(UTC)
        path = f"{kept.folder}/{paths.CERTIFICATE}"
        if text is None:
            found.append(self._finding(Kind.MISSING, path, "is missing", signature_id))
        elif fingerprint(text) != entry.certificate:
            found.append(self._finding(Kind.CHANGED, path, "has other bytes than the log", signature_id))
        else:
            try:
                note = open_note(text, self._signers)
                certified_at, locked = _locked_by(note, self._files.region, signature_id)
            except ValueError as error:
                why = str(error) if isinstance(error, NoteRefused) else "it is not of this verification"
                found.append(self._finding(Kind.CHANGED, path, f"proves nothing: {why}", signature_id))
        for each in kept.objects():
            if (kept.name(each), each.size_bytes) not in locked or each.kept_at > certified_at:
                said = "is there, although the verification is erased: erase it again"
                found.append(self._finding(Kind.ADDED, each.path, said, signature_id))
        return found

    def _differences(
        self, folder: str, signature_id: str, logged: VerificationEntry, kept: VerificationEntry
    ) -> Iterator[Finding]:
        pairs = (
            (paths.MANIFEST, logged.manifest, kept.manifest),
            (paths.DECISION, logged.decision, kept.decision),
        )
        for name, was, now in pairs:
            if was == now:
                continue
            kind, said = Kind.CHANGED, "has other bytes than the log"
            if now is None:
                kind, said = Kind.MISSING, "is in the log, and not in the store"
            elif was is None:
                if self._is_open(signature_id):
                    continue  # polled again, so that it is logged once more when it ends, or was since
                kind, said = Kind.ADDED, "was added after the verification was logged"
            yield self._finding(kind, f"{folder}/{name}", said, signature_id)

    def _of_line(self, folder: str, signature_id: str, line: str) -> Finding:
        kind = Kind.CHANGED
        if line.endswith("is missing"):
            kind = Kind.MISSING
        elif line.endswith("is not in the manifest"):
            kind = Kind.ADDED
        name, _, said = line.partition(" ")
        return self._finding(kind, f"{folder}/{name}", said, signature_id)

    # The store against the log.

    def _check_strangers(self) -> None:
        left = (each for each in self._evidence.ids(self._files.region) if each not in self._by_id)
        while some := list(islice(left, 1000)):
            self._check_unlogged(some)

    def _check_unlogged(self, signature_ids: Sequence[str]) -> None:
        if not signature_ids:
            return
        if self._ledger is None:
            self._report.unsure += len(signature_ids)
            return
        open_ids = self._ledger.open_ids(signature_ids)
        ended = [each for each in signature_ids if each not in open_ids]
        self._report.waiting += len(signature_ids) - len(ended)
        if not ended:
            return
        newer = self._newer_ids()
        for signature_id in ended:
            if signature_id not in newer:
                self._report.findings += self._unless_unread(self._unlogged, signature_id)

    def _check_unproved(self, signature_id: str) -> None:
        """Say why one that was asked for has no entry, or that nothing of it is there."""
        why = self._ledger.why_open(signature_id) if self._ledger else ""
        try:
            if not why and not self._evidence.of(self._files.region, signature_id).files():
                said = "is neither in the log nor in the store"
                self._found(Kind.MISSING, self._folder(signature_id), said, signature_id)
                return
            candidate = candidate_of(self._evidence, self._files.region, signature_id)
            if candidate is not None and candidate.doubt:
                why = f"has no entry: {candidate.doubt}"
            elif candidate is None and not why and self._was_dropped(signature_id):
                why = "has no entry: it was dropped, and has neither a manifest nor a decision"
        except (EvidenceConflict, EvidenceUnavailable) as error:
            self._evidence.check_answers()
            why = f"has no entry, and cannot be opened: {error}"
        if not why and self._ledger is None:
            why = "has no entry, and the ledger was not asked whether it waits for one"
        said = why or "was logged or erased meanwhile: verify it again"
        self._report.unproved.append(Unproved(self._files.region, signature_id, said))

    def _unlogged(self, signature_id: str) -> Iterator[Finding]:
        """Yield what is wrong with a verification that has ended without an entry."""
        folder = self._folder(signature_id)
        try:
            candidate = candidate_of(self._evidence, self._files.region, signature_id)
        except EvidenceConflict as error:
            yield self._finding(Kind.CHANGED, folder, f"cannot be opened: {error}", signature_id)
            return
        if candidate is not None and candidate.doubt:
            yield self._finding(Kind.ADDED, folder, f"is not in the log, and {candidate.doubt}", signature_id)
        elif candidate is not None:
            said = "has ended, and the log has no entry for it: run `ekyc evidence sequence`"
            yield self._finding(Kind.NOT_LOGGED, folder, said, signature_id)
        elif (
            not self._erasure_goes_on(signature_id)
            and self._evidence.of(self._files.region, signature_id).files()
            and not self._was_dropped(signature_id)
        ):
            said = "is known neither to the log nor to the ledger"
            yield self._finding(Kind.ADDED, folder, said, signature_id)

    def _is_open(self, signature_id: str) -> bool:
        """Whether more of a verification is to be logged, or was logged since the commits were read."""
        # In this order: what no longer waits was logged by then.
        is_open = self._ledger is not None and bool(self._ledger.open_ids([signature_id]))
        return is_open or signature_id in self._newer_ids()

    def _was_dropped(self, signature_id: str) -> bool:
        return self._ledger is not None and self._ledger.was_dropped(signature_id)

    def _erasure_goes_on(self, signature_id: str) -> bool:
        """Whether the data key is destroyed already, and the certificate is not stored yet."""
        folder = self._folder(signature_id)
        try:
            raw = self._evidence.keys.read(folder)
        except EvidenceUnavailable:
            # What cannot be read is a finding already.
            self._evidence.check_answers()
            return False
        return raw is not None and isinstance(self._evidence.keys.record(folder, raw), Tombstone)

    def _newer_ids(self) -> set[str]:
        """Return the verifications that were logged since the commits were read."""
        found: set[str] = set()
        with suppress(LogDamaged):
            head = self._head
            while (commit := self._files.commit(head.seq + 1)) is not None:
                head = self._files.follow(head, commit)
                found.update(commit.ids)
        return found

    def _folder(self, signature_id: str) -> str:
        return paths.folder(self._files.region, signature_id)

    def _found(self, kind: Kind, path: str, said: str, signature_id: str | None = None) -> None:
        if signature_id is None:
            path = f"{self._files.folder}/{path}".rstrip("/")
        self._report.findings.append(self._finding(kind, path, said, signature_id))

    def _finding(self, kind: Kind, path: str, said: str, signature_id: str | None) -> Finding:
        return Finding(kind, self._files.region, path, said, signature_id)


def _locked_by(certificate: str, region: str, signature_id: str) -> tuple[datetime, set[tuple[str, int]]]:
    """Return when a certificate was written, and name and size of what it says is still locked.

    Raises ``ValueError`` if it is not of this verification.
    """
    try:
        members: Any = json.loads(certificate)
        if (members["certificate"], members["region"], members["signature_id"]) != (
            "erasure",
            region,
            signature_id,
        ):
            raise ValueError("it is of another verification")
        now, kept = datetime.now(UTC), members["evidence"]["kept_unreadable"]
        locked = {
            (each["name"], each["size_bytes"])
            for each in kept
            if each["locked_until"] and datetime.fromisoformat(each["locked_until"]) > now
        }
        return datetime.fromisoformat(members["certified_at"]), locked
    except (KeyError, TypeError, RecursionError):
        raise ValueError("it is not a certificate") from None


def _contradicted(older: Entry, newer: Entry) -> list[str]:
    """Return the files of which two entries of a verification say different things."""
    if not isinstance(older, VerificationEntry) or not isinstance(newer, VerificationEntry):
        return []
    pairs = (
        (paths.MANIFEST, older.manifest, newer.manifest),
        (paths.DECISION, older.decision, newer.decision),
    )
    return [name for name, was, now in pairs if was is not None and was != now]


def _ahead(readers: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Map in order, and in parallel, with a bounded number of results in memory."""
    rest: Any = iter(items)
    while some := list(islice(rest, AHEAD)):
        yield from readers.map(function, some)
