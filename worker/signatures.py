"""Signatures of deliveries, in the format of Standard Webhooks (https://www.standardwebhooks.com).

The signed content is `id.timestamp.body`. A delivery has three headers:

    webhook-id: 5b0e…                           the same for every attempt
    webhook-timestamp: 1767225600               seconds since 1970, in UTC
    webhook-signature: v1,…base64… v1a,…base64…

`v1` is HMAC-SHA256 with a secret that both sides know (`whsec_…`). `v1a` is ed25519: the sender has a private key
(`whsk_…`), receivers have its public key (`whpk_…`) and cannot sign. During a rotation there is one signature for each
secret and key, and a receiver accepts a delivery if one of them is right.

Importing this module needs only the standard library; ed25519 needs `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets as random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from worker.errors import ConfigError, SignatureRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import ModuleType

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

#: Seconds by which the timestamp of a delivery may differ from the receiver's clock.
TOLERANCE_S: Final = 300.0

#: The most secrets or keys in use at the same time.
MAX_KEYS: Final = 8

_SECRET: Final = "whsec_"  # noqa: S105 - not one itself
_PRIVATE: Final = "whsk_"
_PUBLIC: Final = "whpk_"

#: The sizes of a secret in bytes, as the format requires them.
_SECRET_BYTES: Final = range(24, 65)
_KEY_BYTES: Final = 32

#: A dot would make the signed content ambiguous.
_ID: Final = re.compile(r"[!-\-/-~]{1,255}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = re.compile(r"(v1),([A-Za-z0-9+/]{43}=)|(v1a),([A-Za-z0-9+/]{86}==)")

#: The longest header of signatures: more than those of 16 keys.
_MAX_HEADER: Final = 2048


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs deliveries with every secret and private key, in the given order. Thread-safe.

    Raises ``ValueError`` if there is neither a secret nor a key.
    """

    secrets: Sequence[bytes] = field(default=(), kw_only=True, repr=False)
    private_keys: Sequence[Ed25519PrivateKey] = field(default=(), kw_only=True, repr=False)

    def __post_init__(self) -> None:
        _freeze(self, "secrets", "private_keys")

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Return the three headers of a delivery. `timestamp` is in seconds since 1970.

        Raises ``ValueError`` for an id with a blank, a dot or a character that is not ASCII.
        """
        if not _ID.fullmatch(message_id):
            raise ValueError("the id must be 1 to 255 of printable ASCII, without blanks and dots")
        content = _content(message_id, str(int(timestamp)), body)
        signatures = [
            *(f"v1,{_base64(_hmac(secret, content))}" for secret in self.secrets),
            *(f"v1a,{_base64(key.sign(content))}" for key in self.private_keys),
        ]
        return {ID: message_id, TIMESTAMP: str(int(timestamp)), SIGNATURE: " ".join(signatures)}


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies deliveries. One signature that one secret or one public key confirms is enough. Thread-safe.

    Parameters:
      tolerance_s: seconds by which the timestamp may be in the past, or up to 300 of them in the future.

    Raises ``ValueError`` if there is neither a secret nor a key.
    """

    secrets: Sequence[bytes] = field(default=(), kw_only=True, repr=False)
    public_keys: Sequence[Ed25519PublicKey] = field(default=(), kw_only=True, repr=False)
    tolerance_s: float = field(default=TOLERANCE_S, kw_only=True)

    def __post_init__(self) -> None:
        _freeze(self, "secrets", "public_keys")

    def verify(self, headers: Mapping[str, str], body: bytes, now: float | None = None) -> str:
        """Return the id of a delivery, for idempotency. Raises ``SignatureRefused`` with the reason.

        `body`: the bytes as they were received, never JSON that was parsed and written again.
        """
        message_id, timestamp, signatures = _headers(headers)
        age_s = (time.time() if now is None else now) - int(timestamp)
        if age_s > self.tolerance_s:
            raise SignatureRefused(
                SignatureRefused.STALE, f"the timestamp is more than {self.tolerance_s:g} s in the past"
            )
        if -age_s > min(self.tolerance_s, TOLERANCE_S):
            raise SignatureRefused(
                SignatureRefused.STALE, "the timestamp is in the future: compare the clocks of both sides"
            )
        content = _content(message_id, timestamp, body)
        if not any(self._confirms(version, signature, content) for version, signature in signatures):
            raise SignatureRefused(SignatureRefused.WRONG, "no signature is right for these secrets and keys")
        return message_id

    def _confirms(self, version: str, signature: bytes, content: bytes) -> bool:
        if version == "v1":
            # A list: the time must not show which of the secrets is right.
            return any([hmac.compare_digest(_hmac(secret, content), signature) for secret in self.secrets])  # noqa: C419
        return any(_is_by(key, signature, content) for key in self.public_keys)


