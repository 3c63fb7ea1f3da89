"""Whatever starts a worker waits for its end longer than the slowest thing that a worker may have under way."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tests.deploy.sources import DEPLOY, compose, pods, unit
from worker.evidence.storage import bucket
from worker.ledger import connection
from worker.settings import Settings
from worker.time_budget import IMAGES_S, REDIS_CALL_S, STOP_GRACE_S, VENDOR_CALL_S


def seconds(said: timedelta | str) -> float:
    return said.total_seconds() if isinstance(said, timedelta) else float(said.removesuffix("s"))


#: Of archiving a verification with two images into a bucket: those that
#: `test_archiving_into_a_bucket_reads_the_answer_once_and_nothing_twice` counts, and three that read what another
#: worker has put there meanwhile.
REQUESTS: Final = 7 + 3

#: A request that fails late is tried once more, and hangs.
REQUEST_S: Final = seconds(bucket.CLIENT["timeout"]) + seconds(bucket.RETRY["retry_timeout"])

REDIS_S: Final = REDIS_CALL_S * (1 + connection.RETRIES)

SLOWEST_S: Final = IMAGES_S + REQUESTS * REQUEST_S + REDIS_S


def test_every_way_to_deploy_waits_longer_than_the_slowest_archive() -> None:
    told_s = seconds(compose()["services"]["worker"]["stop_grace_period"])
    (unit_s,) = unit("ekyc-worker@.service")["TimeoutStopSec"]
    assert told_s == pods()["worker"]["terminationGracePeriodSeconds"] == seconds(unit_s) == STOP_GRACE_S
    # A listing, the key, the answer, and both read again if another worker was first.
    vendor_s = VENDOR_CALL_S + 5 * REQUEST_S + REDIS_S
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
