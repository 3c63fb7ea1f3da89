"""What Redis holds of the sessions of the console: that a session goes on, and which sessions of a user are revoked.

It proves nothing about who somebody is: the cookie does, see `worker.web.console.sessions`. No end of a session depends
on a clock alone that may be wrong: the idle end is an expiry, and a revocation is a word, not a moment.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions

from worker.ledger.connection import translated
from worker.server_faults import refuses_writes

if TYPE_CHECKING:
    from redis import Redis

#: Seconds without a request of a person after which a session ends.
IDLE_S: Final = 15 * 60

#: Seconds after which a session ends whatever its user does.
LONGEST_S: Final = 10 * 3600

#: Seconds by which the clock of Redis may have been set back since a session began.
_CLOCK_S: Final = 60

_PREFIX: Final = "ekyc:console:"


class ConsoleSessions:
    """Begins, continues and ends sessions. Every method raises ``LedgerUnavailable`` when Redis cannot be used."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin(self, name: str, session_id: str) -> int:
        """Begin a session of a user. Return the moment, in seconds of the clock of Redis."""
        with translated():
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.get(_revoked(name))
                pipe.time()
                generation, (now_s, _) = pipe.execute()
            self._redis.set(_key(session_id), _value(name, generation), ex=IDLE_S)
        return int(now_s)

    def goes_on(self, name: str, session_id: str, began_s: int, *, by_person: bool) -> bool:
        """Return whether a session of a user has not ended.

        `by_person`: the request is an act of a person, after which the idle time starts over.
        """
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.get(_key(session_id))
            pipe.get(_revoked(name))
            pipe.time()
            known, generation, (now_s, _) = pipe.execute()
        if known is None or known.rpartition(b":")[0] != name.encode():
            return False
        if generation is not None and known != _value(name, generation):
            return False
        if not began_s - _CLOCK_S <= now_s < began_s + LONGEST_S:
            return False
        if by_person:
            self._touch(session_id)
        return True

    def end(self, session_id: str) -> bool:
        """End one session. Return whether it had not ended before."""
        with translated():
            return bool(self._redis.delete(_key(session_id)))

    def end_all(self, name: str) -> None:
        """End every session of a user that has begun so far, in every process at once."""
        with translated():
            # A session that was revoked is not continued, so it is gone before this is.
            self._redis.set(_revoked(name), secrets.token_hex(8), ex=LONGEST_S)

    def revocation(self, name: str) -> bytes | None:
        """Return the word that `end_all` wrote last for a user. None: that was long ago, or never."""
        with translated():
            found: Any = self._redis.get(_revoked(name))
        return None if found is None else bytes(found)

    def _touch(self, session_id: str) -> None:
        with translated():
            try:
                self._redis.pexpire(_key(session_id), IDLE_S * 1000)
            except exceptions.ResponseError as error:
                # Without writes, there is still much to look at, until the session has been idle for too long.
                if not refuses_writes(error):
                    raise


def _key(session_id: str) -> str:
    return f"{_PREFIX}session:{hashlib.sha256(session_id.encode()).hexdigest()}"


def _revoked(name: str) -> str:
    return f"{_PREFIX}revoked:{name}"


def _value(name: str, generation: bytes | None) -> bytes:
    return name.encode() + b":" + (generation or b"")
