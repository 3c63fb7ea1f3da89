"""Logs what people do to whole regions, such as a hold and its end. Every worker logs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.ledger import Quarantine, Stats, looks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.ledger.models import Event, Hold

_log = structlog.get_logger(__name__)

#: The word for a hold that a person ordered, as in ``hold.lua``.
BY_HAND: Final = "BY_HAND"


#: The log events of acts on evidence, and on an endpoint.
_OF_EVIDENCE: Final = {
    looks.SHOW: "evidence_shown",
    looks.VIEW: "evidence_shown",
    looks.EXPORT: "evidence_exported",
    "erase": "evidence_erased",
    "retention": "evidence_swept",
    "legal_hold": "evidence_held",
    "legal_release": "evidence_released",
    "closed": "relationships_closed",
}
_OF_ENDPOINTS: Final = {
    "pause_endpoint": "endpoint_paused",
    "resume_endpoint": "endpoint_resumed",
    "drop_deliveries": "deliveries_dropped",
}


class HoldLog:
    """Logs each act once, without the person's name, which is in the ledger.

    Of acts before this process first looked, it logs only a hold that still lasts.
    """

    def __init__(self, redis: Redis) -> None:
        self._record = Quarantine(redis, who="")
        self._census = Stats(redis)
        #: By region, the newest act that was logged.
        self._logged: dict[str, Event | None] = {}

    def look(self, region: str, newest: Event | None) -> None:
        """Log what is new in a region. `newest`: its newest act, from a claim. Raises ``LedgerUnavailable``."""
        if region in self._logged and self._logged[region] == newest:
            return
        acts = self._record.acts(region) if newest else ()
        hold = next(iter(self._census.counts(region).holds), None)
        for act in self._new(region, acts, hold):
            _log_act(region, act, hold if _ordered(act, hold) else None)
        self._logged[region] = acts[-1] if acts else None

    def _new(self, region: str, acts: Sequence[Event], hold: Hold | None) -> Sequence[Event]:
        if region not in self._logged:
            return [act for act in acts if _ordered(act, hold)]
        logged = self._logged[region]
        return acts[acts.index(logged) + 1 :] if logged in acts else acts


def _ordered(act: Event, hold: Hold | None) -> bool:
    """Whether the region is on hold because of this act, not because of an earlier act or of the fleet itself."""
    if hold is None or hold.word != BY_HAND or act.name != "hold":
        return False
    # Two acts may have the same millisecond.
    return act.at_ms == hold.at_ms and act.detail.startswith(hold.reason)


def _log_act(region: str, act: Event, hold: Hold | None) -> None:
    if act.name == "resume":
        _log.warning("region_resumed", region=region, reason=act.detail, by="operator")
        return
    if act.name == "accept":
        return  # `worker.evidence.ledger_identity` logs it.
    if act.name in _OF_ENDPOINTS:
        _log.warning(_OF_ENDPOINTS[act.name], region=region, what=act.detail, by="operator")
        return
    if act.name in _OF_EVIDENCE:
        _log.warning(_OF_EVIDENCE[act.name], region=region, what=act.detail)
        return
    if act.name == "redeliver":
        _log.warning("decisions_redelivered", region=region, what=act.detail)
        return
    if act.name != "hold":
        return  # It is of a newer release.
    # `until` is None for a hold that has already been ended, or that changed nothing.
    until = (
        None
        if hold is None
        else datetime.fromtimestamp(hold.until_ms / 1000, UTC).isoformat(timespec="seconds")
    )
    _log.warning("region_held", region=region, reason=act.detail, until=until, by="operator")
