"""Which passwords of the console are refused, and what a hash matches."""

from __future__ import annotations

import sys
import time
from typing import Final

import pytest

from worker.errors import ConfigError
from worker.policy import passwords
from worker.policy.passwords import LONGEST, SHORTEST, fault, hashed, matches

GOOD: Final = "correct horse battery"


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("Tr0ub4dor&3", "too short"),
        ("x" * (LONGEST + 1), "too long"),
        ("aaaaaaaaaaaaaaaa", "repeats itself"),
        ("ababcababcababc", "repeats itself"),
        ("xk7Pqm!xk7Pqm!", "repeats itself"),
        ("tab\tinside it all", "cannot be typed"),
        ("blank at the end ", "blank"),
        ("Password1234", "tried first"),
        ("P@ssw0rd1234!", "tried first"),
        ("123456789012", "tried first"),
        ("210987654321", "tried first"),
        ("qwertyuiopasdfghjkl", "tried first"),
        ("qwertyuiop123", "tried first"),
        ("ann.smith-2026", "tried first"),
        ("ekyc-console-admin-1", "tried first"),
    ],
)
def test_the_commonest_mistakes_are_refused_and_not_quoted(password: str, why: str) -> None:
    said = fault(password, "ann.smith@example.com" if "ann" in password else "bob")
    assert why in said
    assert password.strip() not in said


@pytest.mark.parametrize(
    "password",
    [GOOD, "9f8a77d0b1c24e", "Zug um halb neun, Gleis 3", "密码并不总是拉丁字母的啊啊", "x9!Kq2#mPw7z"],
)
def test_what_nobody_guesses_is_accepted(password: str) -> None:
    assert fault(password, "ann") == ""


def test_a_password_may_have_the_shortest_and_the_longest_length() -> None:
    text = "".join(chr(ord("a") + (number * number) % 23) for number in range(LONGEST))
    assert fault(text[:SHORTEST] + "q7", "ann") == ""
    assert "too" not in fault(text, "ann")


def test_a_check_takes_time_in_proportion_to_the_length() -> None:
    """The longest one is the worst: a hundredth of a second would be a hundred times what it takes."""
    text = "ab" * (LONGEST // 2 - 1) + "cd"
    began = time.thread_time()
    fault(text, "ann")
    assert time.thread_time() - began < 1


def test_a_hash_matches_its_password_alone_in_any_form_of_unicode() -> None:
    known = hashed("caf\u00e9 au lait, 3x")
    assert matches(known, "cafe\u0301 au lait, 3x")
    assert not matches(known, "cafe au lait, 3x")
    assert not matches("", "nobody")
    assert not matches("not a hash", "anything")


def test_without_argon2_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argon2", None)
    passwords._hasher.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"pip install 'ekyc-worker\[web\]'"):
            hashed(GOOD)
    finally:
        passwords._hasher.cache_clear()


def test_the_module_imports_no_argon2() -> None:
    """Every start of `web`, and every command, would wait for it, and hold the memory of a hash."""
    source = passwords.__spec__
    assert source is not None
    assert "argon2" not in {name.partition(".")[0] for name in vars(passwords) if name != "annotations"}
