"""The account of Redis that the docs name is enough for a fleet; with less a worker refuses to start, and says why."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import NoPermissionError

from schemas.enqueue import EnqueueRequest
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.timeout(120), pytest.mark.every_server]

PASSWORD = "hush-secret"

#: As in the docs, by name: what follows ACL SETUSER and the user's name.
(LINE,) = re.findall(r"^ACL SETUSER ekyc (.+)$", (ROOT / "docs" / "redis.md").read_text(), re.MULTILINE)


#: The same of a pipeline's own Celery.
(PIPELINE,) = re.findall(
    r"^ACL SETUSER pipeline (.+)$", (ROOT / "docs" / "pipelines.md").read_text(), re.MULTILINE
)

#: A consumer, as in the README.
CONSUMER = """
from celery import Celery

app = Celery("onboarding", broker="{url}")
app.conf.update(task_ignore_result=True, task_acks_late=True, task_reject_on_worker_lost=True)


@app.task(name="onboarding.approve")
def approve(decision):
    print("approved " + decision["signature_id"])
"""


@contextmanager
def account(fleet: Fleet, *rules: str) -> Iterator[str]:
    """The URL of that Redis for an account with these rules."""
    with fleet.redis() as redis:
        command: Any = redis.execute_command
        command("ACL", "SETUSER", "ekyc", "reset", *rules)
        command("ACL", "LOG", "RESET")
        try:
            yield fleet.redis_url.replace("redis://", f"redis://ekyc:{PASSWORD}@")
        finally:
            redis.acl_deluser("ekyc")


def refused(fleet: Fleet) -> list[str]:
    """What Redis has refused the account. A client that may not give its version goes on without."""
    with fleet.redis() as redis:
        entries: list[dict[str, Any]] = redis.acl_log()
    return [str(entry["object"]) for entry in entries if "setinfo" not in str(entry["object"])]


def test_a_fleet_works_with_the_least_account(fleet: Fleet) -> None:
    """A worker decides, answers `celery inspect`, restarts; people read and look. Nothing is refused on the way."""
    with account(fleet, *LINE.replace("PASSWORD", PASSWORD).split()) as url:
        fleet.environment["REDIS_URL"] = url
        worker = fleet.worker()
        enqueued = fleet.run("worker.cli", "enqueue", "pass-n1-1", "--region", "ph")
        assert enqueued.returncode == 0, enqueued.stderr
        fleet.ledger().enqueue([EnqueueRequest("img503x1-2", "ph")])
        fleet.await_done(2)
        for command in (["stats"], ["status", "pass-n1-1", "--region", "ph"], ["quarantine", "list"]):
            ended = fleet.run("worker.cli", *command)
            assert ended.returncode == 0, ended.stderr
        pong = fleet.run("celery", "-A", "worker", "inspect", "ping", "--timeout", "10")
        assert "1 node online" in pong.stdout, pong.stderr
        doctor = json.loads(fleet.run("worker.cli", "doctor", "--json").stdout)
        found = {check["check"]: check["level"] for check in doctor["checks"]}
        assert {found[f"{name} account"] for name in ("redis", "broker")} == {"ok"}
        assert found["redis writes"] == "ok"
        worker.terminate()
        assert worker.wait(timeout=60) == 0
        # They look at more where they may: `doctor` at INFO and CONFIG.
        assert set(refused(fleet)) <= {"info", "config|get"}
    assert len(fleet.delivered()) == 2


def test_a_pipeline_sends_and_consumes_with_the_least_account(fleet: Fleet) -> None:
    """Celery as it is, without our transport. The account cannot read the ledger."""
    fleet.worker()
    with account(fleet, *PIPELINE.replace("PASSWORD", PASSWORD).split()) as url:
        (fleet.folder / "pipeline.py").write_text(CONSUMER.format(url=url))
        fleet.cwd = fleet.folder
        consumer = fleet.spawn(
            [sys.executable, "-m", "celery", "-A", "pipeline", "worker", "-Q", "onboarding", "-l", "INFO"],
            "pipeline",
            dict(fleet.environment),
        )
        until(lambda: "ready." in fleet.log("pipeline"), "the pipeline is ready")
        app = Celery("pipeline", broker=url)
        app.send_task("tasks.enqueue", kwargs={"signature_id": "pass-n1-1", "region": "ph"})
        until(lambda: "approved pass-n1-1" in fleet.log("pipeline"), "the decision is there")
        consumer.terminate()
        assert consumer.wait(timeout=60) == 0
        assert refused(fleet) == []
        assert "NoPermission" not in fleet.log("pipeline")
        with pytest.raises(NoPermissionError), Redis.from_url(url) as redis:
            redis.hgetall("ekyc:{ph}:v:pass-n1-1")


def test_people_look_and_redeliver_with_the_least_account(fleet: Fleet) -> None:
    """Commands that need Celery for a moment, or not at all, use the broker as workers do."""
    with account(fleet, *LINE.replace("PASSWORD", PASSWORD).split()) as url:
        fleet.worker(REDIS_URL=url)
        fleet.environment["REDIS_URL"] = url
        fleet.ledger().enqueue([EnqueueRequest("pass-n1-1", "ph")])
        fleet.await_done(1)
        assert json.loads(fleet.run("worker.cli", "stats", "--json").stdout)["decisions_unread"] == 1
        redelivered = fleet.run("worker.cli", "redeliver", "pass-n1-1", "--region", "ph", "--yes")
        assert redelivered.returncode == 0, redelivered.stderr
        assert refused(fleet) == []
        # For what has no index a person needs one more right, which has a name.
        since = fleet.run("worker.cli", "redeliver", "--since", "1h", "--yes")
        assert (since.returncode, since.stderr.count("\n")) == (1, 1)
        assert "ACL SETUSER ekyc +scan" in since.stderr
    assert len(fleet.delivered()) == 2


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        (("~ekyc:*", "+@all"), "~unacked* ~celery* ~onboarding* ~*.celery.pidbox* &/0.celery.pidbox"),
        (("~*", "+@all", "resetchannels"), "&/0.celery.pidbox &/0.celeryev/*"),
        (("~*", "&*", "+@all", "-brpop", "-publish"), "+brpop +publish"),
        (("~*", "&*", "+@all", "-blpop"), "+blpop"),
        (("~celery*", "&*", "+@all"), "~ekyc:*"),
    ],
)
def test_a_worker_whose_account_may_less_does_not_start(
    fleet: Fleet, rules: tuple[str, ...], lacking: str
) -> None:
    """One line, which an administrator can type; `ekyc doctor` names the same."""
    with account(fleet, "on", f">{PASSWORD}", *rules) as url:
        ended = fleet.run("celery", "-A", "worker", "worker", REDIS_URL=url)
        doctor = fleet.run("worker.cli", "doctor", "--json", REDIS_URL=url)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "ACL SETUSER ekyc" in ended.stderr
    assert lacking in ended.stderr
    checks = [check for check in json.loads(doctor.stdout)["checks"] if check["check"].endswith(" account")]
    assert [check["level"] for check in checks if lacking in check["said"]] == ["error"]
    assert PASSWORD not in ended.stderr + doctor.stdout + doctor.stderr
