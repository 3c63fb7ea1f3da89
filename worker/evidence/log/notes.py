"""Signed notes of C2SP (c2sp.org/signed-note) with Ed25519, and their keys as text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The byte of Ed25519 among the types of signatures.
ED25519: Final = b"\x01"

#: What begins the text of a private key.
PRIVATE: Final = "PRIVATE+KEY+"

#: The most bytes of a note, and the most signatures: a reader must bound both.
MAX_NOTE: Final = 64 * 1024
MAX_SIGNATURES: Final = 16

_KEY_BYTES: Final = 32
_ID_BYTES: Final = 4
_DASH: Final = "— "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_ID: Final = re.compile(r"[0-9a-f]{8}")


class NoteRefused(ValueError):
    """Raised for a note that has no valid signature of a known key, or is not a note. The message quotes nothing."""


class UnknownSigner(NoteRefused):
    """Raised for a note that only other keys have signed."""


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """The public key of one signer."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> NoteVerifier:
        """Parse `<name>+<id>+<base64>`. Raises ``ValueError``."""
        name, key_id, encoded = _parts(text)
        verifier = cls(name, _key(encoded))
        if verifier.key_id.hex() != key_id:
            raise ValueError("the id of the key does not match its name and bytes")
        Ed25519PublicKey.from_public_bytes(verifier.public)
        return verifier

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether the bytes of a signature, without the id of the key, are those of this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """The private key of one signer."""

    name: str
    _seed: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> NoteSigner:
        """Parse `PRIVATE+KEY+<name>+<id>+<base64>`. Raises ``ValueError``, which quotes nothing of it."""
        if not text.startswith(PRIVATE):
            raise ValueError("a private key begins with PRIVATE+KEY+")
        name, key_id, encoded = _parts(text.removeprefix(PRIVATE))
        signer = cls(name, _key(encoded))
        if signer.verifier.key_id.hex() != key_id:
            raise ValueError("the id of the key does not match its name and bytes")
        return signer

    @property
    def verifier(self) -> NoteVerifier:
        """The public key."""
        return NoteVerifier(self.name, self._private.public_key().public_bytes_raw())

    def named(self, name: str) -> NoteSigner:
        """Return the same key under another name, which has another id."""
        return NoteSigner(name, self._seed)

    def private_text(self) -> str:
        """Return the private key as text. It is a secret."""
        encoded = base64.b64encode(ED25519 + self._seed).decode()
        return f"{PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    def sign(self, text: str) -> str:
        """Return the signed note of a text that ends in a newline."""
        if not text.endswith("\n") or _CONTROL.search(text):
            raise ValueError("the text of a note ends in a newline and has no control characters")
        signature = self.verifier.key_id + self._private.sign(text.encode())
        return f"{text}\n{_DASH}{self.name} {base64.b64encode(signature).decode()}\n"

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._seed)


def new_signer(name: str) -> NoteSigner:
    """Return a new random key. Raises ``ValueError`` for a name that a note cannot have."""
    _check_name(name)
    return NoteSigner(name, Ed25519PrivateKey.generate().private_bytes_raw())


def open_note(note: str | bytes, verifiers: Iterable[NoteVerifier]) -> str:
    """Return the text of a note that at least one of the known keys has signed. Raises ``NoteRefused``.

    Signatures of other keys are ignored. A wrong signature under the name and the id of a known key refuses the note.
    """
    known = {(each.name, each.key_id): each for each in verifiers}
    text, lines = _taken_apart(note)
    signed = False
    for line in lines:
        name, signature = _signature(line)
        verifier = known.get((name, signature[:_ID_BYTES]))
        if verifier is None:
            continue
        if not verifier.verifies(text, signature[_ID_BYTES:]):
            raise NoteRefused("the signature of a known key is wrong")
        signed = True
    if not signed:
        raise UnknownSigner("no known key has signed this note")
    return text


def _taken_apart(note: str | bytes) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE:
        raise NoteRefused("the note is too large")
    try:
        whole = note.decode() if isinstance(note, bytes) else note
    except UnicodeDecodeError:
        raise NoteRefused("the note is not UTF-8") from None
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n") or _CONTROL.search(whole):
        raise NoteRefused("this is not a signed note")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteRefused("the note has too many signatures")
    return f"{text}\n", lines


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        signature = base64.b64decode(encoded, validate=True)
        _check_name(name)
    except (ValueError, binascii.Error):
        signature = b""
    if not line.startswith(_DASH) or len(signature) <= _ID_BYTES:
        raise NoteRefused("a line of the signatures cannot be read")
    return name, signature


def _parts(text: str) -> tuple[str, str, str]:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    _check_name(name)
    if not _ID.fullmatch(key_id) or not encoded:
        raise ValueError("a key is its name, its id and its bytes, separated by +")
    return name, key_id, encoded


def _key(encoded: str) -> bytes:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("the bytes of the key are not base64") from None
    if len(raw) != 1 + _KEY_BYTES or raw[:1] != ED25519 or base64.b64encode(raw).decode() != encoded:
        raise ValueError("this is not an Ed25519 key")
    return raw[1:]


def _check_name(name: str) -> None:
    if not name or "+" in name or any(character.isspace() for character in name) or _CONTROL.search(name):
        raise ValueError("the name of a key has neither spaces nor +, and is not empty")
