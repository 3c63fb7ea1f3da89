"""The figures of docs/scale.md: what so many verifications a day come to.

Pure: formulas and what they stand on. Each figure says whether it was measured, where, or is assumed.

    python -m benchmarks.scale
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400
#: How busy a worker should be on average. With a higher share, a burst waits until it is over. Chosen.
BUSY: Final = 0.7
#: docs/schedule.md, the mixture: polls until the decision or the deadline, and seconds until then. Simulated.
POLLS_TO_DECISION: Final = 11.9
WAITS_S: Final = 1151
#: The same page: never answered, and polled for a day more, every 600 s. Assumed and by design.
NEVER: Final = 0.02
POLLS_AFTER_DEADLINE: Final = 144
#: The busiest hour against the average one. Assumed.
PEAK: Final = 3
#: Processor time of a worker. docs/adr/0002-batches.md: 0.95 ms in batches of 64. Measured.
POLL_MS: Final = 1.0
#: What a decision adds to its poll, with two images in a local folder: docs/bench.json, some 2.5 ms in all. Measured.
DECISION_MS: Final = 2.0
#: `make bench-done`, ledger and broker in one Valkey, synced at every write. Measured.
REDIS_POLL_US: Final = 98
REDIS_DECISION_US: Final = 605
REDIS_POLL_COMMANDS: Final = 18
REDIS_DECISION_COMMANDS: Final = 35
DONE_BYTES: Final = 1520
#: `make bench-waiting`. Measured.
WAITING_BYTES: Final = 234
#: `EKYC_RETENTION`, its default.
RETENTION_DAYS: Final = 7
#: An answer with its manifest, and two images, in kB, for each that finishes. Assumed.
EVIDENCE_KB: Final = 4 + 2 * 300
FINISHES: Final = 0.75

POLLS: Final = POLLS_TO_DECISION + NEVER * POLLS_AFTER_DEADLINE
STAYS_S: Final = WAITS_S + NEVER * DAY_S
WORKER_MS: Final = POLLS * POLL_MS + DECISION_MS
REDIS_US: Final = POLLS * REDIS_POLL_US + REDIS_DECISION_US
REDIS_COMMANDS: Final = POLLS * REDIS_POLL_COMMANDS + REDIS_DECISION_COMMANDS


@dataclass(frozen=True, slots=True)
class Scale:
    """So many verifications a day."""

    per_day: float

    @property
    def average_per_s(self) -> float:
        return self.per_day / DAY_S

    @property
    def peak_per_s(self) -> float:
        return PEAK * self.average_per_s

    @property
    def polls_per_s(self) -> float:
        """Of the vendor, at the peak."""
        return POLLS * self.peak_per_s

    @property
    def workers(self) -> int:
        """Processes, each with a core, busy for `BUSY` of the time at the peak."""
        return math.ceil(self.peak_per_s * WORKER_MS / 1000 / BUSY)

    @property
    def redis_commands_per_s(self) -> float:
        """Sent by clients or run by scripts, at the peak."""
        return self.peak_per_s * REDIS_COMMANDS

    @property
    def redis_cores(self) -> float:
        """Of Redis, which has one for commands, at the peak."""
        return self.peak_per_s * REDIS_US / 1e6

    @property
    def waiting(self) -> float:
        """At the peak: Little's law."""
        return self.peak_per_s * STAYS_S

    @property
    def waiting_gb(self) -> float:
        return self.waiting * WAITING_BYTES / 1e9

    @property
    def done_gb(self) -> float:
        return self.per_day * RETENTION_DAYS * DONE_BYTES / 1e9

    @property
    def evidence_gb_per_day(self) -> float:
        return self.per_day * FINISHES * EVIDENCE_KB / 1e6


#: Verifications a day that fill one core of Redis to `BUSY` at the peak.
CORE_PER_DAY: Final = BUSY * 1e6 / REDIS_US / PEAK * DAY_S
SCALES: Final = (Scale(1e6), Scale(1e7), Scale(1e8))


def short(number: float) -> str:
    """Two digits that count, and all before the point."""
    if number >= 10 or isinstance(number, int):
        return f"{number:,.0f}"
    return f"{number:.2g}" if number < 1 else f"{number:.1f}"


def table() -> list[str]:
    """The rows of docs/scale.md."""
    rows: dict[str, list[float]] = {
        "a second, average": [one.average_per_s for one in SCALES],
        "a second, peak": [one.peak_per_s for one in SCALES],
        "vendor calls a second, peak": [one.polls_per_s for one in SCALES],
        "worker processes": [one.workers for one in SCALES],
        "Redis commands a second, peak": [one.redis_commands_per_s for one in SCALES],
        "cores of Redis, peak": [one.redis_cores for one in SCALES],
        "waiting, peak": [one.waiting for one in SCALES],
        "Redis for those that wait, GB": [one.waiting_gb for one in SCALES],
        "Redis for those that are done, GB": [one.done_gb for one in SCALES],
        "evidence, GB a day": [one.evidence_gb_per_day for one in SCALES],
    }
    return [
        f"| {what} | " + " | ".join(short(value) for value in values) + " |" for what, values in rows.items()
    ]


def main() -> None:
    print("| a day | 1 million | 10 million | 100 million |", "|---|---|---|---|", *table(), sep="\n")
    print(f"one core of Redis: {CORE_PER_DAY / 1e6:.1f} million a day")


if __name__ == "__main__":
    main()
