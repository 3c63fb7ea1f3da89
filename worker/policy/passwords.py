"""Passwords of the console: which are refused, and their hashes: argon2id with the parameters that RFC 9106 recommends
second, by `argon2-cffi` of the extra `web`.

A password is normalised by NFKC first: keyboards send the same letter in different forms.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

#: Characters of a password. A longer one is refused before it is hashed.
SHORTEST: Final = 12
LONGEST: Final = 1024

#: Different characters that a password needs.
_LEAST_DIFFERENT: Final = 5

#: What the passwords that are tried first are made of. A password is refused if little else is left of it.
_COMMON: Final = (
    "administrator", "correcthorsebatterystaple", "passphrase", "password", "passwort", "letmein", "welcome",
    "iloveyou", "trustno", "changeme", "football", "baseball", "princess", "sunshine", "dragon", "monkey",
    "master", "secret", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwerty", "qwertz", "azerty", "1q2w3e4r5t6y",
    "1q2w3e4r5t", "1q2w3e4r", "1qaz2wsx", "admin", "login", "console", "ekyc", "advance", "viewer", "operator",
    "reviewer", "auditor", "abcdefghijklmnopqrstuvwxyz", "abcdef", "abc", "0123456789", "1234567890",
    "123456789", "12345678", "123456", "12345", "1234", "123",
)  # fmt: skip

#: Letters and digits that must be left of a password without its common parts.
_LEAST_LEFT: Final = 6

#: Letters that people write as digits or signs.
_LEET: Final = str.maketrans("@4310$5!7", "aaeiossit")


def fault(password: str, name: str) -> str:
    """Return why the user `name` cannot have a password; "" if there is no reason. It quotes no part of it."""
    text = normalised(password)
    if len(text) < SHORTEST:
        return f"the password is too short: give at least {SHORTEST} characters"
    if len(text) > LONGEST:
        return f"the password is too long: give at most {LONGEST} characters"
    if not text.isprintable():
        return "the password has a character that cannot be typed, such as a line end or a tab"
    if text != text.strip():
        return "the password begins or ends with a blank, which is lost easily"
    if len(set(text)) < _LEAST_DIFFERENT:
        return f"the password repeats itself: give at least {_LEAST_DIFFERENT} different characters"
    return _guessable(text.casefold(), name)


def hashed(password: str) -> str:
    """Return the hash of a password for the file. Raises ``ConfigError`` without argon2-cffi."""
    return _hasher().hash(normalised(password))


def matches(known: str, password: str) -> bool:
    """Return whether a password belongs to the hash `known`; "": there is none.

    Takes as long where there is none, so that the time of an answer does not tell which users exist. Raises
    ``ConfigError`` without argon2-cffi.
    """
    hasher = _hasher()
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415 - see `_hasher`

    try:
        return hasher.verify(known or _nobody(), normalised(password)) and bool(known)
    except (VerificationError, InvalidHashError):
        return False


def normalised(password: str) -> str:
    """Return the form of a password that is hashed."""
    return unicodedata.normalize("NFKC", password)


def _guessable(text: str, name: str) -> str:
    own = [part for part in (name.casefold(), name.casefold().partition("@")[0]) if len(part) > 2]  # noqa: PLR2004
    for form in (text, text.translate(_LEET)):
        left = form
        for part in (*own, *_COMMON):
            left = left.replace(part, " ").replace(part[::-1], " ")
        if sum(map(str.isalnum, left)) < _LEAST_LEFT:
            return "the password is one of those that are tried first: give one that nobody can guess"
    if any(_repeats(text, size) for size in range(1, len(text) // 2 + 1)):
        return "the password repeats itself: give one that does not"
    return ""


def _repeats(text: str, size: int) -> bool:
    """Return whether a text is its first `size` characters again and again."""
    return text[size:] == text[:-size]


@cache
def _hasher() -> PasswordHasher:
    try:
        # Most processes that import this hash nothing.
        from argon2 import PasswordHasher  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "passwords need argon2-cffi, which is not installed: pip install 'ekyc-worker[web]'"
        ) from None
    return PasswordHasher()


@cache
def _nobody() -> str:
    """A hash to compare with where there is no user."""
    return _hasher().hash("nobody")
