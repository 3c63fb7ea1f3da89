"""What the ledger keeps of an endpoint's answers, and what a recovery sends again, on a real Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_cli_deliveries import decided, exhausted, tried
from worker.decisions import deliveries
from worker.decisions.deliveries import Health, Position
from worker.ledger.webhooks import Down, Extent, Kind, Shelf, State, Webhooks

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger import Ledger
    from worker.ledger.webhooks import EndpointState

#: More than the ledger's clock ever says.
LATEST = 10**15


@pytest.fixture
def webhooks(redis: Redis) -> Webhooks:
    return Webhooks(redis)


def shop(webhooks: Webhooks) -> EndpointState:
    (found,) = webhooks.endpoints("ph", ["shop"])
    return found


def test_the_last_answers_of_an_endpoint_are_kept_the_newest_first(
    ledger: Ledger, webhooks: Webhooks, redis: Redis
) -> None:
    assert shop(webhooks).answers == ()
    decided(ledger, "one")
    for status in range(500, 525):
        tried(webhooks, kind=Kind.FAILED, fault=f"HTTP_{status}", down=Down(after=1000))
        # Else its tenth try would be its last.
        redis.hdel("ekyc:{ph}:webhook:" + waiting(webhooks), "tries")
    tried(webhooks, kind=Kind.ACKNOWLEDGED, answer="HTTP_204")
    found = shop(webhooks)
    assert [each.said for each in found.answers] == [
        "HTTP_204",
        *(f"HTTP_{status}" for status in range(524, 505, -1)),
    ]
    assert all(0 <= found.now_ms - each.at_ms < 60_000 for each in found.answers)


def waiting(webhooks: Webhooks) -> str:
    (one,) = webhooks.ids(Shelf("ph", "shop", State.WAITING))
    return one


def test_an_acknowledgement_of_an_older_worker_and_what_was_not_tried_are_no_answers(
    ledger: Ledger, webhooks: Webhooks
) -> None:
    decided(ledger, "one")
    tried(webhooks, kind=Kind.BACK)
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    assert shop(webhooks).answers == ()


def test_the_health_of_an_endpoint_is_the_most_serious_that_is_true(
    ledger: Ledger, webhooks: Webhooks
) -> None:
    decided(ledger, "one")
    assert deliveries.health(shop(webhooks)) is Health.OPEN
    tried(webhooks, kind=Kind.FAILED, fault="HTTP_500", down=Down(after=100))
    assert deliveries.health(shop(webhooks)) is Health.FAILING
    tried(webhooks, kind=Kind.FAILED, fault="HTTP_503", slow=True, down=Down(after=100))
    assert deliveries.health(shop(webhooks)) is Health.SLOWED
    assert deliveries.alert(shop(webhooks)) is None
    for _ in range(3):
        tried(webhooks, kind=Kind.FAILED, fault="HTTP_500", down=Down(after=100))
    assert deliveries.alert(shop(webhooks)) == 0.5
    tried(webhooks, kind=Kind.FAILED, fault="HTTP_410", gone=True)
    assert deliveries.health(shop(webhooks)) is Health.GONE
    assert deliveries.alert(shop(webhooks)) == 1.0
    webhooks.resume("ph", "shop")
    webhooks.pause("ph", "shop", why="maintenance", who="ann")
    found = shop(webhooks)
    assert (deliveries.health(found), deliveries.since_ms(found)) == (Health.PAUSED, found.paused_at_ms)


def test_a_recovery_takes_what_failed_within_the_time_and_nothing_twice(
    ledger: Ledger, webhooks: Webhooks
) -> None:
    ids = {decided(ledger, f"v{number}") for number in range(7)}
    exhausted(webhooks)
    shelf = Shelf("ph", "shop", State.FAILED)
    extent = webhooks.extent(shelf, since_ms=0, until_ms=LATEST)
    assert extent.count == 7
    assert extent.first_ms is not None
    assert extent.last_ms is not None
    assert extent.first_ms <= extent.last_ms <= webhooks.now_ms("ph")
    assert webhooks.extent(shelf, since_ms=0, until_ms=extent.first_ms - 1) == Extent(0)
    found = deliveries.recover(
        webhooks, [shelf], since_ms=0, until_ms=extent.last_ms, who="ann", via="console", longest_s=60.0
    )
    assert (found.resent, found.not_resent, found.left) == (7, (), 0)
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    acknowledged = Shelf("ph", "shop", State.ACKNOWLEDGED)
    assert set(webhooks.ids(acknowledged)) == ids
    # What is acknowledged after `until_ms` is not taken.
    assert not webhooks.ids(acknowledged, until_ms=extent.last_ms)
    found = deliveries.recover(
        webhooks,
        [acknowledged],
        since_ms=0,
        until_ms=extent.last_ms,
        who="ann",
        via="console",
        longest_s=60.0,
    )
    assert found.resent == 0


def test_a_recovery_without_time_says_what_is_left(ledger: Ledger, webhooks: Webhooks) -> None:
    for number in range(3):
        decided(ledger, f"v{number}")
    exhausted(webhooks)
    found = deliveries.recover(
        webhooks,
        [Shelf("ph", "shop", State.FAILED)],
        since_ms=0,
        until_ms=LATEST,
        who="ann",
        via="console",
        longest_s=0.0,
    )
    assert (found.resent, found.left) == (0, 3)


def left_ids(redis: Redis, count: int, at_ms: int) -> None:
    """Ids of acknowledged deliveries whose hashes have expired: only the next outcome of the endpoint removes them."""
    key = "ekyc:{ph}:acknowledged:webhook:shop"
    redis.zadd(key, {f"{number:08x}-9f80-50ad-b1ce-000000000000": at_ms + number for number in range(count)})


def test_a_page_that_finds_nothing_ends_in_time_and_says_where_to_continue(
    redis: Redis, ledger: Ledger, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "PAGE_S", 0.0, raising=False)
    left_ids(redis, 120, webhooks.now_ms("ph") - 60_000)
    one = decided(ledger, "one")
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    shelves, pages = [Shelf("ph", "shop", State.ACKNOWLEDGED)], []
    position: Position | None = Position()
    while position is not None:
        found, position = deliveries.page(webhooks, shelves, position, 50)
        pages.append([each.id for each in found])
    assert pages == [[], [], [one]]


def test_a_page_does_not_look_for_what_the_retention_has_removed(redis: Redis, ledger: Ledger) -> None:
    webhooks = Webhooks(redis, retention_s=3600)
    left_ids(redis, 120, webhooks.now_ms("ph") - 3_700_000)
    one = decided(ledger, "one")
    # The outcome of an endpoint removes what is too old, but only some of it if it is much.
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    left_ids(redis, 120, webhooks.now_ms("ph") - 3_700_000)
    asked = list[int]()

    class Counted(Webhooks):
        def ids(self, *args: Any, **options: Any) -> list[str]:
            found = super().ids(*args, **options)
            asked.append(len(found))
            return found

    shelves = [Shelf("ph", "shop", State.ACKNOWLEDGED)]
    found, following = deliveries.page(Counted(redis, retention_s=3600), shelves, Position(), 50)
    assert ([each.id for each in found], following) == ([one], None)
    assert asked == [1]


def test_a_position_is_read_from_its_text_alone() -> None:
    assert Position.parse(str(Position(3, 17))) == Position(3, 17)
    for text in ("", "1", "1.", ".1", "-1.0", "1.2.3", "1.1234567890", "\u0661.\u0662", "9" * 2000):
        with pytest.raises(ValueError, match="not a cursor"):
            Position.parse(text)
