"""What people do to whole regions, in the logs of every worker that notices it: a hold, and its end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.ledger import Quarantine, Stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.ledger.models import Event, Hold

_log = structlog.get_logger(__name__)

#: The word for what a person ordered: ``hold.lua``.
BY_HAND: Final = "BY_HAND"


class HoldLog:
    """Tells each act once. Who did it stands in the ledger, and no log needs a person's name.

    Of what was done before this process first looked, only a hold that still lasts is logged.
    """

    def __init__(self, redis: Redis) -> None:
        self._record = Quarantine(redis, who="")
        self._census = Stats(redis)
        self._told: dict[str, Event | None] = {}

    def look(self, region: str, newest: Event | None) -> None:
        """Tell what is new in a region. `newest`: its newest act, as a claim says. Raises ``LedgerUnavailable``."""
        if region in self._told and self._told[region] == newest:
            return
        acts = self._record.acts(region) if newest else ()
        hold = next(iter(self._census.counts(region).holds), None)
        for act in self._new(region, acts, hold):
            _tell(region, act, hold if _ordered(act, hold) else None)
        self._told[region] = acts[-1] if acts else None

    def _new(self, region: str, acts: Sequence[Event], hold: Hold | None) -> Sequence[Event]:
        if region not in self._told:
            return [act for act in acts if _ordered(act, hold)]
        told = self._told[region]
        return acts[acts.index(told) + 1 :] if told in acts else acts


def _ordered(act: Event, hold: Hold | None) -> bool:
    """Whether the region is on hold because of this act, and not of an earlier one, or of the fleet's."""
    if hold is None or hold.word != BY_HAND or act.name != "hold":
        return False
    # Two may come in one millisecond.
    return act.at_ms == hold.at_ms and act.detail.startswith(hold.reason)


def _tell(region: str, act: Event, hold: Hold | None) -> None:
    if act.name == "resume":
        _log.warning("region_resumed", region=region, reason=act.detail, by="operator")
        return
    if act.name == "accept":
        return  # `worker.evidence.ledger_identity` logs it.
    if act.name == "redeliver":
        _log.warning("decisions_redelivered", region=region, what=act.detail)
        return
    # One that was lifted before anybody looked has no end but the act that follows; one that changed nothing has none.
    until = (
        None
        if hold is None
        else datetime.fromtimestamp(hold.until_ms / 1000, UTC).isoformat(timespec="seconds")
    )
    _log.warning("region_held", region=region, reason=act.detail, until=until, by="operator")
