"""Deliveries by webhook as people look after them: pages of them, what is sent again, and how each endpoint does.

The commands, the HTTP API and the console use the same functions.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.decisions import events
from worker.ledger.webhooks import Shelf, State
from worker.policy.webhooks import LIMITS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from worker.ledger.audit import AuditLog
    from worker.ledger.webhooks import Delivery, EndpointState, Webhooks

#: Deliveries per round trip.
PAGE: Final = 500

#: Seconds after which a page of a list ends where it meets ids whose deliveries are gone: a shelf may hold many.
PAGE_S: Final = 0.25

_POSITION: Final = re.compile(r"([0-9]{1,6})\.([0-9]{1,9})")

#: The shares of the way to its pause at which an endpoint raises an alert, as in the alerts of Prometheus.
ALERTS: Final = (0.5, 0.9, 1.0)


class Health(StrEnum):
    """How an endpoint does in one region."""

    #: It acknowledges, or nothing was sent yet.
    OPEN = "open"
    FAILING = "failing"
    #: It has too much to do, or is probed: fewer deliveries are in flight at a time.
    SLOWED = "slowed"
    PAUSED = "paused"
    #: It answered 410: it wants no more deliveries, and is paused.
    GONE = "gone"


def health(one: EndpointState) -> Health:
    """How an endpoint does: the most serious of what is true."""
    if one.is_paused:
        return Health.GONE if one.paused_why == events.GONE else Health.PAUSED
    if one.window is not None:
        return Health.SLOWED
    return Health.OPEN if one.failing_since_ms is None else Health.FAILING


def since_ms(one: EndpointState) -> int | None:
    """Since when an endpoint does as `health` says; None: it is open."""
    return one.paused_at_ms or one.failing_since_ms


def alert(one: EndpointState) -> float | None:
    """The highest of `ALERTS` that an endpoint has reached; None: none."""
    strain = one.strain(LIMITS)
    return max((share for share in ALERTS if strain >= share), default=None)


def states(webhooks: Webhooks, regions: Iterable[str], configured: Collection[str]) -> list[EndpointState]:
    """The endpoints of each region: those of the file, and those that had a delivery."""
    return [each for region in regions for each in webhooks.endpoints(region, configured)]


def names(webhooks: Webhooks, regions: Iterable[str], configured: Collection[str]) -> list[str]:
    """The endpoints of the file, and those that had a delivery."""
    return list(dict.fromkeys([*configured, *(each.name for each in states(webhooks, regions, configured))]))


def find(webhooks: Webhooks, regions: Iterable[str], delivery_id: str) -> Delivery | None:
    """A delivery, in the region that knows it."""
    found = (webhooks.get(region, delivery_id) for region in regions)
    return next((each for each in found if each is not None), None)


def shelves(regions: Iterable[str], endpoints: Iterable[str], wanted: Iterable[State]) -> list[Shelf]:
    """The shelves of several regions, endpoints and states, in this order."""
    several, kinds = list(endpoints), list(wanted)
    return [Shelf(region, name, state) for region in regions for name in several for state in kinds]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader has come in a list of shelves. What changes its state meanwhile is missed, or listed twice."""

    shelf: int = 0
    rank: int = 0

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises ``ValueError`` for what is no position."""
        found = _POSITION.fullmatch(text)
        if found is None:
            raise ValueError("is not a cursor of this list")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.shelf}.{self.rank}"


def page(
    webhooks: Webhooks, of: Sequence[Shelf], begin: Position, limit: int, *, since_ms: int = 0
) -> tuple[list[Delivery], Position | None]:
    """Up to `limit` deliveries, and where those begin that follow; None: there are no more.

    Among ids whose deliveries are gone it ends after ``PAGE_S``: it may be short, or empty, although more follow.
    Raises ``LedgerUnavailable``.

    `since_ms`: only what failed or was acknowledged since then. What waits is listed whenever it began to.
    """
    shelf, rank = begin.shelf, begin.rank
    found: list[Delivery] = []
    ends = time.monotonic() + PAGE_S
    while shelf < len(of) and len(found) < limit:
        wanted, one = limit - len(found), of[shelf]
        first_ms = since_ms
        if one.state is State.ACKNOWLEDGED:
            # An older one is gone, but its id stays until the endpoint has its next outcome.
            first_ms = max(since_ms, webhooks.kept_since_ms(one.region))
        ids = webhooks.ids(one, since_ms=first_ms, start=rank, count=wanted)
        kept = webhooks.read(one.region, ids) if ids else []
        found += kept
        shelf, rank = (shelf, rank + wanted) if len(ids) == wanted else (shelf + 1, 0)
        if len(kept) < len(ids) and time.monotonic() >= ends:
            break
    return found, Position(shelf, rank) if shelf < len(of) else None


def ids(webhooks: Webhooks, shelf: Shelf, since_ms: int = 0) -> list[str]:
    """All ids of a shelf, which are read before any is acted on: an act takes it from its shelf."""
    found: list[str] = []
    while more := webhooks.ids(shelf, since_ms=since_ms, start=len(found), count=PAGE):
        found += more
    return found


def not_taken(*, acknowledged: bool) -> tuple[State, ...]:
    """The states of what a recovery sends again. `acknowledged`: for a receiver that has lost its data."""
    return (State.FAILED, State.ACKNOWLEDGED) if acknowledged else (State.FAILED,)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a recovery that may take only so long has come to."""

    resent: int = 0
    #: Those that a worker sends at the moment, or that are gone.
    not_resent: tuple[tuple[str, str], ...] = ()
    #: How many are left for a next one.
    left: int = 0


def recover(  # noqa: PLR0913 - given by name
    webhooks: Webhooks,
    of: Sequence[Shelf],
    *,
    since_ms: int,
    until_ms: int,
    who: str,
    via: str,
    longest_s: float,
) -> Recovery:
    """Send again what came to the shelves from `since_ms` to `until_ms`, for about `longest_s`.

    `until_ms`: what is acknowledged once more meanwhile is not sent a third time.
    """
    ends, resent, kept = time.monotonic() + longest_s, 0, list[tuple[str, str]]()
    left = 0
    for shelf in of:
        skipped = 0
        while time.monotonic() < ends:
            found = webhooks.ids(shelf, since_ms=since_ms, until_ms=until_ms, start=skipped, count=PAGE)
            if not found:
                break
            answers = webhooks.resend(shelf.region, found, who=who, via=via, act="deliveries_recover")
            resent += sum(answers)
            refused = [each for each, answer in zip(found, answers, strict=True) if not answer]
            kept += [(shelf.region, each) for each in refused]
            skipped += len(refused)
        left += webhooks.extent(shelf, since_ms=since_ms, until_ms=until_ms).count - skipped
    return Recovery(resent, tuple(kept), max(left, 0))


def send_test(  # noqa: PLR0913 - given by name
    webhooks: Webhooks, audit: AuditLog, region: str, endpoint: str, *, who: str, via: str
) -> str:
    """Make a test for an endpoint of the file due, which a worker sends like any other delivery. Returns its id.

    Raises ``LedgerUnavailable``. The audit log has the test first: one that cannot be recorded is not sent.
    """
    new = events.delivery_of_test(endpoint, str(uuid.uuid4()), datetime.now(UTC))
    audit.record("endpoint_test", who=who, via=via, region=region, subject=endpoint, detail=new.id)
    webhooks.add(region, "", [new])
    return new.id
