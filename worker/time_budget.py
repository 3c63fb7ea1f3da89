"""The time budget: how long each step may take, and the inequalities between those times.

The steps are listed in the order in which one verification meets them. A number stands here where another one has to be
longer or shorter than it; a time that nothing else depends on stays beside its use. `inequalities` is the list that the
tests check, also for the shortest and the longest setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Redis, the broker and the vendor. All in seconds.

#: One command of the ledger's Redis, including the connection.
REDIS_CALL_S: Final = 5.0

#: One command of the broker. Consumers of Redis wait for a message for 1 s at a time; RabbitMQ does not answer while
#: its memory or disk runs short. Without a limit a worker that is to stop would then never end.
BROKER_CALL_S: Final = 5

#: When Redis hands out again what a worker took and did not acknowledge. Only `tasks.enqueue` acknowledges late, and
#: takes milliseconds; Celery's default of an hour is for tasks that run long.
BROKER_VISIBILITY_S: Final = 60

#: How often a worker looks for such messages. Kombu's default is 100.
BROKER_RESTORE_S: Final = 30

#: For how long `tasks.enqueue` tries to reach the ledger before it gives its message back.
ENQUEUE_TRIED_FOR_S: Final = BROKER_VISIBILITY_S / 2

#: The lookup of a name, TCP and TLS together: a name server that does not answer is given up by the resolver after 5 s,
#: and then the next one is asked.
CONNECT_S: Final = 6.0

#: The first byte on a connection that was idle: without one the request is sent again on a fresh connection.
FIRST_BYTE_S: Final = 3.0

#: One request for a token. The process that holds the fleet's lock for it keeps the others waiting.
TOKEN_REQUEST_S: Final = 4.0

#: The lock of the fleet for a token request. A process that lives has released it by then.
TOKEN_LOCK_S: Final = TOKEN_REQUEST_S + 1.0

#: All of one `get_result`: a token, the poll, a renewed token, the poll again.
VENDOR_CALL_S: Final = 10.0

#: Both images of a verification, including the vendor's fresh links; also one image alone.
IMAGES_S: Final = 15.0

# The lease of a batch, and what keeps it.

#: `EKYC_LEASE`: the default, and what it may be set to.
LEASE_S: Final = 20.0
LEASE_LIMITS_S: Final = (5.0, 3600.0)

#: A batch renews its lease so many times before it ends.
RENEWALS: Final = 4

#: How often a batch checks whether its lease must be renewed, or the worker stops.
BATCH_CHECK_S: Final = 0.25

# The worker.

#: Checks of the event loop, one a second, without progress after which it counts as stuck, and after which the process
#: ends. A busy one makes progress within a second.
WATCHDOG_CHECK_S: Final = 1.0
STUCK_CHECKS: Final = 15
END_CHECKS: Final = 30

#: How often a worker signs in to the registry, and one command of Redis for it.
HEARTBEAT_S: Final = 5.0
HEARTBEAT_CALL_S: Final = 1.0

#: The longest sleep of a dispatcher. What a killed worker held is found after it, once its lease has ended.
DISPATCHER_SLEEP_S: Final = 5.0

#: A worker that signed in within this is there; after the second it is forgotten.
WORKER_SEEN_S: Final = 20.0
WORKER_FORGOTTEN_S: Final = 60.0

#: What the manifests in deploy/ give a worker between SIGTERM and SIGKILL.
STOP_GRACE_S: Final = 150


@dataclass(frozen=True, slots=True)
class Inequality:
    """`shorter_s` must be less than `longer_s`. `why`: what fails otherwise."""

    why: str
    shorter_s: float
    longer_s: float

    @property
    def holds(self) -> bool:
        return self.shorter_s < self.longer_s


def inequalities(lease_s: float = LEASE_S) -> tuple[Inequality, ...]:
    """What must hold between the times, for a lease of `lease_s` seconds."""
    renew_s = lease_s / RENEWALS
    return (
        Inequality(
            "a poll that has to get a token first still has time for its own request",
            TOKEN_REQUEST_S + FIRST_BYTE_S,
            VENDOR_CALL_S,
        ),
        Inequality(
            "a host that does not answer is given up while the poll can still report it",
            CONNECT_S,
            VENDOR_CALL_S,
        ),
        Inequality("a token request ends before its lock does", TOKEN_REQUEST_S, TOKEN_LOCK_S),
        Inequality("the lock of a killed process is gone within one poll", TOKEN_LOCK_S, VENDOR_CALL_S),
        Inequality("fresh links and the images that they lead to fit in one go", VENDOR_CALL_S, IMAGES_S),
        Inequality("a batch checks at least once between two renewals", BATCH_CHECK_S, renew_s),
        Inequality("a renewal that was missed is made up for", 2 * (renew_s + BATCH_CHECK_S), lease_s),
        Inequality(
            "a message of an enqueue that waits for the ledger is not handed out a second time meanwhile",
            ENQUEUE_TRIED_FOR_S + REDIS_CALL_S,
            BROKER_VISIBILITY_S,
        ),
        Inequality(
            "a message comes back within twice the visibility timeout", BROKER_RESTORE_S, BROKER_VISIBILITY_S
        ),
        Inequality(
            "no call that may take its whole time makes the event loop look stuck",
            max(VENDOR_CALL_S, REDIS_CALL_S),
            STUCK_CHECKS * WATCHDOG_CHECK_S,
        ),
        Inequality(
            "a stuck worker has given back what it holds before it ends",
            STUCK_CHECKS * WATCHDOG_CHECK_S + BATCH_CHECK_S + REDIS_CALL_S,
            END_CHECKS * WATCHDOG_CHECK_S,
        ),
        Inequality(
            "a worker whose dispatcher sleeps, and that misses one sign-in, still counts as there",
            DISPATCHER_SLEEP_S + 2 * (HEARTBEAT_S + HEARTBEAT_CALL_S),
            WORKER_SEEN_S,
        ),
        Inequality("a worker is missed before it is forgotten", WORKER_SEEN_S, WORKER_FORGOTTEN_S),
        Inequality(
            "a worker that stops ends the slowest batch, and delivers its decisions, before it is killed",
            IMAGES_S + VENDOR_CALL_S + 2 * REDIS_CALL_S + BROKER_CALL_S,
            STOP_GRACE_S,
        ),
    )


def lease_inequalities() -> tuple[Inequality, ...]:
    """What holds with the default lease alone. A shorter one may start a verification twice; it never decides twice."""
    return (
        Inequality(
            "the slowest poll is recorded within a lease that was not renewed",
            VENDOR_CALL_S + REDIS_CALL_S,
            LEASE_S,
        ),
        Inequality(
            "images that take their whole time leave some of the lease to store them", IMAGES_S, LEASE_S
        ),
        Inequality(
            "a renewal that meets one Redis call without an answer is tried again in time",
            LEASE_S / RENEWALS + BATCH_CHECK_S + REDIS_CALL_S,
            LEASE_S,
        ),
    )
