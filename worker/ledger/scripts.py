"""The ledger's Lua scripts and how they are called: one prefix per region, one round trip per call."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.connection import translated
from worker.ledger.fields import Field

if TYPE_CHECKING:
    from redis import Redis
    from redis.commands.core import Script

NAMES: Final = (
    "enqueue",
    "claim",
    "load",
    "renew",
    "record",
    "nudge",
    "hold",
    "resume",
    "spend",
    "requeue",
    "drop",
    "quarantined",
    "counts",
    "status",
    "accept",
    "redelivered",
    "looked",
    "reviewed",
    "feed",
    "members",
    "add_deliveries",
    "claim_deliveries",
    "load_deliveries",
    "renew_deliveries",
    "record_deliveries",
    "resend",
    "drop_deliveries",
    "pause_endpoint",
    "resume_endpoint",
    "endpoints",
    "queue_for_log",
    "logged",
    "act",
    "audited",
    "erase",
    "erased",
    "legal_hold",
    "close",
    "closings",
    "closed",
)

_FIELD: Final = re.compile(r"\bField\.([A-Z_]+)\b")


def prefix(region: str) -> str:
    """Return the prefix of every key of a region. The braces keep a region in one hash slot."""
    return f"ekyc:{{{region}}}:"


def plain(text: str) -> str:
    """Return `text` as one field of a timeline's line: one line, no separator, at most 200 characters."""
    return " ".join(text.replace("|", "/").split())[:200]


def region_of(key: bytes | str) -> str:
    """Return the region of a key."""
    text = key.decode(errors="replace") if isinstance(key, bytes) else key
    return text.partition("{")[2].partition("}")[0]


def with_letters(text: str) -> str:
    """Return Lua with each `Field.NAME` replaced by its stored letter. Raises ``KeyError`` for an unknown field."""
    return _FIELD.sub(lambda found: f"'{Field[found[1]]}'", text)


@cache
def source(name: str = "") -> str:
    """Return the text of a script as Redis gets it: the part common to all scripts, then its own."""
    folder = files("worker.ledger") / "lua"
    return with_letters("".join((folder / f"{part}.lua").read_text() for part in ("common", name) if part))


class Scripts:
    """Calls the scripts beside this module by name."""

    def __init__(self, redis: Redis) -> None:
        self._scripts: dict[str, Script] = {name: redis.register_script(source(name)) for name in NAMES}

    def call(self, name: str, region: str, *args: str | float) -> Any:
        """Run one script on one region. Raises ``LedgerUnavailable``."""
        return self.call_at(prefix(region), name, *args)

    def call_at(self, start: str, name: str, *args: str | float) -> Any:
        """Run one script on the keys that begin with `start`. Raises ``LedgerUnavailable``."""
        with translated():
            return self._scripts[name](keys=[start], args=args)
