"""Counts of the ledger, for `ekyc stats`, `ekyc watch` and the metrics."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from worker.enqueue_request import DEFAULT_PIPELINE
from worker.ledger import keys
from worker.ledger.codec import count, moment, pairs, text
from worker.ledger.connection import translated
from worker.ledger.histograms import PREFIX
from worker.ledger.hour import MOST_LINES, Hour
from worker.ledger.models import Counts, Hold, Lately, Stage
from worker.ledger.scripts import Scripts, prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis

_MINUTE_MS: Final = 60_000

#: The most copies of the counters that exist at a time: see `claim.lua`.
_COPIES: Final = 9

_STAGES: Final = (Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING)


class Stats:
    """Counts a ledger without writing to it. The cost does not grow with the number waiting."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)

    def counts(self, region: str) -> Counts:
        """Return the counts of one region. Raises ``LedgerUnavailable``."""
        now_ms, *hashes, (quarantined, delivering), leases, polling, archiving, routing, named = (
            self._scripts.call("counts", region)
        )
        counters, hold, health = map(pairs, hashes)
        leased, lapsed, lease_ends = leases
        waiting, due, first = map(_by_stage, zip(polling, archiving, routing, strict=True))
        pipelines = defaultdict(int, {DEFAULT_PIPELINE: sum(waiting.values())})
        for stage, pipeline, members, now_due, first_ms in named:
            pipelines[text(pipeline)] += members
            waiting[stage.decode()] += members
            due[stage.decode()] += now_due
            moments = [moment(each) for each in (first[stage.decode()], first_ms) if each is not None]
            first[stage.decode()] = min(moments, default=None)
        holds = _holds(region, hold, now_ms) or _half_open(region, health, due[Stage.POLLING], now_ms)
        for each in holds:
            # On hold, nothing waits for a worker; half-open, only the next probe does.
            at_most = 0 if each.until_ms > now_ms else 1
            due[Stage.POLLING] = min(due[Stage.POLLING], at_most)
            if first[Stage.POLLING] is not None:
                first[Stage.POLLING] = max(moment(first[Stage.POLLING]), each.until_ms) if at_most else None
        moments = [moment(each) for each in (lease_ends, *first.values()) if each is not None]
        oldest_due_ms = min(moments, default=now_ms)
        return Counts(
            waiting=sum(waiting.values()) + delivering,
            delivering=delivering,
            in_flight=leased,
            lapsed=lapsed,
            done=_number(counters, b"done"),
            quarantined=quarantined,
            dropped=_number(counters, b"dropped"),
            enqueued=_number(counters, b"enqueued"),
            polls=_number(counters, b"polls"),
            extra_calls=_number(counters, b"extra_calls"),
            oldest_due_s=max(0.0, (now_ms - oldest_due_ms) / 1000),
            decisions=_named(counters, b"decision:"),
            error_codes=_named(counters, b"error_code:"),
            faults=_named(counters, b"fault:"),
            evidence_files=_number(counters, b"evidence_files"),
            evidence_bytes=_number(counters, b"evidence_bytes"),
            answers=_named(counters, b"answer:"),
            quarantine=_named(counters, b"quarantine:"),
            holds=holds,
            stages=waiting | {Stage.DELIVERING.value: delivering},
            due=due,
            pipelines=dict(pipelines),
            holds_begun=_named(counters, b"hold:"),
            leases_expired=_number(counters, b"lease_expired"),
            evidence=_named(counters, b"evidence:"),
            tokens_issued=_number(counters, b"token_minted"),
            tokens_refused=_named(counters, b"token_refused:"),
            shadow=_named(counters, b"shadow:"),
            took=_named(counters, PREFIX.encode()),
            webhook_counts=_named(counters, b"webhook:"),
            webhook_faults=_named(counters, b"webhook_fault:"),
            read_at_ms=now_ms,
        )

    def lately(self, region: str, *, within_s: float = 300.0) -> Lately:
        """Return what happened since the newest copy of the counters at least `within_s` old, or since the oldest one.

        Raises ``LedgerUnavailable``.
        """
        base = prefix(region)
        now_ms = keys.now_ms(self._redis, region)
        minute = now_ms // _MINUTE_MS
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(f"{base}counts")
            for back in range(_COPIES):
                pipe.hgetall(f"{base}counts:{minute - back}")
            now, *copies = pipe.execute()
        copies = [copy for copy in copies if moment(copy.get(b"at"))]
        if not copies:
            return Lately()
        old_enough = (copy for copy in copies if now_ms - moment(copy[b"at"]) >= within_s * 1000)
        before = next(old_enough, copies[-1])
        grown = {name: max(count(now[name]) - count(before.get(name)), 0) for name in now}
        return Lately(
            seconds=max(now_ms - moment(before[b"at"]), 0) / 1000,
            enqueued=grown.get(b"enqueued", 0),
            done=grown.get(b"done", 0),
            polls=grown.get(b"polls", 0),
            decisions=_by_name(grown, b"decision:"),
            error_codes=_by_name(grown, b"error_code:"),
            answers=_by_name(grown, b"answer:"),
            faults=_by_name(grown, b"fault:"),
        )

    def hour(self, region: str, counts: Counts) -> Hour:
        """Return the rates and delays of the last hour, until `counts`. Raises ``LedgerUnavailable``."""
        with translated():
            lines: list[Any] = self._redis.lrange(f"{prefix(region)}minutes", -MOST_LINES, -1)
        return Hour.of(lines, counts)

    def by_region(self, regions: Iterable[str]) -> dict[str, Counts]:
        """Return the counts of each of `regions`. Raises ``LedgerUnavailable``."""
        return {region: self.counts(region) for region in regions}

    def total(self, regions: Iterable[str]) -> Counts:
        """Return the counts of all `regions` together. Raises ``LedgerUnavailable``."""
        return added_up(self.by_region(regions).values())


