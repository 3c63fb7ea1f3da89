"""The time budget: how long each step may take, and the inequalities between those times.

The steps are in the order in which a verification passes through them. A number is here if another number must be
longer or shorter; a time on which nothing else depends is beside its use. The tests check `inequalities`, also for the
shortest and the longest setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Redis, the broker and the vendor. All in seconds.

#: One command of the ledger's Redis, including the connection.
REDIS_CALL_S: Final = 5.0

#: One command of the broker. Consumers of Redis wait for a message for 1 s at a time; RabbitMQ does not answer while
#: it is short of memory or disk. Without a limit a worker could then never stop.
BROKER_CALL_S: Final = 5

#: The time after which Redis redelivers an unacknowledged message. Only `tasks.enqueue` acknowledges late, and it takes
#: milliseconds; Celery's default of an hour is for long tasks.
BROKER_VISIBILITY_S: Final = 60

#: How often a worker looks for such messages. Kombu's default is 100.
BROKER_RESTORE_S: Final = 30

#: How long `tasks.enqueue` tries to reach the ledger before it gives its message back.
ENQUEUE_TRIED_FOR_S: Final = BROKER_VISIBILITY_S / 2

#: DNS lookup, TCP and TLS together: the resolver waits 5 s for a name server before it asks the next one.
CONNECT_S: Final = 6.0

#: The first byte on a connection that was idle. After that the request is sent again on a fresh connection.
FIRST_BYTE_S: Final = 3.0

#: One token request. The other processes wait for the process that holds the fleet's lock.
TOKEN_REQUEST_S: Final = 4.0

#: The lock of the fleet for a token request. A live process has released it by then.
TOKEN_LOCK_S: Final = TOKEN_REQUEST_S + 1.0

#: All of one `get_result`: a token, the poll, a renewed token, the poll again.
VENDOR_CALL_S: Final = 10.0

#: All images, archives and videos of a verification, including fresh links from the vendor; also one image alone.
IMAGES_S: Final = 15.0

#: The part of that time that one of several objects may take.
OBJECT_SHARE: Final = 0.5

#: One try of a delivery by webhook, all in all.
WEBHOOK_S: Final = 15.0

# The lease of a batch, and its renewal.

#: `EKYC_LEASE`: the default, and the limits.
LEASE_S: Final = 20.0
LEASE_LIMITS_S: Final = (5.0, 3600.0)

#: How many times a batch renews its lease within the length of one lease.
RENEWALS: Final = 4

#: How often a batch checks whether to renew its lease, and whether the worker stops.
BATCH_CHECK_S: Final = 0.25

# The worker.

#: Consecutive checks of the event loop without progress after which it counts as stuck, and after which the process
#: ends. A busy event loop makes progress within a second.
WATCHDOG_CHECK_S: Final = 1.0
STUCK_CHECKS: Final = 15
END_CHECKS: Final = 30

#: How often a worker writes its heartbeat to the registry, and one command of Redis for it.
HEARTBEAT_S: Final = 5.0
HEARTBEAT_CALL_S: Final = 1.0

#: The longest sleep of a dispatcher. After it, the dispatcher finds the expired leases of a killed worker.
DISPATCHER_SLEEP_S: Final = 5.0

#: A worker whose heartbeat is younger than the first counts as alive; after the second it is forgotten.
WORKER_SEEN_S: Final = 20.0
WORKER_FORGOTTEN_S: Final = 60.0

#: The time between SIGTERM and SIGKILL of a worker in the manifests in deploy/.
STOP_GRACE_S: Final = 150


@dataclass(frozen=True, slots=True)
class Inequality:
    """`shorter_s` must be less than `longer_s`. `why`: what this guarantees."""

    why: str
    shorter_s: float
    longer_s: float

    @property
    def holds(self) -> bool:
        return self.shorter_s < self.longer_s


def inequalities(lease_s: float = LEASE_S) -> tuple[Inequality, ...]:
    """Return the inequalities that must hold, for a lease of `lease_s` seconds."""
    renew_s = lease_s / RENEWALS
    return (
        Inequality(
            "a poll that has to get a token first still has time for its own request",
            TOKEN_REQUEST_S + FIRST_BYTE_S,
            VENDOR_CALL_S,
        ),
        Inequality(
            "a poll gives up a host that does not answer in time to report it",
            CONNECT_S,
            VENDOR_CALL_S,
        ),
        Inequality("a token request ends before its lock does", TOKEN_REQUEST_S, TOKEN_LOCK_S),
        Inequality("the lock of a killed process is gone within one poll", TOKEN_LOCK_S, VENDOR_CALL_S),
        Inequality("a request for fresh links leaves time for the images", VENDOR_CALL_S, IMAGES_S),
        Inequality("an image that hangs leaves time for another", IMAGES_S * OBJECT_SHARE, IMAGES_S),
        Inequality(
            "one of many images still arrives from a host that is slow to connect",
            CONNECT_S,
            IMAGES_S * OBJECT_SHARE,
        ),
        Inequality("a batch checks at least once between two renewals", BATCH_CHECK_S, renew_s),
        Inequality("a renewal that was missed is made up for", 2 * (renew_s + BATCH_CHECK_S), lease_s),
        Inequality(
            "the message of an enqueue that waits for the ledger is not redelivered meanwhile",
            ENQUEUE_TRIED_FOR_S + REDIS_CALL_S,
            BROKER_VISIBILITY_S,
        ),
        Inequality(
            "a message comes back within twice the visibility timeout", BROKER_RESTORE_S, BROKER_VISIBILITY_S
        ),
        Inequality(
            "a call that takes its whole time does not make the event loop look stuck",
            max(VENDOR_CALL_S, REDIS_CALL_S),
            STUCK_CHECKS * WATCHDOG_CHECK_S,
        ),
        Inequality(
            "a stuck worker gives back what it holds before it ends",
            STUCK_CHECKS * WATCHDOG_CHECK_S + BATCH_CHECK_S + REDIS_CALL_S,
            END_CHECKS * WATCHDOG_CHECK_S,
        ),
        Inequality(
            "a worker whose dispatcher sleeps, and that misses one heartbeat, still counts as alive",
            DISPATCHER_SLEEP_S + 2 * (HEARTBEAT_S + HEARTBEAT_CALL_S),
            WORKER_SEEN_S,
        ),
        Inequality("a worker is missed before it is forgotten", WORKER_SEEN_S, WORKER_FORGOTTEN_S),
        Inequality(
            "a worker that stops ends the slowest batch, and delivers its decisions, before it is killed",
            IMAGES_S + VENDOR_CALL_S + 2 * REDIS_CALL_S + BROKER_CALL_S,
            STOP_GRACE_S,
        ),
        Inequality(
            "a worker that stops ends its deliveries before it is killed",
            WEBHOOK_S + REDIS_CALL_S,
            STOP_GRACE_S,
        ),
    )


def lease_inequalities() -> tuple[Inequality, ...]:
    """Return the inequalities that hold only for the default lease.

    With a shorter lease a verification may start twice. It is never decided twice.
    """
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
            "a delivery that takes its whole time leaves some of the lease to record it", WEBHOOK_S, LEASE_S
        ),
        Inequality(
            "a renewal after one Redis call without an answer still comes in time",
            LEASE_S / RENEWALS + BATCH_CHECK_S + REDIS_CALL_S,
            LEASE_S,
        ),
    )
