"""The parts of an erasure, as the settings give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.advance.client import Client
from worker.errors import ConfigError, EvidenceConflict, EvidenceKeyUnknown
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.notes import NoteSigner, NoteVerifier
from worker.evidence.marks import RetentionFact
from worker.evidence.store import Evidence
from worker.ledger import Ledger
from worker.ledger.erasures import Erasures
from worker.ledger.evidence_log import EvidenceLogQueue
from worker.policy.retention import load
from worker.records.erasure import Eraser, Vendor
from worker.records.retention import kept
from worker.signatures import parse_private_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from worker.settings import Settings

#: What the key of EKYC_SIGNING_KEY is called in a certificate; a region follows.
SIGNING_KEY: Final = "ekyc-signing-key"


def eraser(settings: Settings, redis: Redis, *, at_vendor: bool, via: str = "") -> Eraser:
    """Return what erases. Raises ``ConfigError`` for a setting that is missing.

    Parameters:
        at_vendor: whether the vendor is asked to delete its data, too.
        via: how the person that erases reached us, for the audit log.
    """
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    signer = certificate_signer(settings)
    return Eraser(
        evidence,
        Erasures(redis, retention_s=settings.retention_s, via=via),
        vendor(settings, redis) if at_vendor else None,
        lambda region, text: signer(region).sign(text),
        _log_queue(redis) if settings.log_key else None,
        retention_of(settings, evidence),
    )


def retention_of(settings: Settings, evidence: Evidence) -> Callable[[str, str], RetentionFact | None]:
    """Return a function that says how long a verification is kept; None: its decision cannot be read here.

    An erasure must be possible without the keys of the evidence. Raises ``ConfigError``.
    """
    rules = load(settings.retain)

    def fact(region: str, signature_id: str) -> RetentionFact | None:
        try:
            found = kept(evidence, rules, region, signature_id)
        except (EvidenceConflict, EvidenceKeyUnknown):
            return None
        return None if found is None else RetentionFact(str(found.rule), found.until)

    return fact


def _log_queue(redis: Redis) -> Callable[[str, str], object]:
    queue = EvidenceLogQueue(redis)
    return lambda region, signature_id: queue.add(region, [signature_id])


def vendor(settings: Settings, redis: Redis) -> Vendor:
    """Return the vendor, asked with the fleet's token, at its rate and not during a hold. Raises ``ConfigError``."""
    settings.require_vendor()
    ledger = Ledger(redis, rate=settings.rate)

    def hold(region: str, for_s: float, reason: str) -> None:
        ledger.hold(region, for_s=for_s, reason=reason)

    return Vendor(Client(settings, redis, ledger.spend).clear_data, ledger.spend, hold)


def certificate_verifiers(settings: Settings, region: str) -> tuple[NoteVerifier, ...]:
    """Return the keys, besides those of the log, that may have signed certificates. Raises ``ConfigError``."""
    if not settings.signing_key:
        return ()
    keys = parse_private_keys(settings.signing_key)
    name = f"{SIGNING_KEY}/{region}"
    return tuple(NoteVerifier(name, each.public_key().public_bytes_raw()) for each in keys)


def certificate_signer(settings: Settings) -> Callable[[str], NoteSigner]:
    """Return a function that returns the signer of a region's certificates: the log's key, else the signing key.

    Raises ``ConfigError`` if there is neither.
    """
    if keys := LogKeys.for_signing(settings.log_key):
        return keys.signer
    if settings.signing_key:
        seed = parse_private_keys(settings.signing_key)[0].private_bytes_raw()
        return lambda region: NoteSigner(f"{SIGNING_KEY}/{region}", seed)
    raise ConfigError(
        "the certificate of an erasure must be signed: set EKYC_LOG_KEY, or EKYC_SIGNING_KEY, "
        "which `ekyc webhook key` makes"
    )
