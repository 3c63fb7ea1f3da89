"""What a poll and a decision cost Redis: processor time, commands, and the bytes that a done verification keeps.

One worker, the vendor's stand-in, and a Valkey that is ledger and broker, with an append-only file that is synced at
every write. First verifications that pass at once travel to the end, with images; then others are asked about again
and again and always answered null. What a decision adds is the first less the poll that is in it.

    python -m benchmarks.done [--number 3000] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from benchmarks.dispatchers import cpu_s
from benchmarks.waiting import REGION, fleet, free_ports
from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Stats

if TYPE_CHECKING:
    import redis as redis_py

#: Asked again every 0.6 to 1.2 s, so that batches are as large as under load.
COUNTDOWN_S = "0.2"
POLLED = 1000
#: Where decisions wait for the pipeline: no part of the ledger.
DECISIONS = "onboarding"


def measure(number: int) -> dict[str, Any]:
    [port] = free_ports(1)
    with fleet(port, countdown_s=COUNTDOWN_S) as (_, client):
        client.config_set("save", "")
        client.config_set("appendonly", "yes")
        client.config_set("appendfsync", "always")
        ledger, stats = Ledger(client), Stats(client)
        # The first one wakes threads and fills caches.
        travel(ledger, stats, ["pass-warm"])
        empty_bytes, before = used(client), spent(client)
        travel(ledger, stats, [f"pass-{index:011d}" for index in range(number)])
        decided = each(before, spent(client), number)
        client.delete(DECISIONS)
        # The hash tables of the done ones stop growing; buffers of the last calls go.
        time.sleep(2)
        done_bytes = (used(client) - empty_bytes) / number
        ledger.enqueue([EnqueueRequest(f"forever-{index:08d}", REGION) for index in range(POLLED)])
        polls, before = stats.counts(REGION).polls, spent(client)
        while (asked := stats.counts(REGION).polls - polls) < 3 * number:
            time.sleep(0.2)
        polled = each(before, spent(client), asked)
    return {
        "done": number,
        "redis_bytes_of_a_done_one": round(done_bytes),
        "polled": asked,
        "of_a_poll": polled,
        "of_one_that_passes_at_once": decided,
        "of_a_decision": {what: round(decided[what] - polled[what], 2) for what in decided},
    }


def travel(ledger: Ledger, stats: Stats, names: list[str]) -> None:
    """Enqueue them, and wait until they are done."""
    before = stats.counts(REGION).done
    ledger.enqueue([EnqueueRequest(name, REGION) for name in names])
    while stats.counts(REGION).done - before < len(names):
        time.sleep(0.2)


def used(client: redis_py.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def spent(client: redis_py.Redis) -> dict[str, float]:
    """So far: processor time, commands that clients sent or scripts ran, bytes of the network."""
    stats = client.info("stats")
    return {
        "cpu_us": cpu_s(client) * 1e6,
        "commands": sum(row["calls"] for row in client.info("commandstats").values()),
        "bytes_in_and_out": stats["total_net_input_bytes"] + stats["total_net_output_bytes"],
    }


def each(before: dict[str, float], after: dict[str, float], number: int) -> dict[str, float]:
    return {what: round((after[what] - before[what]) / number, 2) for what in before}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=3000, help="that travel to the end (default: 3000)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.number)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"a done verification takes {figures['redis_bytes_of_a_done_one']} bytes of Redis")
    for what in ("of_a_poll", "of_one_that_passes_at_once", "of_a_decision"):
        print(f"{what}:", *(f"{name}={value}" for name, value in figures[what].items()))


if __name__ == "__main__":
    main()
