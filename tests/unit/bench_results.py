"""Results of a benchmark that never ran: round figures, so that ratios can be worked out in one's head."""

from __future__ import annotations

from typing import Any

SITTING = "2026-11-24T10:00:00+00:00"


def run(
    contender: str, per_s: float, *, variant: str = "one", profile: str = "cpu", **more: Any
) -> dict[str, Any]:
    """One run: 1,000 verifications, 2 ms of CPU each."""
    return {
        "contender": contender,
        "variant": variant,
        "profile": profile,
        "count": 1000,
        "seconds": 1000 / per_s,
        "per_s": per_s,
        "cpu_s": 2.0,
        "vendor_cpu_s": 0.1,
        "others_cores": 0.0,
        "memory_mb": 100.0,
        "disagreements": [],
        "round": 1,
        "sitting": SITTING,
    } | more


def unfinished(contender: str, *, variant: str = "one", profile: str = "cpu") -> dict[str, Any]:
    return {
        "contender": contender,
        "variant": variant,
        "profile": profile,
        "failure": "not done after 60 s",
        "round": 1,
        "sitting": SITTING,
    }


def step(contender: str, asked: int, taken_per_s: float, **more: Any) -> dict[str, Any]:
    """One step of the profile `waiting`."""
    return {
        "contender": contender,
        "variant": "one",
        "asked": asked,
        "waiting": asked,
        "taken_per_s": taken_per_s,
        "workers_mb": 100.0,
        "redis_mb": 10.0,
        "worker_bytes_each": 0.0,
        "redis_bytes_each": 230.0,
        "settled": {
            "asked": 1000,
            "decided": 1000,
            "delay_median_ms": 20.0,
            "delay_p95_ms": 30.0,
            "cpu_ms_each": 5.0,
        },
        "failure": None,
        "sitting": SITTING,
    } | more


def results(*runs: dict[str, Any], waiting: Any = (), targets: Any = None) -> dict[str, Any]:
    about = {
        "versions": {"python": "3.11.7", "celery": "5.7.0"},
        "machine": {
            "cores": 2,
            "memory_gb": 25,
            "architecture": "x86_64",
            "system": "Linux 6.18",
            "filesystem": "ext4",
        },
    }
    return {
        "sittings": {SITTING: about},
        "runs": list(runs),
        "waiting": list(waiting),
        "targets": targets or {},
    }
