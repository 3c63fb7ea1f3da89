"""What follows from one try of a delivery by webhook. Pure: functions of values and of a random generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.ledger.webhooks import Down, Kind, Limits, Outcome
from worker.policy.backoff import WEBHOOK

if TYPE_CHECKING:
    from random import Random

    from worker.ledger.webhooks import Delivery, EndpointState

#: When a delivery is given up, and when its endpoint is paused: with the last of the tries of `WEBHOOK`, which take
#: three days.
LIMITS: Final = Limits(most_tries=WEBHOOK.limit or 1, pause_after_s=3 * 86_400.0)

#: After five failures in a row an endpoint gets one delivery at a time, first 5 s later, later every 5 minutes: what
#: waits for it keeps its tries, and the first success shows that it is back.
DOWN: Final = Down(after=5, first_s=5.0, longest_s=300.0)

#: The endpoint wants no more deliveries.
GONE: Final = 410

#: The fault of a delivery whose body no worker made.
FORGED: Final = "FORGED"

#: The endpoint, or what is before it, has too much to do.
SLOW: Final = frozenset({429, 502, 503, 504})

#: Those of them whose `Retry-After` is obeyed, for the endpoint as a whole.
ASKS: Final = frozenset({429, 503})

#: The delivery of an endpoint that this process does not know, for another process that may.
UNKNOWN_S: Final = 60.0

#: How long a delivery waits if its process has no place left for its endpoint: without a wait the same process could
#: get it again at once.
NO_ROOM_S: Final = (0.1, 0.5)


def after_answer(delivery: Delivery, status: int, retry_after_s: float | None, random: Random) -> Outcome:
    """What follows from the status of an endpoint. `retry_after_s`: what it asks for, bounded already."""
    if 200 <= status < 300:  # noqa: PLR2004 - the successes of HTTP
        return Outcome(delivery.id, Kind.ACKNOWLEDGED, answer=f"HTTP_{status}")
    fault = "REDIRECT" if 300 <= status < 400 else f"HTTP_{status}"  # noqa: PLR2004 - the redirects of HTTP
    asked_s = (retry_after_s or 0.0) if status in ASKS else 0.0
    return Outcome(
        delivery.id,
        Kind.FAILED,
        fault,
        in_s=max(WEBHOOK.countdown_s(delivery.tries, random), asked_s),
        hold_s=asked_s,
        slow=status in SLOW,
        gone=status == GONE,
        down=DOWN,
    )


def after_fault(delivery: Delivery, fault: str, random: Random) -> Outcome:
    """What follows if no answer came. `fault`: a word of ``worker.http_client.fault``, or of ours."""
    return Outcome(
        delivery.id, Kind.FAILED, fault, in_s=WEBHOOK.countdown_s(delivery.tries, random), down=DOWN
    )


def forged(delivery: Delivery) -> Outcome:
    """What follows if no worker made the body. It is no failure of the endpoint."""
    return Outcome(delivery.id, Kind.FORGED, FORGED)


def no_room(delivery_id: str, random: Random) -> Outcome:
    """What follows if this process has no place left for the endpoint."""
    return Outcome(delivery_id, Kind.BACK, in_s=random.uniform(*NO_ROOM_S))


def overdue_s(one: EndpointState) -> float:
    """Seconds since the longest due delivery became due; 0 if none is, and while the endpoint is paused or held."""
    held = one.is_paused or (one.held_until_ms or 0) > one.now_ms
    return 0.0 if held or one.due_at_ms is None else max((one.now_ms - one.due_at_ms) / 1000, 0.0)
