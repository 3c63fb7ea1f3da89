"""When to try again: countdowns as data, one for each cause, and how long a region is on hold.

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
    """Exponential countdowns with jitter: evenly between a share of the ceiling `first_s · factor^n` and all of it.

    Jitter spreads those that were enqueued together; see "Exponential Backoff And Jitter" (Amazon, 2015).
    """

    first_s: float
    factor: float
    cap_s: float
    #: Tries in a row after which somebody else must decide; None: only the deadline ends it.
    limit: int | None = None
    #: The shortest countdown, as a share of the ceiling. 0 is full jitter, a half is equal jitter.
    shortest: float = 0.0

    def ceiling_s(self, attempt: int) -> float:
        """The longest countdown after `attempt` (from 0) tries."""
        try:
            return min(self.cap_s, self.first_s * self.factor**attempt)
        except OverflowError:
            # What no float can hold is above any cap.
            return self.cap_s

    def countdown_s(self, attempt: int, random: Random) -> float:
        """The countdown after `attempt` (from 0) tries."""
        ceiling_s = self.ceiling_s(attempt)
        return random.uniform(self.shortest * ceiling_s, ceiling_s)

    def exhausted(self, attempt: int) -> bool:
        """Whether `attempt` (from 0) was the last try."""
        return self.limit is not None and attempt + 1 >= self.limit


@dataclass(frozen=True, slots=True)
class Backoffs:
    """The countdown of each cause."""

    #: The vendor answered null, and the user is done: the answer is near.
    pending: Backoff
    #: The vendor answered null, and the user is at it still, as far as we know.
    unsubmitted: Backoff
    #: The vendor failed: `ERROR`, 5xx, a broken connection, HTML instead of JSON.
    transient_fault: Backoff = Backoff(1.0, 2.0, 60.0)
    #: The vendor does not know the id. It may lag just after creation: about 22 s on average, 45 s at most.
    unknown_id: Backoff = Backoff(3.0, 2.0, 30.0, limit=5)
    #: The vendor refuses this id, while it may not refuse others: some 20 minutes in all.
    refused: Backoff = Backoff(10.0, 2.0, 600.0, limit=8)
    #: An envelope code nobody knows.
    unknown_code: Backoff = Backoff(5.0, 2.0, 60.0, limit=5)
    #: The host of an image is down. After `DECIDE_FIRST_AFTER` tries the decision goes first. Links die within the
    #: hour, and each try may fail for another reason: a dozen of tries in five minutes.
    image: Backoff = Backoff(2.0, 1.5, 300.0)
    #: The pipeline's queue cannot be written.
    delivery: Backoff = Backoff(1.0, 2.0, 60.0)
    #: The evidence store fails at this one, while it takes a probe: some twenty minutes. One that is away as a whole
    #: has a breaker (`worker.evidence.breaker`), and tries nobody.
    evidence: Backoff = Backoff(1.0, 2.0, 60.0, limit=40)
    #: The evidence store answers, and what was kept is gone: the vendor is asked for another answer.
    lost: Backoff = Backoff(1.0, 5.0, 60.0, limit=3)
    #: A fault nobody foresaw: our own.
    unforeseen: Backoff = Backoff(5.0, 2.0, 60.0, limit=5)

    @classmethod
    def from_settings(cls, settings: Settings) -> Backoffs:
        pending = Backoff(
            settings.poll_first_s, settings.poll_factor, settings.poll_cap_s, shortest=SHORTEST_POLL
        )
        return cls(pending, unsubmitted=replace(pending, first_s=pending.first_s * UNSUBMITTED_FIRST))


#: The shortest countdown after null, as a share of the longest. Evenly spaced polls find an answer soonest: with full
#: jitter the same polls find it a third later, with this 4 % later, and it still spreads a crowd (docs/schedule.md).
SHORTEST_POLL: Final = 0.5

#: How many times `EKYC_POLL_FIRST` the first countdown is while the user is at it: people take minutes where the
#: vendor takes seconds (docs/schedule.md).
UNSUBMITTED_FIRST: Final = 6.0

#: The vendor gives a user one hour, then it answers `USER_TIMEOUT`.
USER_TIMEOUT_S: Final = 3600.0

#: Within how long after that hour it is asked, so that those who were enqueued together do not come back together.
USER_TIMEOUT_SPREAD_S: Final = 60.0

#: Tries to fetch an image before the decision is made without it.
DECIDE_FIRST_AFTER: Final = 3

#: For how long a decision waits until the vendor may be asked for fresh links; a longer hold keeps none back.
LINKS_WAIT_S: Final = 5.0

#: For how long after the result an image is still asked for. Links of sibling products die after one day.
ARCHIVE_FOR_S: Final = 24 * 3600.0

#: Polls in a row, all after the deadline, that must have failed before it ends the waiting: a vendor that is down has
#: not said null.
LAST_TRIES: Final = 5

#: Faults since the deadline, of whatever kinds, that end the waiting: more than any kind is allowed in a row.
LATE_TRIES: Final = 10

#: For how long after the deadline the vendor is still asked, at the longest countdown: a late answer is evidence.
LATE_FOR_S: Final = 24 * 3600.0

#: How long after a decision without its images they are asked for again.
ARCHIVE_ON_S: Final = 15.0

#: For how long an image waits whose host has enough of its images on their way.
HOST_BUSY_S: Final = 1.0

#: For how long after the result a decision waits for such an image: about what the tries at a host that is down take.
BUSY_WAIT_S: Final = 60.0

#: After how long a batch is claimed again that met a process with no room for its region: at once, that process would
#: get it again.
NO_ROOM_S: Final = (0.1, 0.5)

#: How long a region is on hold when the vendor says that it is busy and not for how long.
BUSY_REST_S: Final = 10.0

#: Several verifications in a row that got no answer: the vendor is down. One that always fails trips nothing.
#: Who tries it alone may fail by chance, and people wait meanwhile: four calls a minute hurt no vendor.
#: Of a vendor that fails every fifth call at once, a batch hears its failures first: a second gives the answers time.
VENDOR_DOWN: Final = Trip(after=5, first_s=5.0, longest_s=15.0, reason="VENDOR_DOWN", lasting_s=1.0)

#: The vendor refuses fresh tokens: somebody has to fix the keys or the entitlement. Its code is the reason.
UNAUTHORISED: Final = Trip(after=2, first_s=60.0, longest_s=60.0, reason="", alarm=True)

#: A fault of the account, such as an empty balance. Its code is the reason.
ACCOUNT: Final = Trip(after=1, first_s=300.0, longest_s=300.0, reason="", alarm=True)
