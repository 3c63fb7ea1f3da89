"""Checkpoints and proofs as text: c2sp.org/tlog-checkpoint and c2sp.org/tlog-proof."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.evidence.log.merkle import HASH_BYTES, leaf_hash, proves_inclusion
from worker.evidence.log.notes import NoteRefused, open_note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.evidence.log.notes import NoteSigner, NoteVerifier

#: The first line of a proof.
PROOF: Final = "c2sp.org/tlog-proof@v1"

#: A proof of a tree with 2**63 leaves has fewer hashes.
MAX_HASHES: Final = 64

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: how many entries it has, and the root of their tree."""

    origin: str
    size: int
    root: bytes

    def signed(self, signer: NoteSigner) -> str:
        """Return the signed note."""
        return signer.sign(f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n")

    @classmethod
    def opened(cls, note: str | bytes, verifiers: Iterable[NoteVerifier], origin: str) -> Checkpoint:
        """Return the checkpoint of a note that a known key has signed. Raises ``NoteRefused``."""
        lines = open_note(note, verifiers).split("\n")
        if len(lines) <= _LINES or not all(lines[:-1]):
            raise NoteRefused("this is not a checkpoint")
        if lines[0] != origin:
            raise NoteRefused("the checkpoint is of another log")
        return cls(origin, _number(lines[1]), _hash(lines[2]))


@dataclass(frozen=True, slots=True)
class Proof:
    """Shows offline that a log has an entry.

    Parameters:
        checkpoint: the signed note.
    """

    index: int
    entry: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str

    def text(self) -> str:
        """Return the proof in the format `tlog-proof`. The entry itself is not in it."""
        lines = [PROOF, f"index {self.index}", *(base64.b64encode(each).decode() for each in self.hashes)]
        return "\n".join([*lines, "", self.checkpoint])

    @classmethod
    def parse(cls, text: str, entry: bytes) -> Proof:
        """Parse a proof of an entry. It proves nothing before ``proves``. Raises ``NoteRefused``."""
        head, blank, checkpoint = text.partition("\n\n")
        first, *lines = head.split("\n")
        if lines and lines[0].startswith("extra "):
            del lines[0]
        word, _, index = (lines or [""])[0].partition(" ")
        if first != PROOF or not blank or word != "index" or len(lines) > MAX_HASHES:
            raise NoteRefused("this is not a proof")
        return cls(_number(index), entry, tuple(map(_hash, lines[1:])), checkpoint)

    def proves(self, verifiers: Iterable[NoteVerifier], origin: str) -> Checkpoint:
        """Return the checkpoint whose tree has the entry at the index. Raises ``NoteRefused``."""
        checkpoint = Checkpoint.opened(self.checkpoint, verifiers, origin)
        leaf = leaf_hash(self.entry)
        if not proves_inclusion(self.index, checkpoint.size, leaf, self.hashes, checkpoint.root):
            raise NoteRefused("the checkpoint's tree does not have this entry")
        return checkpoint


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise NoteRefused("a number cannot be read")
    return int(text)


def _hash(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != HASH_BYTES or base64.b64encode(raw).decode() != text:
        raise NoteRefused("a hash cannot be read")
    return raw
