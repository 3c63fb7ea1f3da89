"""The receivers of `examples/` get the webhooks of a real fleet: signed by its key and by the endpoint's secret."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.example_receiver import KEY, NAMES, SECRET, is_installed, receiver
from tests.support.waiting import until
from worker.decisions.table import PACKAGED
from worker.ledger.webhooks import delivery_id

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(300)


def test_each_example_stores_each_decision_once(fleet: Fleet) -> None:
    with ExitStack() as opened:
        running = {}
        for name in filter(is_installed, NAMES):
            folder = fleet.folder / name
            folder.mkdir()
            running[name] = opened.enter_context(receiver(name, folder))
        kinds = json.dumps([f"webhook:{name}" for name in running])
        table = fleet.folder / "table.toml"
        table.write_text(f"{PACKAGED.read_text()}\n[deliveries]\napprove = {kinds}\nrecapture = {kinds}\n")
        secret = fleet.folder / "secret"
        secret.write_text(SECRET)
        endpoints = fleet.folder / "endpoints.toml"
        endpoints.write_text(
            f"origins = {json.dumps([each.url.rstrip('/') for each in running.values()])}\n"
            + "".join(
                f'[endpoints.{name}]\nurl = "{each.url}"\nsecrets = [{{ file = "{secret}" }}]\n'
                for name, each in running.items()
            )
        )
        fleet.environment |= {
            "EKYC_DECISIONS_FILE": str(table),
            "EKYC_ENDPOINTS_FILE": str(endpoints),
            "EKYC_SIGNING_KEY": KEY,
        }
        fleet.worker()
        names = ["pass-1", "CARD_NOT_FOUND-2", "pass-3"]
        fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])
        until(
            lambda: all(len(each.stored()) >= len(names) for each in running.values()),
            "each receiver has each decision",
        )
        fleet.await_done(len(names))
        for name, each in running.items():
            assert sorted(each.stored()) == sorted(delivery_id(name, decision_id("ph", one)) for one in names)
