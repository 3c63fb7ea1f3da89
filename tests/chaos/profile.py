"""The sizes of a run: the short version, about two minutes, and the long one of `make chaos`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Lane:
    """Faults that never overlap each other, between two moments of a run.

    Parameters:
      faults: name and duration in seconds of each; their order and the pauses between them depend on the seed.
      begin_s, end_s: seconds since the first verification was enqueued.
    """

    faults: tuple[tuple[str, float], ...]
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One size of the suite. Times are in seconds."""

    name: str
    verifications: int
    #: The time over which verifications are enqueued.
    travel_s: float
    workers: int
    #: Worker kills, spread over the whole of `travel_s`.
    kills: int
    #: How many of them must hit a worker that is ready; with fewer the run proves too little.
    least_kills: int
    lease_s: float
    lanes: tuple[Lane, ...]
    #: The share of all answers of the vendor, including tokens and images, that are random faults.
    fault_rate: float = 0.2
    #: How long the fleet may take to finish after the last fault.
    patience_s: float = 300.0
    #: `EKYC_POLL_…`: the countdown of a null answer.
    poll: dict[str, str] = field(
        default_factory=lambda: {"EKYC_POLL_FIRST": "0.1", "EKYC_POLL_FACTOR": "1.5", "EKYC_POLL_CAP": "5"}
    )


#: Images fail early: those that are missing at the decision are fetched again 15 s after it.
SHORT: Final = Profile(
    name="short",
    verifications=500,
    travel_s=56.0,
    workers=2,
    kills=6,
    least_kills=4,
    lease_s=5.0,
    lanes=(
        Lane((("images_fail", 8.0),), 2.0, 12.0),
        Lane((("vendor_5xx", 8.0),), 14.0, 40.0),
        Lane((("evidence_fails", 8.0), ("disk_full", 6.0)), 14.0, 52.0),
        Lane((("valkey_killed", 0.0), ("valkey_frozen", 6.0)), 6.0, 54.0),
        Lane((("connections_dropped", 0.0), ("queue_flushed", 3.0), ("redelivery", 4.0)), 4.0, 55.0),
        Lane((("zombie", 9.0),), 14.0, 50.0),
    ),
    patience_s=300.0,
)

LONG: Final = Profile(
    name="long",
    verifications=5000,
    travel_s=660.0,
    workers=3,
    kills=36,
    least_kills=30,
    lease_s=20.0,
    lanes=(
        Lane((("images_fail", 75.0), ("images_fail", 60.0)), 10.0, 480.0),
        Lane(
            (
                ("vendor_refuses", 60.0),
                ("vendor_5xx", 60.0),
                ("vendor_garbage", 60.0),
                ("vendor_busy", 60.0),
                ("vendor_rejects_tokens", 60.0),
            ),
            20.0,
            600.0,
        ),
        Lane((("evidence_fails", 60.0), ("disk_full", 60.0)), 20.0, 600.0),
        Lane(
            (
                *(("valkey_killed", 0.0),) * 4,
                *(("valkey_frozen", 6.0),) * 2,
                ("valkey_frozen", 40.0),
            ),
            15.0,
            640.0,
        ),
        Lane(
            (
                *(("connections_dropped", 0.0),) * 6,
                *(("queue_flushed", 3.0),) * 6,
                *(("redelivery", 4.0),) * 6,
            ),
            10.0,
            650.0,
        ),
        Lane((("zombie", 26.0),) * 3, 30.0, 640.0),
    ),
    # Expired links and images that fail at random need some attempts, at most five minutes apart.
    patience_s=1500.0,
)

PROFILES: Final = {profile.name: profile for profile in (SHORT, LONG)}
