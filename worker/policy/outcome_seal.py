"""MACs over what workers write into the ledger and act on later: outcomes, decisions, bodies of deliveries. Pure.

A client that can write to Redis, but holds no key of the workers, cannot make one. Each MAC is HMAC-SHA256, cut to 16
bytes, over the kind of what it covers, the region, the id, and the values. So the MAC of another verification, or of
another kind, proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError
from worker.keyring import NamedKey, parse_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.ledger.models import Verification
    from worker.settings import Settings

#: Bytes of a MAC: 22 characters of base64url.
MAC_BYTES: Final = 16

#: A change makes every MAC in every ledger worthless.
_PURPOSE: Final = "ekyc ledger seal v1"


class Sealed(StrEnum):
    """What a MAC covers."""

    OUTCOME = "outcome"
    DECISION = "decision"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What decides about a verification: what the vendor answered, or why there is no answer.

    Parameters:
        reason: why it was settled without a result, or what contradicts its result.
        facts: the text of the ledger's field `FACTS`; None where there is no result.
    """

    overall_result: str | None
    error_code: str | None
    reason: str | None
    facts: str | None = None

    @classmethod
    def of(cls, verification: Verification) -> Outcome:
        """The outcome that the ledger has. A Redis client may have written it."""
        return cls(
            verification.overall_result, verification.error_code, verification.reason, verification.facts
        )


@dataclass(frozen=True, slots=True)
class Sealer:
    """Makes and checks MACs. The first key makes them; each of the keys confirms one. Thread-safe."""

    _keys: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def from_secrets(cls, secrets: Iterable[bytes]) -> Sealer:
        """A sealer with a key from each secret, the current one first. An empty secret is left out."""
        return cls(tuple(_derived(secret) for secret in secrets if secret))

    @classmethod
    def from_settings(cls, settings: Settings) -> Sealer:
        """The sealer of a process with these settings."""
        return cls.from_secrets(key_secrets(settings))

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def outcome(self, region: str, signature_id: str, outcome: Outcome) -> str:
        """Return the MAC of an outcome."""
        return self._seal(Sealed.OUTCOME, region, signature_id, *_parts(outcome))

    def confirms_outcome(self, verification: Verification) -> bool:
        """Whether a worker recorded the outcome that the ledger has."""
        return self._confirms(
            verification.outcome_seal,
            Sealed.OUTCOME,
            verification.region,
            verification.signature_id,
            *_parts(Outcome.of(verification)),
        )

    def decision(self, region: str, signature_id: str, name: str, text: str) -> str:
        """Return the MAC of a fixed decision."""
        return self._seal(Sealed.DECISION, region, signature_id, name, text)

    def confirms_decision(self, verification: Verification) -> bool:
        """Whether a worker fixed the decision that the ledger has."""
        return self.confirms_text(
            verification.decision_seal,
            verification.region,
            verification.signature_id,
            verification.decision_name,
            verification.decision,
        )

    def confirms_text(
        self, seal: str | None, region: str, signature_id: str, name: str | None, text: str | None
    ) -> bool:
        """Whether a worker fixed this decision."""
        return self._confirms(seal, Sealed.DECISION, region, signature_id, name, text)

    def delivery(self, region: str, delivery_id: str, endpoint: str, body: str) -> str:
        """Return the MAC of the body of a delivery."""
        return self._seal(Sealed.DELIVERY, region, delivery_id, endpoint, body)

    def confirms_delivery(
        self, seal: str | None, region: str, delivery_id: str, endpoint: str, body: str
    ) -> bool:
        """Whether a worker made the body of a delivery."""
        return self._confirms(seal, Sealed.DELIVERY, region, delivery_id, endpoint, body)

    def _seal(self, kind: Sealed, *parts: str | None) -> str:
        if not self._keys:
            raise ConfigError("ADVANCE_SECRET_KEY is not set: workers seal with it what they record")
        return base64.urlsafe_b64encode(_mac(self._keys[0], _content(kind, parts))).rstrip(b"=").decode()

    def _confirms(self, seal: str | None, kind: Sealed, *parts: str | None) -> bool:
        given = _decoded(seal)
        if given is None:
            return False
        content = _content(kind, parts)
        return any(hmac.compare_digest(_mac(key, content), given) for key in self._keys)


def key_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The secrets of the workers from which the keys are derived, the current one first.

    With keys for evidence, the vendor's secret key still confirms what was sealed before there were any.
    """
    keyring = parse_keys(settings.evidence_keys)
    named = [key.secret for key in keyring.keys] if keyring else []
    return (*named, settings.secret_key.encode())


def _parts(outcome: Outcome) -> tuple[str | None, ...]:
    return (outcome.overall_result, outcome.error_code, outcome.reason, outcome.facts)


def _content(kind: Sealed, parts: Iterable[str | None]) -> bytes:
    """The kind and the parts, each with its length before it, so that no two lists of parts have the same content."""
    found = [b"%d:%s" % (len(kind), kind.encode())]
    for part in parts:
        raw = None if part is None else part.encode("utf-8", "surrogatepass")
        found.append(b"-" if raw is None else b"%d:%s" % (len(raw), raw))
    return b",".join(found)


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")[:MAC_BYTES]


def _decoded(seal: str | None) -> bytes | None:
    """The bytes of a MAC; None for a text that no sealer has made."""
    if not seal or not seal.isascii():
        return None
    try:
        return base64.b64decode(seal + "=" * (-len(seal) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def _derived(secret: bytes) -> bytes:
    return NamedKey("", secret).derive(_PURPOSE)
