"""Retry countdowns as data, one for each cause, and how long a region is on hold.

Pure: functions of values, and of a random generator that the caller owns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from worker.ledger.transitions import Trip

if TYPE_CHECKING:
    from random import Random

    from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential countdowns with jitter: uniform between a share of the ceiling `first_s · factor^n` and all of it.

    Jitter spreads verifications that were enqueued together; see "Exponential Backoff And Jitter" (Amazon, 2015).
    """

    first_s: float
    factor: float
    cap_s: float
    #: Tries in a row after which the retries end; None: only the deadline ends them.
    limit: int | None = None
    #: The shortest countdown, as a share of the ceiling. 0 is full jitter, a half is equal jitter.
    shortest: float = 0.0

    def ceiling_s(self, attempt: int) -> float:
        """Return the longest countdown after `attempt` (from 0) tries."""
        try:
            return min(self.cap_s, self.first_s * self.factor**attempt)
        except OverflowError:
            # Too large for a float, so above any cap.
            return self.cap_s

    def countdown_s(self, attempt: int, random: Random) -> float:
        """Return the countdown after `attempt` (from 0) tries."""
        ceiling_s = self.ceiling_s(attempt)
        return random.uniform(self.shortest * ceiling_s, ceiling_s)

    def exhausted(self, attempt: int) -> bool:
        """Return whether `attempt` (from 0) was the last try."""
        return self.limit is not None and attempt + 1 >= self.limit


@dataclass(frozen=True, slots=True)
class Backoffs:
    """The countdown of each cause."""

    #: The vendor answered null, and the user is done: the result should come soon.
    pending: Backoff
    #: The vendor answered null, and the user is not done, as far as we know.
    unsubmitted: Backoff
    #: The vendor failed: `ERROR`, 5xx, a broken connection, HTML instead of JSON.
    transient_fault: Backoff = Backoff(1.0, 2.0, 60.0)
    #: The vendor does not know the id. It may lag just after creation: about 22 s on average, 45 s at most.
    unknown_id: Backoff = Backoff(3.0, 2.0, 30.0, limit=5)
    #: The vendor refuses this id, perhaps not others: about 20 minutes in all.
    refused: Backoff = Backoff(10.0, 2.0, 600.0, limit=8)
    #: An envelope code that is not documented.
    unknown_code: Backoff = Backoff(5.0, 2.0, 60.0, limit=5)
    #: The host of an image is down, or refuses a fresh link too. After `DECIDE_FIRST_AFTER` tries the decision
    #: goes first. Links expire within the hour, and each try may fail for its own reason: a dozen tries in 5 minutes.
    image: Backoff = Backoff(2.0, 1.5, 300.0)
    #: The pipeline's queue cannot be written.
    delivery: Backoff = Backoff(1.0, 2.0, 60.0)
    #: The evidence store fails for this verification but accepts a probe: about twenty minutes. A store that is
    #: unavailable as a whole has a breaker (`worker.evidence.breaker`) and counts no tries.
    evidence: Backoff = Backoff(1.0, 2.0, 60.0, limit=40)
    #: The evidence store answers, and the stored answer is missing: the vendor is polled for another one.
    lost: Backoff = Backoff(1.0, 5.0, 60.0, limit=3)
    #: An unforeseen error in our own code.
    unforeseen: Backoff = Backoff(5.0, 2.0, 60.0, limit=5)

    @classmethod
    def from_settings(cls, settings: Settings) -> Backoffs:
        pending = Backoff(
            settings.poll_first_s, settings.poll_factor, settings.poll_cap_s, shortest=SHORTEST_POLL
        )
        return cls(pending, unsubmitted=replace(pending, first_s=pending.first_s * UNSUBMITTED_FIRST))


#: The countdowns of a delivery by webhook, at most 10 s, 45 s, 3 min, 15 min, 70 min, 5 h, 23 h, 24 h, 24 h: ten tries
#: in about three days. There is little jitter, so that the sum is known.
WEBHOOK: Final = Backoff(10.0, 4.5, 86_400.0, limit=10, shortest=0.85)

#: The shortest countdown after null, as a share of the longest. Evenly spaced polls find an answer soonest: with full
#: jitter as many polls find it a third later, with this 4 % later, and it still spreads a batch (docs/schedule.md).
SHORTEST_POLL: Final = 0.5

#: The first countdown while the user is not done, as a multiple of `EKYC_POLL_FIRST`: people take minutes, the vendor
#: takes seconds (docs/schedule.md).
UNSUBMITTED_FIRST: Final = 6.0

#: The vendor gives a user one hour, then it answers `USER_TIMEOUT`.
USER_TIMEOUT_S: Final = 3600.0

#: The span after that hour in which the vendor is polled, so that verifications enqueued together are spread.
USER_TIMEOUT_SPREAD_S: Final = 60.0

#: Tries to fetch an image before the decision is made without it.
DECIDE_FIRST_AFTER: Final = 3

#: How long a decision waits for a hold to end, to get fresh links. It does not wait for a longer hold.
LINKS_WAIT_S: Final = 5.0

#: How long after the result an image is still requested. Links of sibling products expire after one day.
ARCHIVE_FOR_S: Final = 24 * 3600.0

#: Failed polls in a row, all after the deadline, that end the waiting: without an answer the result is unknown, not
#: null.
LAST_TRIES: Final = 5

#: Faults since the deadline, of any kind, that end the waiting: more than any one kind is allowed in a row.
LATE_TRIES: Final = 10

#: How long after the deadline the vendor is still polled, at the longest countdown: a late answer is evidence.
LATE_FOR_S: Final = 24 * 3600.0

#: How long after a decision without its images they are requested again.
ARCHIVE_ON_S: Final = 15.0

#: How long an image waits if its host has enough requests in flight.
HOST_BUSY_S: Final = 1.0

#: How long after the result a decision waits for such an image: about as long as the tries at a host that is down.
BUSY_WAIT_S: Final = 60.0

#: The countdown of a verification whose process had no capacity left for its region. Without one, the same process
#: could get it again at once.
NO_ROOM_S: Final = (0.1, 0.5)

#: How long a region is on hold if the vendor is busy and does not say for how long.
BUSY_REST_S: Final = 10.0

#: Several verifications in a row without an answer: the vendor is down. One that always fails does not trip it.
#: `longest_s`: a probe may fail by chance while people wait, and four calls a minute do no harm to the vendor.
#: `lasting_s`: if every fifth call fails at once, the failures of a batch return first. A second gives answers time.
VENDOR_DOWN: Final = Trip(after=5, first_s=5.0, longest_s=15.0, reason="VENDOR_DOWN", lasting_s=1.0)

#: The vendor refuses fresh tokens: a person has to fix the keys or the entitlement. Its code is the reason.
UNAUTHORISED: Final = Trip(after=2, first_s=60.0, longest_s=60.0, reason="", alarm=True)

#: A fault of the account, such as an empty balance. Its code is the reason.
ACCOUNT: Final = Trip(after=1, first_s=300.0, longest_s=300.0, reason="", alarm=True)
