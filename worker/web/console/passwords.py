"""The comparison of passwords in `web`: each takes 64 MiB and a quarter of a second, so few are compared at a time.

Strangers wait for each other, and browsers that know their user for each other: a flood of strangers delays no user of
such a browser.
"""

from __future__ import annotations

from typing import Final

from worker.policy import passwords
from worker.web.api.gate import Gate

#: `web` has eight threads, which serve all else, and little memory.
_STRANGERS: Final = Gate(at_once=1, waiting=1, wait_s=3.0)
_KNOWN: Final = Gate(at_once=1, waiting=1, wait_s=3.0)


class TooMany(Exception):
    """Too many passwords are compared at this moment."""


def matches(known: str, password: str, *, by_stranger: bool) -> bool:
    """Return whether a password belongs to the hash `known`; "": there is none. Raises ``TooMany``."""
    gate = _STRANGERS if by_stranger else _KNOWN
    if not gate.enter():
        raise TooMany
    try:
        return passwords.matches(known, password)
    finally:
        gate.leave()
