"""`ekyc token new`: the entry that it prints makes the token valid that it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.policy.api_tokens import find, parse

if TYPE_CHECKING:
    from tests.support.cli_process import Ekyc


def test_the_entry_is_for_the_token_and_does_not_hold_it(ekyc: Ekyc) -> None:
    ended = ekyc("token", "new", "shop", "--scope", "read", "--scope", "enqueue")
    assert ended.code == 0
    (line,) = ended.err_lines
    secret = line.rpartition(" ")[2]
    assert line == f"the token of shop, which is not shown again: {secret}"
    assert secret not in ended.out
    (token,) = parse(ended.out)
    assert find((token,), secret) is token
    assert (token.name, token.scopes, token.pipeline) == ("shop", frozenset({"read", "enqueue"}), None)


def test_every_option_is_in_the_entry(ekyc: Ekyc) -> None:
    ended = ekyc(
        *("token", "new", "shop", "--scope", "notify", "--pipeline", "till", "--rate", "2.5"),
        *("--expires", "2027-01-31"),
    )
    (token,) = parse(ended.out)
    assert (token.pipeline, token.rate) == ("till", 2.5)
    assert token.expires is not None
    assert token.expires.isoformat() == "2027-01-31T00:00:00+00:00"


def test_two_tokens_are_different_and_fit_into_one_file(ekyc: Ekyc) -> None:
    entries = [ekyc("token", "new", "shop", "--scope", "read").out for _ in range(2)]
    assert len(parse("".join(entries))) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("shop",),
        ("sh op", "--scope", "read"),
        ("shop", "--scope", "reed"),
        ("shop", "--scope", "read", "--pipeline", 'x"'),
        ("shop", "--scope", "read", "--rate", "0"),
        ("shop", "--scope", "read", "--rate", "nan"),
        ("shop", "--scope", "read", "--expires", "tomorrow"),
    ],
)
def test_what_is_wrong_is_one_line_and_no_token(ekyc: Ekyc, arguments: tuple[str, ...]) -> None:
    ended = ekyc("token", "new", *arguments)
    assert (ended.code, ended.out, len(ended.err_lines)) == (2, "", 1)
