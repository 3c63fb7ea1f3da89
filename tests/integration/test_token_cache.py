"""Promises of the fleet's token, on a real Valkey; and how the vendor is asked for one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock
from typing import TYPE_CHECKING, Any

import pytest

from schemas.token import Token
from tests.support.vendor_stub import Call, Stub, envelope, http, token
from worker.advance.answers import AccountFault, Busy, TokenFault, TransientFault, Unauthorised
from worker.advance.token_cache import MARGIN, TokenCache, TokenRefused
from worker.advance.token_request import TokenRequest, sign
from worker.advance.token_store import TokenStore
from worker.errors import LedgerUnavailable
from worker.http_client import deadline, session
from worker.ledger.connection import connect
from worker.settings import Settings
from worker.time_budget import TOKEN_LOCK_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis as redis_py

pytestmark = [pytest.mark.timeout(60), pytest.mark.every_server]

KEY = "ekyc:{ph}:token"


class Vendor:
    """Mints `token-1`, `token-2`, … or says what it is told to; notes for which region."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.instead: TokenFault | None = None
        self.takes_s = 0.0
        self.life_s = 3600.0
        self._lock = Lock()

    def __call__(self, region: str) -> Token | TokenFault:
        time.sleep(self.takes_s)
        with self._lock:
            self.requests.append(region)
            number = len(self.requests)
        return self.instead or Token(f"token-{number}", int((time.time() + self.life_s) * 1000))


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def tokens(redis: redis_py.Redis, vendor: Vendor) -> TokenCache:
    return TokenCache(redis, vendor)


@pytest.fixture(autouse=True)
def within_a_deadline() -> Iterator[None]:
    with deadline(20.0):
        yield


def elsewhere(redis: redis_py.Redis, vendor: Vendor) -> TokenCache:
    """Another process's, as far as the token is concerned."""
    return TokenCache(redis, vendor)


def refusal(tokens: TokenCache) -> TokenFault:
    with pytest.raises(TokenRefused) as caught:
        tokens.get("ph")
    return caught.value.answer


# Shared


def test_a_token_is_minted_once_and_then_remembered(tokens: TokenCache, vendor: Vendor) -> None:
    assert [tokens.get("ph") for _ in range(5)] == ["token-1"] * 5
    assert vendor.requests == ["ph"]


def test_a_token_in_memory_costs_redis_nothing(tokens: TokenCache, redis: redis_py.Redis) -> None:
    tokens.get("ph")
    before = redis.info("stats")["total_commands_processed"]
    for _ in range(100):
        tokens.get("ph")
    assert redis.info("stats")["total_commands_processed"] - before == 1


def test_the_whole_fleet_uses_one_token(tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor) -> None:
    assert tokens.get("ph") == elsewhere(redis, vendor).get("ph") == "token-1"
    assert vendor.requests == ["ph"]


def test_each_region_has_its_own_token(tokens: TokenCache, vendor: Vendor) -> None:
    assert tokens.get("ph") != tokens.get("sg")
    assert vendor.requests == ["ph", "sg"]


def test_forty_threads_that_find_no_token_mint_one(redis: redis_py.Redis, vendor: Vendor) -> None:
    """Of as many processes as threads: their memory is not shared."""
    vendor.takes_s = 0.3
    meet = Barrier(40)

    def ask(tokens: TokenCache) -> str:
        meet.wait()
        with deadline(20.0):
            return tokens.get("ph")

    with ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(ask, [elsewhere(redis, vendor) for _ in range(40)]))
    assert answers == ["token-1"] * 40
    assert vendor.requests == ["ph"]


def test_threads_of_one_process_wait_as_one(
    redis: redis_py.Redis, tokens: TokenCache, vendor: Vendor
) -> None:
    """Forty threads that wait for a token ask Redis no more often than one."""
    redis.set(f"{KEY}:lock", "another", px=300)
    before = redis.info("stats")["total_commands_processed"]
    with ThreadPoolExecutor(40) as threads:
        assert set(threads.map(patiently, [tokens] * 40)) == {"token-1"}
    assert redis.info("stats")["total_commands_processed"] - before < 100


def patiently(tokens: TokenCache) -> str:
    with deadline(20.0):
        return tokens.get("ph")


