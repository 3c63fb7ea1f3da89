"""Sessions of the console: what a cookie proves, and when it ends.

A cookie names its user and carries a MAC under a key that is derived from the hash of the user's password. So a client
that can write to Redis cannot make one, and a new password, or the removal of the user, ends every session of the user.
Redis holds which sessions go on: see `worker.ledger.console_sessions`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.ledger.console_sessions import ConsoleSessions
from worker.web.console.live_redis import LiveRedis
from worker.web.console.live_sessions import LiveSessions

if TYPE_CHECKING:
    from redis import Redis

    from worker.policy.console_users import User

_COOKIE: Final = re.compile(r"([A-Za-z0-9._@+-]{1,64}):([0-9]{1,12}):([A-Za-z0-9_-]{43}):([0-9a-f]{64})")

_SESSION: Final = b"ekyc console session 1\0"
_BROWSER: Final = b"ekyc console browser 1\0"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a cookie says; `is_valid` of the sessions decides whether it is true."""

    name: str
    began_s: int
    id: str
    mac: str

    @classmethod
    def read(cls, cookie: str) -> Claim | None:
        """Return what the text of a cookie says. None: it is none of ours."""
        found = _COOKIE.fullmatch(cookie)
        return cls(found[1], int(found[2]), found[3], found[4]) if found else None

    def is_of(self, user: User) -> bool:
        """Return whether a process that knows the user's password hash has made it."""
        return _is_signed(self, user, _SESSION)


class Sessions:
    """Begins, finds and ends sessions. Every method raises ``LedgerUnavailable`` when Redis cannot be used."""

    def __init__(self, redis: Redis, live_redis: LiveRedis | None = None) -> None:
        self._known = ConsoleSessions(redis)
        self._live = LiveSessions(live_redis or LiveRedis())

    def begin(self, user: User) -> str:
        """Return the cookie of a new session."""
        session_id = secrets.token_urlsafe(32)
        return _signed(user, self._known.begin(user.name, session_id), session_id, _SESSION)

    def is_valid(self, claim: Claim, user: User, *, by_person: bool = True) -> bool:
        """Return whether the claim is one of `user`, and goes on.

        `by_person`: the request is an act of a person, after which the idle time starts over.
        """
        if not claim.is_of(user):
            return False

        def ask() -> bool:
            return self._known.goes_on(user.name, claim.id, claim.began_s, by_person=by_person)

        return ask() if by_person else self._live.goes_on(claim, ask)

    def end(self, claim: Claim) -> bool:
        """End one session. Return whether it had not ended before."""
        self._live.forget(claim)
        return self._known.end(claim.id)


def browser_cookie(user: User) -> str:
    """Return a cookie that shows later that `user` has logged in with this browser. It opens nothing."""
    return _signed(user, 0, secrets.token_urlsafe(32), _BROWSER)


def known_browser(cookie: str, user: User) -> str:
    """Return the id of a browser with which `user` has logged in; "": the cookie does not show it."""
    said = Claim.read(cookie)
    return said.id if said is not None and _is_signed(said, user, _BROWSER) else ""


def _signed(user: User, began_s: int, random: str, purpose: bytes) -> str:
    return f"{user.name}:{began_s}:{random}:{_mac(user, began_s, random, purpose)}"


def _is_signed(claim: Claim, user: User, purpose: bytes) -> bool:
    if not user.password or claim.name != user.name:
        return False
    return hmac.compare_digest(_mac(user, claim.began_s, claim.id, purpose), claim.mac)


def _mac(user: User, began_s: int, random: str, purpose: bytes) -> str:
    said = f"{user.name}\0{began_s}\0{random}".encode()
    return hmac.digest(user.password.encode(), purpose + said, "sha256").hex()
