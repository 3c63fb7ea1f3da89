"""The figures of a demo, for `page` and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.demo.checks import Check


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of some measurements."""

    measured: int
    median: float
    mean: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Return the distribution of `values`; None if there are none."""
        if not values:
            return None
        ranked = sorted(values)
        # Nearest rank: a measured value, not an interpolated one.
        p95 = ranked[math.ceil(0.95 * len(ranked)) - 1]
        return cls(len(ranked), median(ranked), round(fmean(ranked), 1), p95, ranked[-1])


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A verification in quarantine."""

    signature_id: str
    region: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One way in which decisions are delivered.

    Parameters:
      sent: decisions.
      acknowledged: how many of them were acknowledged; on a queue: were received by the pipeline.
      tries: requests; on a queue: messages that the pipeline received.
    """

    sent: int
    acknowledged: int
    tries: int


@dataclass(frozen=True, slots=True)
class RegionHold:
    """A region's hold."""

    region: str
    reason: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """The verification that was erased at the end. The other figures are of before. `objects`: of its evidence."""

    region: str
    signature_id: str
    objects: int


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a demo."""

    seconds: float
    verifications: int
    #: By the way they were enqueued.
    enqueued: dict[str, int]
    decided: int
    #: By channel: `celery`, and `webhook:` with the name of an endpoint.
    deliveries: dict[str, Channel]
    #: By decision, and within it by `errorCode`, or by reason if there was no result.
    decisions: dict[str, dict[str, int]]
    quarantine: tuple[Quarantined, ...]
    polls: int
    polls_each: Spread | None
    #: Milliseconds from the result at the vendor to the decision at the pipeline: of all verifications, and of those
    #: without a fault of the vendor.
    latency_ms: Spread | None
    latency_smooth_ms: Spread | None
    #: The same of those among them whose result the vendor announces: with that callback, and if it was lost.
    latency_called_back_ms: Spread | None
    latency_polled_ms: Spread | None
    #: Of the vendor, by outcome.
    callbacks: dict[str, int]
    evidence_files: int
    evidence_bytes: int
    erased: Erasure
    #: Verifications whose lease expired because their batch did not record in time; another batch finished them.
    leases_lost: tuple[str, ...]
    #: Region and id of a verification for the reader to look at: decided, and not approved.
    example: tuple[str, str] | None
    holds: tuple[RegionHold, ...]
    checks: tuple[Check, ...]
    folder: Path

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return what `ekyc demo --json` prints."""
        by_code: Counter[str] = Counter()
        for codes in self.decisions.values():
            by_code.update(codes)
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "verifications": self.verifications,
            "enqueued": self.enqueued,
            "decided": self.decided,
            "quarantined": len(self.quarantine),
            "deliveries": {name: asdict(channel) for name, channel in self.deliveries.items()},
            "decisions": {name: sum(codes.values()) for name, codes in self.decisions.items()},
            "error_codes": most_first(by_code),
            "decisions_by_error_code": self.decisions,
            "polls": self.polls,
            "polls_each": _figures(self.polls_each),
            "latency_ms": _figures(self.latency_ms),
            "latency_smooth_ms": _figures(self.latency_smooth_ms),
            "latency_called_back_ms": _figures(self.latency_called_back_ms),
            "latency_polled_ms": _figures(self.latency_polled_ms),
            "callbacks": self.callbacks,
            "evidence": {
                "files": self.evidence_files,
                "bytes": self.evidence_bytes,
                "folder": str(self.folder / "evidence"),
            },
            "erased": asdict(self.erased),
            "quarantine": [asdict(quarantined) for quarantined in self.quarantine],
            "leases_lost": list(self.leases_lost),
            "holds": [asdict(hold) for hold in self.holds],
            "checks": [
                {
                    "name": check.name,
                    "ok": check.ok,
                    "promise": check.promise,
                    "problems": list(check.problems),
                }
                for check in self.checks
            ],
            "folder": str(self.folder),
        }


def most_first(counter: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _figures(spread: Spread | None) -> dict[str, float] | None:
    return asdict(spread) if spread else None
