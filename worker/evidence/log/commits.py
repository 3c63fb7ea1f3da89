"""The commits of a region's log: the truth of which everything else in its folder is derived.

    log/<region>/commits/<seq>     a commit, written once: entries, the frontier after them, and the signed checkpoint
    log/<region>/checkpoint        the newest checkpoint; the only file that is replaced
    log/<region>/tile/…            the tiles and entries of c2sp.org/tlog-tiles
    log/<region>/timestamps/…      a checkpoint of each day with its RFC 3161 timestamp

Appending is creating the commit with the next number: of several processes exactly one can. Whatever is derived from
commits is the same by whichever process it is written, so a process that is killed leaves nothing to repair by hand.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from worker.errors import EvidenceUnavailable, LogDamaged
from worker.evidence.log.checkpoint import Checkpoint
from worker.evidence.log.entries import Entry, entry_of, members_of
from worker.evidence.log.merkle import HASH_BYTES, Frontier, leaf_hash
from worker.evidence.log.notes import NoteRefused, open_note
from worker.evidence.log.tiles import MAX_ENTRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.evidence.log.log_keys import LogKeys
    from worker.evidence.storage.backend import Backend

VERSION: Final = 1

#: The first number of a commit.
FIRST: Final = 1

CHECKPOINT: Final = "checkpoint"

#: What is wrong with a commit whose own signature does not fit.
UNSIGNED: Final = "has other verifications, or another time, than it was signed with"


@dataclass(frozen=True, slots=True)
class Commit:
    """Some entries in the order in which the log has them, and the log's head after them."""

    seq: int
    #: The index of the first entry.
    first: int
    #: When it was made, by the clock of the process that made it.
    at: datetime
    entries: tuple[Entry, ...]
    #: The verification of each entry. They are not in the tree, so `signature` covers them.
    ids: tuple[str, ...]
    frontier: Frontier
    #: The signed note.
    checkpoint: str
    #: The signed note about the whole commit; see ``statement``.
    signature: str = ""

    @property
    def raw_entries(self) -> list[bytes]:
        """The entries as bytes."""
        return [entry.raw for entry in self.entries]

    def statement(self, origin: str) -> str:
        """Return the text of the note that binds entries to verifications. Its first line is of no checkpoint."""
        return f"{origin} commit\n{self.seq}\n{hashlib.sha256(_dump(self._members())).hexdigest()}\n"

    def dump(self) -> bytes:
        """Return the bytes of the file."""
        return _dump(self._members() | {"signature": self.signature}) + b"\n"

    def _members(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "seq": self.seq,
            "first": self.first,
            "at": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "entries": [members_of(entry) for entry in self.entries],
            "ids": self.ids,
            "frontier": [each.hex() for each in self.frontier.hashes],
            "checkpoint": self.checkpoint,
        }

    @classmethod
    def load(cls, raw: bytes) -> Commit:
        """Parse a commit, which proves nothing yet: see ``RegionLog.head_of``. Raises ``ValueError``."""
        try:
            members: Any = json.loads(raw)
            if members["version"] != VERSION:
                raise ValueError("another version")
            entries = tuple(entry_of(each) for each in members["entries"])
            ids = tuple(str(each) for each in members["ids"])
            first, seq = members["first"], members["seq"]
            hashes = tuple(bytes.fromhex(each) for each in members["frontier"])
            if type(first) is not int or type(seq) is not int or len(ids) != len(entries) or not entries:
                raise ValueError("a member has another type")
            if any(len(each) != HASH_BYTES for each in hashes):
                raise ValueError("a hash has another length")
            frontier = Frontier(first + len(entries), hashes)
            at = datetime.fromisoformat(members["at"]).astimezone(UTC)
            notes = str(members["checkpoint"]), str(members["signature"])
            return cls(seq, first, at, entries, ids, frontier, *notes)
        except (TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            raise ValueError("this is not a commit") from None


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a log after a commit; before the first one, the empty log."""

    seq: int = FIRST - 1
    frontier: Frontier = field(default_factory=Frontier)

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.frontier.size


class RegionLog:
    """The files of a region's log. Thread-safe.

    Every method that reads or writes raises ``EvidenceUnavailable``.
    """

    def __init__(self, backend: Backend, region: str, keys: LogKeys) -> None:
        self._backend = backend
        self.region = region
        self.keys = keys
        self.folder = f"log/{region}"
        self.origin = keys.origin(region)
        self._verifiers = keys.verifiers(region)

    @property
    def url(self) -> str:
        """The URL of the folder."""
        return f"{self._backend.url}/{self.folder}"

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file below the folder; None: it does not exist."""
        return self._backend.read(f"{self.folder}/{name}")

    def create(self, name: str, body: bytes) -> bool:
        """Write a file that is written once. False: it exists."""
        return self._backend.create(f"{self.folder}/{name}", body)

    def replace(self, name: str, body: bytes) -> None:
        """Write a file whatever was there."""
        self._backend.replace(f"{self.folder}/{name}", body)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._backend.remove(f"{self.folder}/{name}")

    def names(self, folder: str = "") -> list[str]:
        """Return the names of all files below a folder of the log, relative to the log's folder."""
        found = self._backend.list(f"{self.folder}/{folder}" if folder else self.folder)
        return [file.path.removeprefix(f"{self.folder}/") for file in found]

    def commit(self, seq: int) -> Commit | None:
        """Return a commit; None: there is none. Raises ``LogDamaged`` if it cannot be parsed or has another number."""
        raw = self.read(commit_name(seq))
        if raw is None:
            return None
        try:
            commit = Commit.load(raw)
        except ValueError as error:
            raise self.damaged(seq, f"cannot be read ({error})") from None
        if commit.seq != seq:
            raise self.damaged(seq, f"holds commit {commit.seq}")
        return commit

    def head_of(self, commit: Commit) -> Head:
        """Return the head after a commit by the commit alone. Raises ``LogDamaged`` if no key of ours has signed it."""
        frontier = commit.frontier
        try:
            checkpoint = Checkpoint.opened(commit.checkpoint, self._verifiers, self.origin)
        except NoteRefused as error:
            raise self.damaged(commit.seq, str(error)) from None
        if not frontier.is_whole or (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root):
            raise self.damaged(commit.seq, "its checkpoint is of another tree")
        return Head(commit.seq, frontier)

    def follow(self, head: Head, commit: Commit) -> Head:
        """Return the head after the next commit. Raises ``LogDamaged`` unless it continues `head` with its entries."""
        if commit.seq != head.seq + 1:
            raise self.damaged(commit.seq, f"does not follow commit {head.seq}")
        if commit.first != head.size:
            raise self.damaged(commit.seq, "does not begin where the log ends")
        after = self.head_of(commit)
        if head.frontier.add(map(leaf_hash, commit.raw_entries)) != after.frontier:
            raise self.damaged(commit.seq, "its entries are not those of its checkpoint")
        self._check_signature(commit)
        return after

    def make(self, head: Head, entries: Sequence[Entry], ids: Sequence[str], at: datetime) -> Commit:
        """Return the commit that would follow `head`."""
        for entry in entries:
            if len(entry.raw) > MAX_ENTRY:
                raise ValueError("an entry is too long")
        frontier = head.frontier.add(leaf_hash(entry.raw) for entry in entries)
        checkpoint = Checkpoint(self.origin, frontier.size, frontier.root)
        note = checkpoint.signed(self.keys.signer(self.region))
        made = Commit(head.seq + 1, head.size, at, tuple(entries), tuple(ids), frontier, note)
        # What is signed is what a reader parses: a file has no more than milliseconds.
        made = Commit.load(made.dump())
        return replace(made, signature=self.keys.signer(self.region).sign(made.statement(self.origin)))

    def append(self, commit: Commit) -> bool:
        """Write a commit. False: another process has written the one of this number."""
        return self.create(commit_name(commit.seq), commit.dump())

    def newest(self, hint: int = FIRST - 1) -> Commit | None:
        """Return the newest commit, in O(log n) reads; None: the log is empty. `hint`: the number of one that exists.

        It relies on numbers without a gap. A gap shows as a rollback, since the newest number was noted before.
        """
        low = hint if hint >= FIRST and self._has(hint) else FIRST - 1
        step = 1
        while self._has(low + step):
            low += step
            step *= 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._has(middle) else (low, middle)
        return self.commit(low) if low >= FIRST else None

    def checkpoint(self) -> Checkpoint | None:
        """Return the published checkpoint; None: there is none. Raises ``LogDamaged`` if no key of ours signed it."""
        raw = self.read(CHECKPOINT)
        return None if raw is None else self.opened(raw)

    def opened(self, raw: bytes) -> Checkpoint:
        """Return the checkpoint that the bytes of its file hold. Raises ``LogDamaged`` if no key of ours signed it."""
        try:
            return Checkpoint.opened(raw, self._verifiers, self.origin)
        except NoteRefused as error:
            raise LogDamaged(f"{self.url}/{CHECKPOINT}: {error}") from None

    def damaged(self, seq: int, why: str) -> LogDamaged:
        """Return an error about a commit."""
        return LogDamaged(
            f"{self.url}/{commit_name(seq)} {why}: nothing is added to this log; run `ekyc evidence verify --region "
            f"{self.region}`, see docs/evidence-log.md#when-the-log-does-not-verify"
        )

    def put(self, name: str, body: bytes) -> bool:
        """Write a derived file once. False: it exists with other bytes, so it was changed."""
        if self.create(name, body):
            return True
        kept = self.read(name)
        if kept is None:
            raise EvidenceUnavailable(f"another process is writing or removing {self.url}/{name}")
        return kept == body

    def _check_signature(self, commit: Commit) -> None:
        try:
            same = open_note(commit.signature, self._verifiers) == commit.statement(self.origin)
        except NoteRefused:
            same = False
        if not same:
            raise self.damaged(commit.seq, UNSIGNED)

    def _has(self, seq: int) -> bool:
        return self.read(commit_name(seq)) is not None


def _dump(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()


def commit_name(seq: int) -> str:
    """Return the name of a commit's file below the folder of the log."""
    return f"commits/{seq:012}"
