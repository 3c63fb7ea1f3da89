"""The ledger's Lua, and how it is called: one prefix per region, one round trip per call."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.connection import translated

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
    "counts",
    "status",
    "accept",
    "redelivered",
)


def prefix(region: str) -> str:
    """What every key of a region begins with; the braces keep a region in one hash slot."""
    return f"ekyc:{{{region}}}:"


def plain(text: str) -> str:
    """A text that fits into one field of a timeline's line: one line, no separator, at most 200 characters."""
    return " ".join(text.replace("|", "/").split())[:200]


def region_of(key: bytes | str) -> str:
    """The region that a key belongs to."""
    text = key.decode() if isinstance(key, bytes) else key
    return text.partition("{")[2].partition("}")[0]


class Scripts:
    """Calls the scripts beside this module by name."""

    def __init__(self, redis: Redis) -> None:
        folder = files("worker.ledger") / "lua"
        common = (folder / "common.lua").read_text()
        self._scripts: dict[str, Script] = {
            name: redis.register_script(common + (folder / f"{name}.lua").read_text()) for name in NAMES
        }

    def call(self, name: str, region: str, *args: str | float) -> Any:
        """Run one script on one region. Raises ``LedgerUnavailable``."""
        with translated():
            return self._scripts[name](keys=[prefix(region)], args=args)
