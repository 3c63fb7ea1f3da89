"""The rights that the account of a worker needs on Redis, and which of them it lacks.

Redis checks an account before a command's arguments and before its own memory. So each command is tried on a key of the
probe that holds a string for a second, where most commands fail because of its type. Each key is tried with a command
that does not change it. Only NOPERM counts. `ACL DRYRUN` would answer the same, but only administrators may run it.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError

from worker.ledger import redis_health
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from redis import Redis

#: How long the probe's key lives.
PROBE_MS: Final = 1000

#: A field that no hash of ours or kombu's has.
_NO_FIELD: Final = "ekyc:probe"

#: What kombu puts between a queue and a priority in the name of a list.
_SEPARATOR: Final = "\x06\x16"

LEDGER: Final = frozenset({"ledger"})
BROKER: Final = frozenset({"broker"})
BOTH: Final = LEDGER | BROKER

#: By command: the accounts that need it, and what follows the key in its probe.
_ON_A_KEY: Final[Mapping[str, tuple[frozenset[str], tuple[str | float, ...]]]] = {
    "set": (BOTH, ("", "PX", PROBE_MS)),
    "get": (BOTH, ()),
    "exists": (BOTH, ()),
    "pttl": (LEDGER, ()),
    "pexpire": (BOTH, (PROBE_MS,)),
    "blpop": (LEDGER, (0.01,)),
    "brpop": (BROKER, (0.01,)),
    "lpush": (BROKER, ("x",)),
    "rpush": (BOTH, ("x",)),
    "rpop": (BROKER, ()),
    "llen": (BOTH, ()),
    "lindex": (LEDGER, (0,)),
    "lrange": (LEDGER, (0, 0)),
    "lrem": (LEDGER, (0, "x")),
    "ltrim": (LEDGER, (0, -1)),
    "hset": (BOTH, ("x", "1")),
    "hsetnx": (LEDGER, ("x", "1")),
    "hget": (BOTH, ("x",)),
    "hdel": (BOTH, ("x",)),
    "hmget": (LEDGER, ("x",)),
    "hgetall": (LEDGER, ()),
    "hincrby": (LEDGER, ("x", 1)),
    "sadd": (BOTH, ("x",)),
    "srem": (BROKER, ("x",)),
    "scard": (LEDGER, ()),
    "smembers": (BOTH, ()),
    "zadd": (BOTH, (1, "x")),
    "zrem": (BOTH, ("x",)),
    "zcard": (LEDGER, ()),
    "zcount": (LEDGER, (0, 1)),
    "zscore": (LEDGER, ("x",)),
    "zrange": (BOTH, (0, 0)),
    "zrangebyscore": (BOTH, (0, 1)),
    "zremrangebyscore": (LEDGER, (0, 0)),
    "xadd": (LEDGER, ("*", "x", "1")),
    "xdel": (LEDGER, ("0-1",)),
    "xlen": (LEDGER, ()),
    "xrange": (LEDGER, ("-", "+", "COUNT", 1)),
    "xrevrange": (LEDGER, ("+", "-", "COUNT", 1)),
}

#: The accounts that need a command, for commands whose probe has another form.
_OTHERS: Final[Mapping[str, frozenset[str]]] = {
    "ping": BOTH,
    "time": BOTH,
    "script|load": BOTH,
    # redis-py calls it for a script within a pipeline; kombu has one.
    "script|exists": BROKER,
    "evalsha": BOTH,
    "client|setname": LEDGER,
    "pexpireat": LEDGER,
    "publish": BROKER,
    "psubscribe": BROKER,
    "punsubscribe": BROKER,
    "del": BOTH,
}


@dataclass(frozen=True, slots=True)
class Needs:
    """What an account needs. `keys`: patterns of ACL rules, each with sample names that it matches."""

    commands: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]]
    channels: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """The needs as rules of ACL SETUSER."""
        return (
            *(f"~{pattern}" for pattern in self.keys),
            *(f"&{channel}" for channel in self.channels),
            *(f"+{command}" for command in self.commands),
        )


def commands(user: frozenset[str]) -> tuple[str, ...]:
    """Return the commands that the ledger or the broker needs."""
    on_a_key = {command: users for command, (users, _) in _ON_A_KEY.items()}
    return tuple(command for command, users in (on_a_key | dict(_OTHERS)).items() if users & user)


def of_ledger(regions: Sequence[str]) -> Needs:
    """Return what the ledger's account needs."""
    names = (redis_health.KEY, "ekyc:workers", *(f"{prefix(region)}probe" for region in regions))
    return Needs(commands(LEDGER), {"ekyc:*": ("ekyc:probe", *names)})