def task_body(name: str, payload: Any) -> bytes:
    """Return the bytes that are signed for a Celery task: its name, and its payload in a canonical form.

    The consumer sees the payload only after JSON was read from it, so this form does not depend on how the JSON was
    written. The name is signed, too: a decision that is sent to the task of another decision is refused.
    """
    return json.dumps(
        {"payload": payload, "task": name},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
    ).encode("ascii")


def key_signer(text: str) -> Signer | None:
    """Return the signer with the keys of EKYC_SIGNING_KEY; None if there are none. Raises ``ValueError``."""
    return Signer(private_keys=parse_private_keys(text)) if text else None


def public_keys(text: str) -> tuple[Ed25519PublicKey, ...]:
    """Return the public keys of those of EKYC_SIGNING_KEY, in their order. Raises ``ValueError``."""
    return tuple(key.public_key() for key in parse_private_keys(text)) if text else ()


def key_ids(text: str) -> str:
    """Return the ids of the keys of EKYC_SIGNING_KEY in their order, with commas. Raises ``ValueError``."""
    return ",".join(map(key_id, public_keys(text)))


def new_secret() -> bytes:
    """Return a new random secret."""
    return random.token_bytes(_KEY_BYTES)


def new_private_key() -> Ed25519PrivateKey:
    """Return a new random private key."""
    key: Ed25519PrivateKey = _ed25519().Ed25519PrivateKey.generate()
    return key


def parse_secret(text: str) -> bytes:
    """Return the secret of `whsec_…`. Raises ``ValueError``, which does not quote it, as the other functions here."""
    secret = _decoded(text, _SECRET, "a secret")
    if len(secret) not in _SECRET_BYTES:
        raise ValueError(f"a secret has 24 to 64 bytes, this one has {len(secret)}")
    return secret


def format_secret(secret: bytes) -> str:
    return _SECRET + _base64(secret)


def parse_private_key(text: str) -> Ed25519PrivateKey:
    """Return the private key of `whsk_…`: 32 bytes, or these and the 32 bytes of the public key."""
    raw = _decoded(text, _PRIVATE, "a private key")
    if len(raw) not in {_KEY_BYTES, 2 * _KEY_BYTES}:
        raise ValueError(f"a private key has 32 or 64 bytes, this one has {len(raw)}")
    key: Ed25519PrivateKey = _ed25519().Ed25519PrivateKey.from_private_bytes(raw[:_KEY_BYTES])
    if raw[_KEY_BYTES:] not in {b"", key.public_key().public_bytes_raw()}:
        raise ValueError("the second half of the private key is not its public key: copy it again")
    return key


def format_private_key(key: Ed25519PrivateKey) -> str:
    return _PRIVATE + _base64(key.private_bytes_raw() + key.public_key().public_bytes_raw())


def parse_public_key(text: str) -> Ed25519PublicKey:
    """Return the public key of `whpk_…`."""
    raw = _decoded(text, _PUBLIC, "a public key")
    if len(raw) != _KEY_BYTES:
        raise ValueError(f"a public key has 32 bytes, this one has {len(raw)}")
    key: Ed25519PublicKey = _ed25519().Ed25519PublicKey.from_public_bytes(raw)
    return key


def format_public_key(key: Ed25519PublicKey) -> str:
    return _PUBLIC + _base64(key.public_bytes_raw())