def test_who_comes_to_mint_looks_first_whether_another_just_has(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_turn = tokens._store.turn

    def late(*args: Any) -> Any:
        assert elsewhere(redis, vendor).get("ph") == "token-1"
        return true_turn(*args)

    monkeypatch.setattr(tokens._store, "turn", late)
    assert tokens.get("ph") == "token-1"
    assert vendor.requests == ["ph"]


# A requester that dies


def test_a_lock_that_a_dead_minter_left_behind_delays_and_no_more(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor
) -> None:
    redis.set(f"{KEY}:lock", "the dead", px=500)
    assert tokens.get("ph") == "token-1"
    assert vendor.requests == ["ph"]


REQUESTER = """
import sys, time, redis
from worker.http_client import deadline
from worker.advance.token_cache import TokenCache

def request_token(region):
    print("requesting", flush=True)
    time.sleep(600)

with deadline(600.0):
    TokenCache(redis.Redis.from_url(sys.argv[1]), request_token).get("ph")
"""


def test_a_minter_that_is_killed_is_succeeded_within_seconds(
    redis_url: str, redis: redis_py.Redis, tokens: TokenCache, vendor: Vendor
) -> None:
    with subprocess.Popen([sys.executable, "-c", REQUESTER, redis_url], stdout=subprocess.PIPE) as requester:
        assert requester.stdout is not None
        assert requester.stdout.readline() == b"requesting\n"
        os.kill(requester.pid, signal.SIGKILL)
    assert 0 < redis.pttl(f"{KEY}:lock") <= TOKEN_LOCK_S * 1000
    assert tokens.get("ph") == "token-1"
    assert vendor.requests == ["ph"]


def test_who_waits_for_a_token_waits_no_longer_than_its_deadline(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor
) -> None:
    redis.set(f"{KEY}:lock", "another", px=round(TOKEN_LOCK_S * 1000))
    with deadline(0.2):
        assert refusal(tokens) == TransientFault("TOKEN_TIMEOUT")
    assert vendor.requests == []


def test_a_thread_waits_for_another_of_its_process_no_longer_than_its_deadline(
    redis: redis_py.Redis, vendor: Vendor
) -> None:
    requesting, let_go = Event(), Event()

    def request_token(region: str) -> Token | TokenFault:
        requesting.set()
        let_go.wait(5)  # A call that waits longer than its deadline gets the token.
        return vendor(region)

    tokens = TokenCache(redis, request_token)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(patiently, tokens)
        try:
            assert requesting.wait(20)
            with deadline(0.1):
                assert refusal(tokens) == TransientFault("TOKEN_TIMEOUT")
        finally:
            let_go.set()
        assert slow.result() == "token-1"


def test_a_minter_whose_lock_expired_takes_nobody_elses(redis: redis_py.Redis, vendor: Vendor) -> None:
    def request_token(region: str) -> Token | TokenFault:
        redis.set(f"{KEY}:lock", "another")
        return vendor(region)

    assert TokenCache(redis, request_token).get("ph") == "token-1"
    assert redis.get(f"{KEY}:lock") == b"another"


# Before a token ends


def test_a_token_expires_in_redis_with_its_life(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor
) -> None:
    vendor.life_s = 600.0
    tokens.get("ph")
    assert 595_000 < redis.pttl(KEY) <= 600_000


@pytest.mark.parametrize("life_s", [-3600.0, 0.0, 3.6, 59.0, 7200.0, 3600.0 * 1000], ids=repr)
def test_an_end_that_cannot_be_is_not_believed(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor, life_s: float
) -> None:
    """In the past, in seconds for milliseconds, later than asked for: then it is an hour from now."""
    vendor.life_s = life_s
    assert tokens.get("ph") == "token-1"
    assert 3_595_000 < redis.pttl(KEY) <= 3_600_000
    assert tokens.get("ph") == "token-1"


def test_a_token_of_the_shortest_life_is_not_renewed_all_the_time(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor
) -> None:
    vendor.life_s = 60.3
    assert tokens.get("ph") == "token-1"
    Event().wait(0.5)
    assert tokens.get("ph") == elsewhere(redis, vendor).get("ph") == "token-1"
    assert vendor.requests == ["ph"]


def nearly_over(redis: redis_py.Redis, left_s: float = 0.5 * MARGIN * 3600.0) -> None:
    redis.set(KEY, "3600000:token-old", px=int(left_s * 1000))


def test_a_token_is_renewed_before_it_ends(tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor) -> None:
    nearly_over(redis)
    assert tokens.get("ph") == "token-1"
    assert elsewhere(redis, vendor).get("ph") == "token-1"
    assert vendor.requests == ["ph"]


def test_a_token_with_enough_of_its_life_left_is_not_renewed(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor
) -> None:
    nearly_over(redis, left_s=2 * MARGIN * 3600.0)
    assert tokens.get("ph") == "token-old"
    assert vendor.requests == []


def test_while_one_renews_the_others_go_on_with_the_old_token(redis: redis_py.Redis, vendor: Vendor) -> None:
    nearly_over(redis)
    requesting, granted = Event(), Event()

    def slow(region: str) -> Token | TokenFault:
        requesting.set()
        granted.wait(10)
        return vendor(region)

    renewer, other = TokenCache(redis, slow), elsewhere(redis, vendor)
    with ThreadPoolExecutor(1) as threads:
        renewed = threads.submit(patiently, renewer)
        assert requesting.wait(10)
        assert other.get("ph") == "token-old"
        assert vendor.requests == []
        granted.set()
        assert renewed.result() == "token-1"


def test_threads_of_the_renewing_process_go_on_with_the_old_token_too(
    redis: redis_py.Redis, vendor: Vendor
) -> None:
    nearly_over(redis)
    requesting, granted = Event(), Event()
    refused = iter([TransientFault("HTTP_502")])

    def slow(region: str) -> Token | TokenFault:
        if first := next(refused, None):
            return first
        requesting.set()
        granted.wait(10)
        return vendor(region)

    tokens = TokenCache(redis, slow)
    assert tokens.get("ph") == "token-old"  # in memory now
    redis.delete(f"{KEY}:refused")
    Event().wait(1.1)
    with ThreadPoolExecutor(1) as threads:
        renewed = threads.submit(patiently, tokens)
        assert requesting.wait(10)
        assert tokens.get("ph") == "token-old"
        granted.set()
        assert renewed.result() == "token-1"


def test_a_renewal_that_fails_leaves_the_old_token_in_use(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor
) -> None:
    nearly_over(redis)
    vendor.instead = TransientFault("HTTP_502")
    assert [tokens.get("ph") for _ in range(3)] == ["token-old"] * 3
    assert [elsewhere(redis, vendor).get("ph") for _ in range(3)] == ["token-old"] * 3
    assert vendor.requests == ["ph"]


# A token that the vendor refuses


def test_a_hundred_that_were_refused_the_same_token_mint_one(redis: redis_py.Redis, vendor: Vendor) -> None:
    fleet = [elsewhere(redis, vendor) for _ in range(10)]
    assert {tokens.get("ph") for tokens in fleet} == {"token-1"}
    meet = Barrier(100)

    def renew(tokens: TokenCache) -> str:
        meet.wait()
        with deadline(20.0):
            return tokens.renew("ph", "token-1")

    with ThreadPoolExecutor(100) as threads:
        assert set(threads.map(renew, fleet * 10)) == {"token-2"}
    assert vendor.requests == ["ph", "ph"]
    assert {tokens.get("ph") for tokens in fleet} == {"token-2"}


def test_who_was_refused_an_old_token_takes_the_one_that_was_minted_since(
    tokens: TokenCache, vendor: Vendor
) -> None:
    assert tokens.get("ph") == "token-1"
    assert tokens.renew("ph", "token-1") == "token-2"
    assert tokens.renew("ph", "token-1") == "token-2"
    assert vendor.requests == ["ph", "ph"]


def test_a_vendor_that_grants_the_refused_token_again_is_not_hammered(redis: redis_py.Redis) -> None:
    requested: list[str] = []

    def same(region: str) -> Token | TokenFault:
        requested.append(region)
        return Token("token-1", int((time.time() + 3600) * 1000))

    for tokens in (TokenCache(redis, same), TokenCache(redis, same)):
        assert tokens.get("ph") == "token-1"
        with pytest.raises(TokenRefused) as caught:
            tokens.renew("ph", "token-1")
        assert caught.value.answer == Unauthorised("TOKEN_UNCHANGED")
    assert requested == ["ph", "ph"]


# A vendor that grants none


@pytest.mark.parametrize(
    "answer",
    [
        AccountFault("ACCOUNT_DISABLED"),
        Unauthorised("TOKEN_UNCHANGED"),
        TransientFault("TIMEOUT"),
        Busy(10.0),
        Busy(2.5),
        Busy(None),
    ],
    ids=repr,
)
def test_a_refusal_is_told_to_the_fleet_and_the_vendor_is_left_alone(
    tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor, answer: TokenFault
) -> None:
    vendor.instead = answer
    assert refusal(tokens) == answer
    for _ in range(3):
        redis.pexpire(f"{KEY}:refused", 5000)  # A slow machine must not come too late.
        assert refusal(tokens) == answer
        assert refusal(elsewhere(redis, vendor)) == answer
    assert vendor.requests == ["ph"]


def test_a_refusal_is_forgotten_in_seconds(tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor) -> None:
    vendor.instead = TransientFault("HTTP_502")
    refusal(tokens)
    assert 0 < redis.pttl(f"{KEY}:refused") <= 5000
    redis.delete(f"{KEY}:refused")
    vendor.instead = None
    assert tokens.get("ph") == "token-2"


def test_a_refusal_of_one_region_is_none_of_another(tokens: TokenCache, vendor: Vendor) -> None:
    vendor.instead = AccountFault("SERVICE_DISABLED")
    refusal(tokens)
    vendor.instead = None
    assert tokens.get("sg") == "token-2"


def test_no_token_is_in_any_message(tokens: TokenCache, redis: redis_py.Redis, vendor: Vendor) -> None:
    vendor.instead = AccountFault("ACCOUNT_DISABLED")
    with pytest.raises(TokenRefused, match=r"^no token: account_fault ACCOUNT_DISABLED$"):
        tokens.get("ph")


def test_without_redis_there_is_no_token_and_nobody_mints(vendor: Vendor, unused_port: int) -> None:
    """Or each process would request_token its own."""
    with connect(f"redis://127.0.0.1:{unused_port}") as nobody, pytest.raises(LedgerUnavailable):
        TokenCache(nobody, vendor).get("ph")
    assert vendor.requests == []


# How the vendor is asked


def test_the_signature_is_the_documented_one() -> None:
    """The test vector of the vendor's page."""
    assert (
        sign("sampleaccesskey", "samplesecretkey", "1665993522952")
        == "02209bbeaf0d0a3dd587f6a1ba22f84c98d142e3b545e77db7e4906ca56349f5"
    )


def test_the_vendor_is_asked_as_its_page_says() -> None:
    with Stub(lambda _: [token("granted")]) as vendor, session() as http_session:
        settings = Settings(access_key="access", secret_key="secret", base_url=vendor.origin)
        granted = TokenRequest(http_session, settings)("ph")
        assert isinstance(granted, Token)
        assert granted.value == "granted"
        call = vendor.calls[0]
    assert (call.method, call.path) == ("POST", "/openapi/auth/ticket/v1/generate-token")
    assert call.headers["content-type"] == "application/json"
    asked = call.json()
    assert asked["accessKey"] == "access"
    assert asked["periodSecond"] == 3600
    assert isinstance(asked["timestamp"], str)
    assert len(asked["timestamp"]) == 13
    assert abs(int(asked["timestamp"]) / 1000 - time.time()) < 60
    assert asked["signature"] == sign("access", "secret", asked["timestamp"])
    assert b"secret" not in call.body


def test_a_secret_is_in_no_url() -> None:
    """URLs end up in the logs of gateways."""

    def refuse(call: Call) -> Any:
        assert "access" not in call.path
        return [http(envelope("ACCOUNT_DISABLED"))]

    with Stub(refuse) as vendor, session() as http_session:
        settings = Settings(access_key="access", secret_key="secret", base_url=vendor.origin)
        answer = TokenRequest(http_session, settings)("ph")
    assert answer == AccountFault("ACCOUNT_DISABLED", transaction_id="d3fde1547eeaf226")


@pytest.mark.parametrize("planted", ["x", "1.5", "9223372036854775807"])
def test_a_counter_that_is_none_costs_no_token(redis: redis_py.Redis, planted: str) -> None:
    names = ("token_minted", "token_refused:account_fault")
    redis.hset("ekyc:{ph}:counts", mapping=dict.fromkeys(names, planted))
    store = TokenStore(redis)
    assert store.store("ph", "t", 60.0).token == store.read("ph").token == "t"
    store.refuse("ph", AccountFault("ACCOUNT_DISABLED"))
    assert store.read("ph").refusal == AccountFault("ACCOUNT_DISABLED")
