"""Special states of Redis: full, with a restricted account, and with an audit log that takes no entry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.ledger.audit import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """Make Redis refuse all commands that need memory."""
    redis.config_set("maxmemory", "1")
    try:
        yield
    finally:
        redis.config_set("maxmemory", "0")


@contextmanager
def account(redis: Redis, *rules: str) -> Iterator[str]:
    """Yield the name of a user without a password, with the given ACL rules."""
    redis.execute_command("ACL", "SETUSER", "someone", "reset", "on", "nopass", *rules)  # type: ignore[no-untyped-call]
    try:
        yield "someone"
    finally:
        redis.execute_command("ACL", "DELUSER", "someone")  # type: ignore[no-untyped-call]


def take_no_entries(redis: Redis, region: str) -> None:
    """Make the audit log of a region take no entry: the newest one of each of its parts has the highest id."""
    for part in PARTS:
        redis.xadd(f"ekyc:{{{region}}}:audit{part}", {"act": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