def key_id(key: Ed25519PublicKey) -> str:
    """Return a short name of a public key, for people and logs."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def parse_private_keys(text: str) -> tuple[Ed25519PrivateKey, ...]:
    """Return the keys of a setting or file, separated by commas or line ends: the newest first."""
    return _each(text, parse_private_key, _raw_private)


def parse_public_keys(text: str) -> tuple[Ed25519PublicKey, ...]:
    """Return the keys of a setting or file, separated by commas or line ends."""
    return _each(text, parse_public_key, _raw_public)


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Return the secrets of a setting or file, separated by commas or line ends: the newest first."""
    return _each(text, parse_secret, bytes)


def _raw_private(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes_raw()


def _raw_public(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes_raw()


def _each(text: str, parse: Callable[[str], Any], raw: Callable[[Any], bytes]) -> tuple[Any, ...]:
    entries = [entry.strip() for entry in text.replace(",", "\n").splitlines() if entry.strip()]
    if not 1 <= len(entries) <= MAX_KEYS:
        raise ValueError(f"give 1 to {MAX_KEYS}, separated by commas or line ends")
    found = []
    for number, entry in enumerate(entries, start=1):
        try:
            found.append(parse(entry))
        except ValueError as error:
            raise ValueError(f"{_entry(number, len(entries))}{error}") from None
    if len({raw(one) for one in found}) < len(found):
        raise ValueError("one of them is given twice")
    return tuple(found)


def _entry(number: int, count: int) -> str:
    return f"entry {number}: " if count > 1 else ""


def _decoded(text: str, prefix: str, noun: str) -> bytes:
    text = text.strip()
    if not text.startswith(prefix):
        other = next((each for each in (_SECRET, _PRIVATE, _PUBLIC) if text.startswith(each)), None)
        raise ValueError(f"{noun} begins with {prefix}{f', this one with {other}' if other else ''}")
    encoded = text.removeprefix(prefix).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{noun} is base64 after {prefix}: copy all of it") from None


def _headers(headers: Mapping[str, str]) -> tuple[str, str, list[tuple[str, bytes]]]:
    """Return id, timestamp and the signatures of the versions that are known."""
    given = {name.lower(): value for name, value in headers.items() if isinstance(name, str)}
    for name in (ID, TIMESTAMP, SIGNATURE):
        if not given.get(name):
            raise SignatureRefused(SignatureRefused.MISSING, f"there is no header {name}")
    for name, form in ((ID, _ID), (TIMESTAMP, _TIMESTAMP)):
        if not isinstance(given[name], str) or not form.fullmatch(given[name]):
            raise SignatureRefused(SignatureRefused.MALFORMED, f"the header {name} cannot be read")
    signatures = given[SIGNATURE]
    if not isinstance(signatures, str) or len(signatures) > _MAX_HEADER:
        raise SignatureRefused(SignatureRefused.MALFORMED, f"the header {SIGNATURE} cannot be read")
    known = list(_known(signatures))
    if not known:
        raise SignatureRefused(
            SignatureRefused.MALFORMED, f"the header {SIGNATURE} has no signature of the form v1,… or v1a,…"
        )
    return given[ID], given[TIMESTAMP], known


def _known(signatures: str) -> Iterator[tuple[str, bytes]]:
    for text in signatures.split(" "):
        if found := _SIGNATURE.fullmatch(text):
            yield found[1] or found[3], base64.b64decode(found[2] or found[4])


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((message_id.encode(), timestamp.encode(), body))


def _hmac(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret, content, "sha256")


def _is_by(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only ed25519 needs it

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _freeze(value: Signer | Verifier, *names: str) -> None:
    for name in names:
        object.__setattr__(value, name, tuple(getattr(value, name)))
    if not any(getattr(value, name) for name in names):
        raise ValueError("give at least one secret or key")


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - only ed25519 needs it
    except ImportError:
        raise ConfigError(
            "ed25519 needs the package cryptography: pip install 'cryptography>=46,<51'"
        ) from None
    return ed25519
