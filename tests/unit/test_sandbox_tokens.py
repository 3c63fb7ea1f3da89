"""The sandbox's token API: what it takes for a signature, and how long a token lives."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from sandbox.tokens import MAX_TOKENS, TokenRefused, Tokens

#: The vendor's own example of a signature.
EXAMPLE = {
    "accessKey": "sampleaccesskey",
    "timestamp": "1665993522952",
    "signature": "02209bbeaf0d0a3dd587f6a1ba22f84c98d142e3b545e77db7e4906ca56349f5",
}
EXAMPLE_S = 1_665_993_522.952


class Clock:
    now_s = EXAMPLE_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_vendors_example_gets_a_token(clock: Clock) -> None:
    tokens = Tokens(clock=clock)
    data = tokens.generate(EXAMPLE)
    assert tokens.valid(data["token"])
    assert data["expiredTime"] == 1_665_993_522_952 + 3_600_000


def test_a_timestamp_may_be_a_number(clock: Clock) -> None:
    assert Tokens(clock=clock).generate(EXAMPLE | {"timestamp": 1_665_993_522_952})["token"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"signature": "0" * 64},
        {"signature": EXAMPLE["signature"].upper()},
        {"signature": ""},
        {"signature": None},
        {"signature": "\ud800"},
        {"accessKey": "another"},
        {"accessKey": ""},
        {"timestamp": "1665993522"},
        {"timestamp": "1665993522952 "},
        {"timestamp": "1" * 5000},
        {"periodSecond": 59},
        {"periodSecond": 86_401},
        {"periodSecond": "soon"},
        {"periodSecond": True},
        {"periodSecond": 10**100},
    ],
)
def test_what_is_not_right_is_a_parameter_error(clock: Clock, wrong: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused) as refusal:
        Tokens(clock=clock).generate(EXAMPLE | wrong)
    assert refusal.value.code == "PARAMETER_ERROR"


@pytest.mark.parametrize(("skew_s", "refused"), [(-301, True), (-299, False), (299, False), (301, True)])
def test_a_timestamp_may_lie_300_seconds_from_our_clock(clock: Clock, skew_s: int, *, refused: bool) -> None:
    clock.now_s = EXAMPLE_S + skew_s
    if refused:
        with pytest.raises(TokenRefused):
            Tokens(clock=clock).generate(EXAMPLE)
    else:
        assert Tokens(clock=clock).generate(EXAMPLE)


def test_a_token_lives_as_long_as_was_asked_for(clock: Clock) -> None:
    tokens = Tokens(clock=clock)
    token = tokens.generate(EXAMPLE | {"periodSecond": 60})["token"]
    clock.now_s += 59
    assert tokens.valid(token)
    clock.now_s += 1
    assert not tokens.valid(token)


def test_a_token_lives_as_long_as_the_sandbox_was_told(clock: Clock) -> None:
    tokens = Tokens(token_s=2, clock=clock)
    token = tokens.generate(EXAMPLE | {"periodSecond": 86_400})["token"]
    clock.now_s += 2
    assert not tokens.valid(token)


def test_tokens_live_side_by_side_and_are_revoked_one_by_one(clock: Clock) -> None:
    tokens = Tokens(clock=clock)
    first, second = (tokens.generate(EXAMPLE)["token"] for _ in range(2))
    tokens.revoke(first)
    assert (tokens.valid(first), tokens.valid(second), tokens.issued) == (False, True, 2)


def test_other_keys_sign_otherwise(clock: Clock) -> None:
    tokens = Tokens("ours", "secret", clock=clock)
    signature = sha256(b"ourssecret1665993522952").hexdigest()
    assert tokens.generate(EXAMPLE | {"accessKey": "ours", "signature": signature})
    with pytest.raises(TokenRefused):
        tokens.generate(EXAMPLE)


def test_the_oldest_token_is_forgotten_when_there_are_too_many(clock: Clock) -> None:
    tokens = Tokens(clock=clock)
    first = tokens.generate(EXAMPLE)["token"]
    for _ in range(MAX_TOKENS):
        newest = tokens.generate(EXAMPLE)["token"]
    assert (tokens.valid(first), tokens.valid(newest)) == (False, True)


@pytest.mark.parametrize("token", [None, "", "made-up"])
def test_what_was_never_given_is_not_valid(token: str | None) -> None:
    assert not Tokens().valid(token)
