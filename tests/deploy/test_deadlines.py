"""Whatever starts a worker waits for its end longer than the slowest thing that a worker may have under way."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.deploy.sources import DEPLOY, compose, pods, unit
from tests.integration.image_host import JPEG, PNG, ImageHost
from tests.integration.test_evidence_archive import Archiving
from worker import redis
from worker.evidence import collection, objects
from worker.evidence.objects import Objects
from worker.evidence.store import Evidence
from worker.settings import Settings
from worker.vendor import client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


def seconds(said: timedelta | str) -> float:
    return said.total_seconds() if isinstance(said, timedelta) else float(said.removesuffix("s"))


#: Of archiving a verification with two images.
REQUESTS: Final = 7

#: A request that fails late is tried once more, and hangs.
REQUEST_S: Final = seconds(objects.CLIENT["timeout"]) + seconds(objects.RETRY["retry_timeout"])

REDIS_S: Final = redis.TIMEOUT_S * (1 + redis.RETRIES)

SLOWEST_S: Final = collection.TIMEOUT_S + REQUESTS * REQUEST_S + REDIS_S


def test_an_archive_makes_so_many_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []
    use = Objects._use

    @contextmanager
    def counted(self: Objects, doing: str) -> Iterator[None]:
        requests.append(doing)
        with use(self, doing):
            yield

    with ImageHost().running() as host:
        archiving = Archiving(Evidence(tmp_path.as_uri()), host)
        archiving.settled(host.serve("/front", JPEG), host.serve("/back", PNG))
        monkeypatch.setattr(Objects, "_use", counted)
        assert archiving().files == 3
    assert len(requests) == REQUESTS


def test_every_way_to_deploy_waits_longer_than_the_slowest_archive() -> None:
    told_s = seconds(compose()["services"]["worker"]["stop_grace_period"])
    (unit_s,) = unit("ekyc-worker@.service")["TimeoutStopSec"]
    assert told_s == pods()["worker"]["terminationGracePeriodSeconds"] == seconds(unit_s)
    vendor_s = client.TOTAL_S + 2 * REQUEST_S + REDIS_S
    assert told_s > max(SLOWEST_S, vendor_s, Settings().lease_s)


def test_the_files_name_how_long_that_is() -> None:
    files = "docker-compose.yml kubernetes/base/worker.yaml systemd/ekyc-worker@.service README.md"
    for file in files.split():
        assert f" {SLOWEST_S:.0f} s" in (DEPLOY / file).read_text(), file


def test_a_process_that_waits_for_redis_is_not_taken_for_dead() -> None:
    wait_s = Settings().start_wait_s
    for name in ("worker", "flower"):
        (container,) = pods()[name]["containers"]
        probe = container["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] > wait_s
        assert seconds(compose()["services"][name]["healthcheck"]["start_period"]) > wait_s
