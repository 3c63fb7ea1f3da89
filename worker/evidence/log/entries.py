"""The entries of the log: canonical JSON that shows nothing about a person. Pure.

The manifest and the record of the decision hold a random salt, so that their hashes cannot be guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class VerificationEntry:
    """The SHA-256 of the manifest and of the record of the decision, before encryption. None: there is none."""

    manifest: str | None
    decision: str | None

    @property
    def raw(self) -> bytes:
        """The bytes that the log has."""
        return _dump({"type": "verification", "manifest": self.manifest, "decision": self.decision})


@dataclass(frozen=True, slots=True)
class ErasureEntry:
    """The SHA-256 of the certificate of an erasure. The entries of the erased verification stay, and so all proofs."""

    certificate: str

    @property
    def raw(self) -> bytes:
        """The bytes that the log has."""
        return _dump({"type": "erased", "certificate": self.certificate})


Entry: TypeAlias = VerificationEntry | ErasureEntry


def entry_of(members: Any) -> Entry:
    """Return the entry with these members of JSON. Raises ``ValueError``."""
    match members:
        case {"type": "verification", "manifest": manifest, "decision": decision}:
            hashes, entry = (manifest, decision), VerificationEntry(manifest, decision)
            if hashes == (None, None):
                raise ValueError("an entry names a manifest or a decision")
            for each in hashes:
                _check_hash(each, optional=True)
            return entry
        case {"type": "erased", "certificate": certificate}:
            _check_hash(certificate)
            return ErasureEntry(certificate)
    raise ValueError("this is not an entry")


def members_of(entry: Entry) -> dict[str, Any]:
    """Return the members of an entry's JSON."""
    members: dict[str, Any] = json.loads(entry.raw)
    return members


def _check_hash(text: Any, *, optional: bool = False) -> None:
    if text is None and optional:
        return
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise ValueError("a hash is 64 hexadecimal digits")


def _dump(members: dict[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
