"""How many commands the ledger's scripts cost Redis, whose processor time grows with their number."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from schemas.enqueue import EnqueueRequest
from tests.integration.test_ledger import at
from worker.ledger import transitions
from worker.ledger.models import EvidenceState, Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from worker.ledger import Ledger
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition

pytestmark = pytest.mark.every_server

_T = TypeVar("_T")

#: Verifications of one batch, so that what a call costs once hardly counts.
MANY: Final = 200


def total(redis: Redis) -> int:
    """Commands so far, those within scripts included."""
    return sum(line["calls"] for line in redis.info("commandstats").values())


def few(redis: Redis, most: int, call: Callable[[], _T]) -> _T:
    """Check that a call takes at most `most` commands for each verification, and return what it returns."""
    before = total(redis)
    returned = call()
    assert (total(redis) - before) / MANY < most + 0.5
    return returned


def pending(verification: Verification) -> Transition:
    return transitions.repoll(verification, Heard("pending"), in_s=0)


def settled(verification: Verification) -> Transition:
    return transitions.settle(
        verification, Heard("result"), overall_result="PASS", error_code="SUCCESS", contradiction=None
    )


def archived(verification: Verification) -> Transition:
    return transitions.archived(verification, EvidenceState.COMPLETE, files=3, size_bytes=99)


def test_each_step_takes_few_commands_for_each_verification(ledger: Ledger, redis: Redis) -> None:
    """A poll that is answered null, and the way from the result to the end."""
    requests = [EnqueueRequest(f"v{number}", "ph", '{"n":1}') for number in range(MANY)]
    few(redis, 2, partial(ledger.enqueue, requests))
    for answered in (pending, settled):
        (batch,) = few(redis, 2, partial(ledger.claim, "ph", limit=MANY)).batches
        loaded = few(redis, 2, partial(ledger.load, batch))
        assert len(loaded) == MANY
        few(redis, 4, partial(ledger.record, batch, [answered(each) for each in loaded]))
    archiving = at(batch, Stage.ARCHIVING)
    loaded = few(redis, 2, partial(ledger.load, archiving))
    few(redis, 4, partial(ledger.record, archiving, [archived(each) for each in loaded]))
    routing = at(batch, Stage.ROUTING)
    loaded = few(redis, 2, partial(ledger.load, routing))
    decided = [transitions.decide(each, name="approve", decision="{}") for each in loaded]
    few(redis, 3, partial(ledger.record, routing, decided))
    told = [transitions.delivered(each, name="approve") for each in loaded]
    few(redis, 10, partial(ledger.record, routing, told))