def added_up(parts: Iterable[Counts]) -> Counts:
    """Return the sum of `parts`. Its `oldest_due_s` is the longest of them."""
    several = list(parts)
    return Counts(
        **{
            field.name: _added(field.name, [getattr(part, field.name) for part in several])
            for field in fields(Counts)
        }
    )


def lately_together(parts: Iterable[Lately]) -> Lately:
    """Return the sum of `parts`. Its `seconds` are the most of them."""
    several = list(parts)
    added = {
        field.name: _added(field.name, [getattr(part, field.name) for part in several])
        for field in fields(Lately)
    }
    return Lately(**added | {"seconds": max((part.seconds for part in several), default=0.0)})


def _by_stage(found: Iterable[Any]) -> dict[str, Any]:
    return {stage.value: each for stage, each in zip(_STAGES, found, strict=True)}


def _number(counters: Mapping[bytes, bytes], name: bytes) -> int:
    return count(counters.get(name))


def _named(counters: Mapping[bytes, bytes], start: bytes) -> dict[str, int]:
    return _by_name({name: count(raw) for name, raw in counters.items() if name.startswith(start)}, start)


def _by_name(counts: Mapping[bytes, int], start: bytes) -> dict[str, int]:
    names = sorted(name for name in counts if name.startswith(start))
    return {text(name.removeprefix(start)): counts[name] for name in names if counts[name]}


def _holds(region: str, hold: Mapping[bytes, bytes], now_ms: int) -> tuple[Hold, ...]:
    until_ms = moment(hold.get(b"until"))
    if until_ms <= now_ms:
        return ()
    word, at_ms = text(hold.get(b"word", b"")), moment(hold.get(b"at"))
    return (Hold(region, until_ms, text(hold.get(b"reason", b"")), word, at_ms),)


def _half_open(region: str, health: Mapping[bytes, bytes], due: int, now_ms: int) -> tuple[Hold, ...]:
    """Return the half-open state after a hold, while a verification is due or a probe is in flight."""
    until_ms = max(moment(health.get(b"probe")), moment(health.get(b"rest"))) or now_ms
    if b"trips" not in health or not (due or until_ms > now_ms):
        return ()
    reason = text(health.get(b"reason", b""))
    return (Hold(region, until_ms, reason, word=reason, half_open=True),)


def _added(name: str, values: list[Any]) -> Any:
    if name in {"oldest_due_s", "read_at_ms"}:
        return max(values, default=0)
    if values and isinstance(values[0], dict):
        names = sorted({key for value in values for key in value})
        return {key: sum(value.get(key, 0) for value in values) for key in names}
    return sum(values, () if values and isinstance(values[0], tuple) else 0)
