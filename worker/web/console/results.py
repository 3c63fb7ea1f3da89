"""What an act came to, kept for some minutes, so that the page after it can show each item.

An act is answered with a redirect to a page that names the result. Only the user who acted can read it.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.connection import translated
from worker.web.console import stored_json

if TYPE_CHECKING:
    from redis import Redis

#: Seconds for which a result can be shown.
KEPT_S: Final = 600

#: Items of which a result says what became of them. Of the others it has the number.
MOST_ITEMS: Final = 200

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Result:
    """What an act came to: one sentence, and a line for each item with which something is to be told."""

    said: str
    #: Whether all was done.
    is_whole: bool = True
    #: What it is about, what became of it, and a path of the console about it, or "".
    items: tuple[tuple[str, str, str], ...] = ()
    #: Items that are not listed.
    more: int = 0

    @classmethod
    def of(cls, said: str, items: list[tuple[str, str, str]], *, is_whole: bool) -> Result:
        """A result of however many items."""
        return cls(said, is_whole, tuple(items[:MOST_ITEMS]), max(len(items) - MOST_ITEMS, 0))


class Results:
    """Keeps and finds results. Every method raises ``LedgerUnavailable``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def keep(self, user: str, result: Result) -> str:
        """Keep a result, and return the token that finds it."""
        token = secrets.token_urlsafe(16)
        with translated():
            self._redis.set(_key(user, token), json.dumps(asdict(result)), ex=KEPT_S)
        return token

    def find(self, user: str, token: str) -> Result | None:
        """The result of an act of `user`; None: it was long ago, or there is none."""
        if not _TOKEN.fullmatch(token):
            return None
        with translated():
            kept: Any = self._redis.get(_key(user, token))
        if kept is None:
            return None
        try:
            found = stored_json.loads(kept)
            items = tuple(
                (str(about), str(said), path if str(path).startswith("/console/") else "")
                for about, said, path in found["items"]
            )
            return Result(str(found["said"]), bool(found["is_whole"]), items, int(found["more"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            # A client of Redis wrote it.
            return None


def _key(user: str, token: str) -> str:
    return f"ekyc:console:result:{user}:{token}"
