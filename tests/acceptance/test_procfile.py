"""What the README and the Procfile tell a newcomer to run, run as they say."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.fleet import ROOT, until
from tests.acceptance.test_worker import reachable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

#: How the variables begin that are for workers.
OURS = ("REDIS_", "ADVANCE_", "EKYC_")

README = (ROOT / "README.md").read_text()


def block(language: str, mark: str) -> str:
    """The first fenced block of the README in which `mark` stands."""
    blocks = README.split(f"```{language}\n")[1:]
    return next(text for each in blocks if mark in (text := each.partition("```")[0]))


@contextmanager
def honcho(fleet: Fleet, env_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """All that the Procfile names. It starts each in a session of its own, so it alone can end them."""
    process = fleet.start("honcho", "-e", str(env_file), "start", name="honcho")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=30)


def groups_that_live() -> set[str]:
    """The process groups there are; a zombie that nobody has waited for yet does not count."""
    groups = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, group, *_ = path.read_text().rpartition(") ")[2].split()
            groups |= {group} if state != "Z" else set()
    return groups


def test_honcho_starts_all_that_the_procfile_names_and_ends_it_cleanly(
    fleet: Fleet, unused_port: int
) -> None:
    """All settings come from an env file; SIGTERM ends worker and Flower, and no process is left."""
    settings = {name: fleet.environment[name] for name in fleet.environment if name.startswith(OURS)}
    settings |= {"CELERY_WORKER_HOSTNAME": "procfile@test", "CELERY_WORKER_LOGLEVEL": "INFO"}
    settings |= {"CELERY_WORKER_CONCURRENCY": "3"}
    settings |= {"FLOWER_PORT": str(unused_port), "FLOWER_UNAUTHENTICATED_API": "true"}
    env_file = fleet.folder / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    path = os.pathsep.join([str(Path(sys.executable).parent), fleet.environment["PATH"]])
    fleet.environment = {"PATH": path, "PYTHONUNBUFFERED": "1"}

    with honcho(fleet, env_file) as process:
        until(lambda: "procfile@test ready." in fleet.log("honcho"), "the worker gets ready")
        assert "concurrency: 3 (thread)" in fleet.log("honcho")
        until(lambda: reachable(f"http://127.0.0.1:{unused_port}/api/workers"), "Flower answers")
        enqueued = fleet.run("worker.cli", "enqueue", "pass-1", "--region", "ph", **settings)
        assert enqueued.returncode == 0, enqueued.stderr
        fleet.await_done(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM

    log = fleet.log("honcho")
    assert "Warm shutdown" in log
    assert "Traceback" not in log
    started = re.findall(r"(\w+)\.1 started \(pid=(\d+)\)", log)
    assert sorted(name for name, _ in started) == ["flower", "worker"]
    assert not {group for _, group in started} & groups_that_live()


def test_the_readmes_pipeline_gets_a_decision_for_each_of_its_ways_to_enqueue(fleet: Fleet) -> None:
    """The commands and the Python of "Five minutes to your own pipeline", but for the address of Redis."""
    fleet.worker()

    def module(name: str, text: str) -> None:
        (fleet.folder / f"{name}.py").write_text(text.replace("redis://127.0.0.1:6379/0", fleet.redis_url))

    ids, file = block("sh", "ekyc enqueue").splitlines()
    (fleet.folder / "verifications.csv").write_text(
        'signature_id,region,context\npass-0005,ph,"{""application"": 45}"\n'
    )
    module("by_python", block("python", "worker.client"))
    module("by_celery", block("python", "send_task"))
    for command in (ids, file.replace("verifications.csv", str(fleet.folder / "verifications.csv"))):
        program, *arguments = shlex.split(command, comments=True)
        assert program == "ekyc"
        ran = fleet.run("worker.cli", *arguments)
        assert ran.returncode == 0, ran.stderr
    for name in ("by_python", "by_celery"):
        ran = fleet.run(name, PYTHONPATH=str(fleet.folder))
        assert ran.returncode == 0, ran.stderr

    module("pipeline", block("python", "onboarding.approve"))
    command, *arguments = shlex.split(block("sh", "celery -A pipeline"))
    fleet.start(command, *arguments, name="pipeline", PYTHONPATH=str(fleet.folder))

    def told() -> str:
        # Celery's log has each argument of a print on a line of its own.
        return "".join(line.partition("] ")[2] for line in fleet.log("pipeline").splitlines())

    def is_told(text: str) -> None:
        until(lambda: text in told(), f"the pipeline is told of {text}")

    is_told("CARD_NOT_FOUND")
    for application in (42, 43, 44, 45):
        is_told(f"{{'application': {application}}}")
    until(lambda: told().count("was here before") == 4, "four are approved")
    assert "Traceback" not in fleet.log("pipeline")