def of_broker(queue: str, decisions: str, database: int = 0) -> Needs:
    """Return what the broker's account needs. `queue` is that of our tasks, `decisions` the pipeline's."""

    def lists(name: str) -> tuple[str, ...]:
        return (name, *(f"{name}{_SEPARATOR}{priority}" for priority in (3, 6, 9)))

    exchanges = (queue, decisions, "celery.pidbox", "reply.celery.pidbox", "celeryev")
    tables = [f"_kombu.{kind}.{name}" for name in exchanges for kind in ("binding", "binding_permanent")]
    keys = {
        "_kombu.*": ("_kombu.start", "_kombu.binding_deadlines", *tables),
        "unacked*": ("unacked", "unacked_index", "unacked_mutex"),
        f"{queue}*": lists(queue),
        f"{decisions}*": lists(decisions),
        # Remote control of workers: their commands and replies.
        "*.celery.pidbox*": (*lists("ekyc-probe.celery.pidbox"), *lists("ekyc-probe.reply.celery.pidbox")),
        "celeryev*": lists("celeryev.ekyc-probe"),
    }
    if "celeryev".startswith(queue):
        del keys["celeryev*"]
    # Redis compares the pattern of PSUBSCRIBE with these literally, so a shorter pattern is not enough.
    channels = (f"/{database}.celery.pidbox", f"/{database}.celeryev/*")
    return Needs(commands(BROKER), keys, channels)


def together(*several: Needs) -> Needs:
    """Return what an account needs that is used for all of `several`."""
    every = dict.fromkeys(command for needs in several for command in needs.commands)
    keys = {pattern: names for needs in several for pattern, names in needs.keys.items()}
    return Needs(tuple(every), keys, tuple(channel for needs in several for channel in needs.channels))


def missing(redis: Redis, needs: Needs) -> tuple[str, ...]:
    """Return the rules of ACL SETUSER that the account of `redis` lacks. Raises exceptions of redis-py."""
    probes = list(_probes(needs))
    with redis.pipeline(transaction=False) as pipe:
        for _, _, command in probes:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        answers = pipe.execute(raise_on_error=False)
    found = [
        _rule(error, name, pattern)
        for (name, pattern, _), error in zip(probes, answers, strict=True)
        if isinstance(error, NoPermissionError)
    ]
    if "psubscribe" in needs.commands:
        found += _channels(redis, needs.channels)
    return tuple(dict.fromkeys(found))


def line(redis: Redis, rules: Sequence[str]) -> str:
    """Return the command with which an administrator gives these rules to the account of `redis`."""
    user = redis.connection_pool.connection_kwargs.get("username") or "default"
    return f"ACL SETUSER {user} {' '.join(rules)}"


def _probes(needs: Needs) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Yield the name of a command, the key or channel pattern that it tests, and the command with its arguments."""
    pattern, names = next(iter(needs.keys.items()))
    key = f"{names[0]}.{secrets.token_hex(4)}"
    wanted = set(needs.commands)
    probes: dict[str, tuple[Any, ...]] = {
        command: (command.upper(), key, *arguments) for command, (_, arguments) in _ON_A_KEY.items()
    } | {
        "ping": ("PING",),
        "time": ("TIME",),
        "script|load": ("SCRIPT", "LOAD", "return 1"),
        "script|exists": ("SCRIPT", "EXISTS", "0" * 40),
        "evalsha": ("EVALSHA", "0" * 40, 1, key),
        "client|setname": ("CLIENT", "SETNAME", "ekyc"),
        "pexpireat": ("PEXPIREAT", key, time.time_ns() // 1_000_000 + PROBE_MS),
    }
    for command, probe in probes.items():
        if command in wanted:
            yield command, pattern, probe
    for pattern_, keys in needs.keys.items():
        for name in keys:
            yield "hget", pattern_, ("HGET", name, _NO_FIELD)
            yield "hdel", pattern_, ("HDEL", name, _NO_FIELD)
    if "publish" in wanted:
        for channel in needs.channels:
            # Kombu ignores a message without a body.
            yield "publish", channel, ("PUBLISH", channel.replace("*", "ekyc.probe"), "")
    yield "del", pattern, ("DEL", key)


def _rule(error: NoPermissionError, command: str, resource: str) -> str:
    if "permissions to run" in str(error):
        return f"+{command}"
    return f"&{resource}" if command == "publish" else f"~{resource}"


def _channels(redis: Redis, channels: Sequence[str]) -> Iterator[str]:
    for channel in channels:
        command = "psubscribe"
        with redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            try:
                pubsub.psubscribe(channel)
                pubsub.get_message(timeout=1)
                command = "punsubscribe"
                pubsub.punsubscribe(channel)
                pubsub.get_message(timeout=1)
            except NoPermissionError as error:
                yield f"+{command}" if "permissions to run" in str(error) else f"&{channel}"
