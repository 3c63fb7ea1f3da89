"""The identity of a ledger: a Redis that returns empty, or another Redis, is another ledger.

A ledger has a random identity that is written once. The evidence store keeps the accepted identities, so that a
starting worker knows which identity to expect. The ledger in turn knows that a store has noted its identity: a store
without any note is then another store, such as a disk that is not mounted. Keys, per region:

    ekyc:{<region>}:ledger            hash: id, the identity; before: the identities that it was accepted to replace;
                                      store: the URL of the evidence store that has noted the identity
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

from worker.errors import EvidenceUnavailable, EvidenceUnsuitable, LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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

    def check_store(self, regions: Iterable[str]) -> None:
        """Check that the evidence store is the one that the ledger knows, and write nothing. Raises as `establish`.

        Regions that this worker knows are checked as well: a store that was in use may come back empty.
        """
        check_store(self._ledger, self._evidence, regions)

    def establish(self, regions: Iterable[str]) -> None:
        """Read or create the record of identities.

        Raises ``EvidenceUnavailable`` and ``LedgerUnavailable``, and ``EvidenceUnsuitable`` if another evidence store
        has noted the identity of a ledger.
        """
        for region in regions:
            # The ledger first: another worker that starts notes the identity in the store, and then the store here.
            identity = self._ledger.identify(region)
            accepted = self._evidence.ledgers(region)
            if not accepted:
                if identity.store:
                    raise another_store(self._evidence, {region: identity.store})
                identity = self._ledger.identify(region, new=new_identity())
                newest = self._evidence.keep_ledger(region, identity.id)
            elif (newest := accepted[-1]) in identity.before:
                # A person accepted it, but the evidence store has no record of it.
                newest = self._evidence.keep_ledger(region, identity.id)
            if newest == identity.id and identity.store != self._evidence.url:
                self._ledger.note_store(region, self._evidence.url)
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
        except (EvidenceUnavailable, EvidenceUnsuitable, LedgerUnavailable):
            self._ask_at = time.monotonic() + ASK_AGAIN_S
        finally:
            self._asking.release()


def check_store(ledger: Ledger, evidence: Evidence, regions: Iterable[str]) -> None:
    """Raise ``EvidenceUnsuitable`` if a ledger's identity is noted in an evidence store, and `evidence` has no note."""
    stores = {region: store for region in regions if (store := ledger.identify(region).store)}
    if unknown := {region: store for region, store in stores.items() if not evidence.has_ledger(region)}:
        raise another_store(evidence, unknown)


def another_store(evidence: Evidence, stores: Mapping[str, str]) -> EvidenceUnsuitable:
    """Return an error of one line. `stores`: by region, the store that has noted the identity of its ledger."""
    # Everybody who can write to Redis can write the URL: no line breaks.
    known = " and ".join(sorted({each if each.isprintable() else ascii(each) for each in stores.values()}))
    return EvidenceUnsuitable(
        f"EKYC_EVIDENCE_URL: {evidence.url} does not hold the evidence of {', '.join(stores)}: the ledger in Redis has "
        f"evidence at {known}; mount its disk, restore it, or correct the setting; only if the store is meant to begin "
        "empty, create its folder or bucket and run `ekyc ledger accept`"
    )


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
