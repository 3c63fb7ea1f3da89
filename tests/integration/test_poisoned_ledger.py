"""What a client of Redis writes into one verification does not stop the others of its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.support.redis_attacker import DECIDED, Attacker
from worker.client import enqueue
from worker.ledger.fields import Field
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def fleet() -> Iterator[LocalFleet]:
    with LocalFleet(settings={"ADVANCE_REGIONS": "ph"}) as fleet:
        yield fleet


@pytest.mark.parametrize(
    ("field", "text", "counts"),
    [
        (Field.CONTEXT, '"\\ud800"', False),
        (Field.CONTEXT, "NaN", False),
        (Field.CONTEXT, '{"a":1e999}', False),
        (Field.CONTEXT, "{", False),
        (Field.CONTEXT, '"' + "x" * 10_000 + '"', False),
        (Field.POLLS, "x", True),
        (Field.POLLS, "9" * 400, True),
        (Field.SETTLED_AT, "-9", True),
        (Field.EVIDENCE, "zzz", True),
    ],
)
def test_the_others_are_decided(fleet: LocalFleet, field: Field, text: str, *, counts: bool) -> None:
    names = [f"pass-{field.name.lower()}-{abs(hash(text)) % 10**6}-{which}" for which in ("bad", "good")]
    for name in names:
        enqueue(name, "ph")
    assert len(fleet.drain()) == 2
    with Redis.from_url(fleet.redis_url) as redis:
        attacker = Attacker(redis, fleet.redis_url)
        for name in names:
            attacker.write(dict.fromkeys(DECIDED, ""), name)
        attacker.write({field: text}, names[0])
        for name in names:
            attacker.make_due("routing", name)
            redis.zrem("ekyc:{ph}:done", name)
        delivered = {each.signature_id for each in fleet.drain()}
    assert delivered == set(names if counts else names[1:])
