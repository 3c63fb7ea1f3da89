"""The identity of a ledger: a Redis that returns empty, or another Redis, is another ledger.

A ledger has a random identity that is written once. The evidence store keeps the accepted identities, so that a
starting worker knows which identity to expect. Keys, per region:

    ekyc:{<region>}:ledger            hash: id, the identity; before: the identities that it was accepted to replace
    ekyc:{<region>}:ledger:replaced   string `<expected identity>|<since, ms>`, while a dispatcher finds another
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import EvidenceUnavailable, LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.evidence.store import Evidence
    from worker.ledger import Ledger
    from worker.ledger.models import Identity

_log = structlog.get_logger(__name__)

#: Seconds between two reads of an evidence store that does not answer.
ASK_AGAIN_S: Final = 10.0


def new_identity() -> str:
    return secrets.token_hex(8)


class LedgerIdentity:
    """The identity that a worker expects of each region's ledger. Thread-safe.

    Until the evidence store has answered it accepts any: an unavailable store must not stop the fleet.
    """

    def __init__(self, ledger: Ledger, evidence: Evidence) -> None:
        self._ledger = ledger
        self._evidence = evidence
        self._expected: dict[str, str] = {}
        self._logged: dict[str, Identity] = {}
        self._asking = threading.Lock()
        self._ask_at = 0.0

    def expected(self, region: str) -> str:
        """Return the identity that a claim must find; empty: any."""
        if region not in self._expected and time.monotonic() >= self._ask_at:
            threading.Thread(target=self._ask, args=(region,), daemon=True).start()
        return self._expected.get(region, "")

    def establish(self, regions: Iterable[str]) -> None:
        """Read or create the record of identities. Raises ``EvidenceUnavailable`` and ``LedgerUnavailable``."""
        for region in regions:
            accepted = self._evidence.ledgers(region)
            if not accepted:
                identity = self._ledger.identify(region, new=new_identity())
                self._expected[region] = self._evidence.keep_ledger(region, identity.id)
                continue
            identity = self._ledger.identify(region)
            newest = accepted[-1]
            if newest in identity.before:
                # A person accepted it, but the evidence store has no record of it.
                newest = self._evidence.keep_ledger(region, identity.id)
            self._expected[region] = newest

    def found(self, region: str, identity: Identity) -> bool:
        """Handle a claim that found another ledger. True: a person accepted it, claim again. False: logged once."""
        if not identity.is_replaced:
            _log.warning("ledger_accepted", region=region, old=identity.expected, new=identity.id)
            self._expected[region] = identity.id
            self._logged.pop(region, None)
            return True
        if self._logged.get(region) != identity:
            self._logged[region] = identity
            log_replaced(region, identity)
        return False

    def _ask(self, region: str) -> None:
        if not self._asking.acquire(blocking=False):
            return
        try:
            self._ask_at = time.monotonic() + ASK_AGAIN_S
            self.establish([region])
        except (EvidenceUnavailable, LedgerUnavailable):
            self._ask_at = time.monotonic() + ASK_AGAIN_S
        finally:
            self._asking.release()


class LedgerWatch:
    """The identity check of a process without the evidence store. Thread-safe.

    It compares with the notes of the dispatchers and with the identity that it saw before.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        #: The identity seen first or accepted since, and since when another is seen.
        self._known: dict[str, str] = {}
        self._since_ms: dict[str, int] = {}

    def look(self, region: str) -> Identity:
        """Return the identity of a region's ledger, with the expected one. Raises ``LedgerUnavailable``."""
        seen = self._ledger.identify(region)
        with self._lock:
            known = self._known.get(region, "")
            if known in {"", seen.id, *seen.before}:
                self._known[region] = seen.id
                self._since_ms.pop(region, None)
                return seen
            first = region not in self._since_ms
            since_ms = self._since_ms.setdefault(region, round(time.time() * 1000))
        seen = replace(seen, expected=known, since_ms=seen.since_ms or since_ms)
        if first:
            log_replaced(region, seen)
        return seen


def log_replaced(region: str, identity: Identity) -> None:
    _log.error(
        "ledger_replaced",
        region=region,
        old=identity.expected,
        new=identity.id or None,
        since=datetime.fromtimestamp(identity.since_ms / 1000, UTC).isoformat(timespec="seconds"),
        todo="nothing is claimed; find out what happened to the old Redis, then run `ekyc ledger accept`",
    )
