"""Deliveries by webhook in the ledger: each is a due entry of its own, with its own countdown, lease and tries.

The sets are separate for each endpoint, so that what waits for one endpoint is never in the way of another.
"""

from __future__ import annotations

import json
import re
import secrets
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from worker.ledger import codec
from worker.ledger.audit import done, write_lines
from worker.ledger.connection import translated
from worker.ledger.hashes import read_hashes
from worker.ledger.keys import now_ms
from worker.ledger.ledger import GRACE_S, MOST_HOLDER, MOST_STARTS
from worker.ledger.moments import rfc3339, rfc3339_or_none
from worker.ledger.scripts import Scripts, plain, prefix
from worker.time_budget import DISPATCHER_SLEEP_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from redis import Redis

#: The type of the delivery of a decision.
DECIDED: Final = "verification.decided"

#: How many deliveries of an endpoint may be in flight in one region, in the whole fleet.
MOST_IN_FLIGHT: Final = 256

#: Deliveries that one call of a resumption makes due.
RESUMED_AT_ONCE: Final = 1000

#: The name of an endpoint, which is part of keys.
_ENDPOINT: Final = re.compile(rb"[a-z0-9][a-z0-9_-]{0,47}")

#: The most deliveries of events about a verification that are read.
_MOST_OF_EVENTS: Final = 1000

#: The namespace of all ids of deliveries. A change would change the id of every delivery.
_NAMESPACE: Final = uuid.UUID("b7c5b4a4-3c0f-4d5a-9a63-0f9d5a5f6b0e")


def delivery_id(endpoint: str, about: str) -> str:
    """The id of a delivery to an endpoint, the same at each try. `about`: the id of the decision or event."""
    return str(uuid.uuid5(_NAMESPACE, f"{endpoint}:{about}"))


# KEYS: a delivery. ARGV: what prevents a try. It may be gone, or settled, meanwhile.
_NOTE_FAULT: Final = """
if redis.call('HGET', KEYS[1], 'state') == 'waiting' then
  redis.call('HSET', KEYS[1], 'fault', ARGV[1])
end
"""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be added. `body` never changes."""

    id: str
    endpoint: str
    type: str
    body: str = field(repr=False)
    #: The MAC of the body of a decision. An event has none.
    seal: str = field(default="", repr=False)

    def packed(self) -> dict[str, str]:
        packed = {"id": self.id, "endpoint": self.endpoint, "type": self.type, "body": self.body}
        return packed | {"seal": self.seal} if self.seal else packed


class State(StrEnum):
    """What became of a delivery."""

    #: It is due, or will be.
    WAITING = "waiting"
    #: Its tries are used up. It stays until a person resends it.
    FAILED = "failed"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as the ledger stores it. Times are milliseconds of the ledger's clock."""

    id: str
    region: str
    endpoint: str
    #: The signatureId; "": it is about no verification.
    signature_id: str
    type: str
    body: str = field(repr=False)
    state: State
    created_at_ms: int
    tries: int = 0
    first_try_at_ms: int | None = None
    last_try_at_ms: int | None = None
    #: Why the last try failed.
    fault: str | None = None
    acknowledged_at_ms: int | None = None
    #: When the next try is due; None: a worker is at it, or there is none.
    due_at_ms: int | None = None
    #: The MAC of the body. None: it is not of a decision, or an older release made it.
    seal: str | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The delivery without its body, as the HTTP API and the command show it."""
        return {
            "id": self.id,
            "region": self.region,
            "endpoint": self.endpoint,
            "type": self.type,
            "signature_id": self.signature_id or None,
            "state": self.state.value,
            "tries": self.tries,
            "fault": self.fault,
            "created_at": rfc3339(self.created_at_ms),
            "last_try_at": rfc3339_or_none(self.last_try_at_ms),
            "acknowledged_at": rfc3339_or_none(self.acknowledged_at_ms),
            "due_at": rfc3339_or_none(self.due_at_ms),
        }


@dataclass(frozen=True, slots=True)
class DeliveryBatch:
    """The deliveries to one endpoint that one claim took. `id` is the fencing token."""

    id: str
    region: str
    endpoint: str
    delivery_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a dispatcher can take for an endpoint. `rate`: requests per second; None: no limit."""

    endpoint: str
    limit: int
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """What one claim took, and for how long nothing more will be due."""

    batches: tuple[DeliveryBatch, ...]
    sleep_s: float
    #: Deliveries that were given up because they end workers: id and endpoint.
    given_up: tuple[tuple[str, str], ...] = ()


class Kind(StrEnum):
    """What a try came to."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    #: It was not tried.
    BACK = "back"
    #: It is not sent, now or later: no worker made its body.
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a try.

    Parameters:
        answer: what the endpoint answered, such as `HTTP_204`; of a failure, `fault` says it.
        fault: of a failure, why; of one that was not tried, what prevents it, if there is something to look at.
        in_s: the countdown to the next try, if there is one.
        hold_s: how long the endpoint asks to get nothing.
        slow: it has too much to do; it gets fewer at a time.
        gone: it wants no more deliveries; it is paused.
        down: when it counts as down, and for how long it gets nothing then.
    """

    delivery_id: str
    kind: Kind
    fault: str = ""
    in_s: float = 0.0
    hold_s: float = 0.0
    slow: bool = False
    gone: bool = False
    down: Down | None = None
    answer: str = ""

    def packed(self) -> dict[str, Any]:
        packed: dict[str, Any] = {
            "id": self.delivery_id,
            "is": self.kind.value,
            "in_ms": round(self.in_s * 1000),
        }
        if self.kind is Kind.ACKNOWLEDGED:
            return packed | ({"answer": self.answer} if self.answer else {})
        if self.kind is Kind.FORGED:
            return packed | {"fault": self.fault}
        if self.kind is not Kind.FAILED:
            return packed
        down = self.down or Down()
        return packed | {
            "fault": self.fault,
            "hold_ms": round(self.hold_s * 1000),
            "slow": self.slow,
            "gone": self.gone,
            "after": down.after,
            "first_hold_ms": round(down.first_s * 1000),
            "longest_hold_ms": round(down.longest_s * 1000),
        }


@dataclass(frozen=True, slots=True)
class Down:
    """When an endpoint counts as down: after so many failures in a row. Then one delivery at a time probes it."""

    after: int = 5
    first_s: float = 5.0
    longest_s: float = 300.0


class Written(IntEnum):
    """What recording an outcome came to, as ``record_deliveries.lua`` returns it."""

    #: The batch no longer holds the delivery, and nothing changed.
    NOT = 0
    YES = 1
    #: The delivery's tries are used up.
    GIVEN_UP = 2
    #: The endpoint is paused now.
    PAUSED = 3
    #: The endpoint acknowledges again after failures.
    RECOVERED = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What a try of any delivery to an endpoint came to: `HTTP_204`, or the fault such as `CONNECT_TIMEOUT`."""

    at_ms: int
    said: str


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What an endpoint does in one region. Times are milliseconds of the ledger's clock."""

    name: str
    region: str
    now_ms: int
    waiting: int
    #: Of those waiting, how many are due by now.
    due: int
    due_at_ms: int | None
    in_flight: int
    failed: int
    acknowledged: int
    failures_in_a_row: int = 0
    failing_since_ms: int | None = None
    #: The most tries of a delivery since the endpoint last acknowledged one.
    worst_tries: int = 0
    #: How many may be in flight, if it is slowed; None: it is not.
    window: int | None = None
    held_until_ms: int | None = None
    paused_at_ms: int | None = None
    #: Why it is paused: `GONE`, `FAILING`, or what a person wrote.
    paused_why: str | None = None
    paused_by: str | None = None
    #: The last ones, the newest first.
    answers: tuple[Answer, ...] = ()

    @property
    def is_paused(self) -> bool:
        return self.paused_at_ms is not None

    def strain(self, limits: Limits) -> float:
        """How near an endpoint is to its pause: 0 to 1; 1: it is paused for its failures, or is about to be."""
        if self.is_paused and not self.paused_by:
            return 1.0
        if self.failing_since_ms is None:
            return 0.0
        of_time = (self.now_ms - self.failing_since_ms) / 1000 / limits.pause_after_s
        return min(max(of_time, self.worst_tries / limits.most_tries), 1.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a delivery is given up, and when an endpoint is paused that acknowledges nothing."""

    most_tries: int = 10
    pause_after_s: float = 3 * 86_400.0


@dataclass(frozen=True, slots=True)
class Shelf:
    """The deliveries to one endpoint of a region in one state."""

    region: str
    endpoint: str
    state: State


@dataclass(frozen=True, slots=True)
class Extent:
    """How many deliveries a shelf has, and the moments of the first and the last of them."""

    count: int
    first_ms: int | None = None
    last_ms: int | None = None


class Webhooks:
    """Deliveries of all regions. Safe to share between threads. Every method raises ``LedgerUnavailable``.

    Parameters:
      lease_s: how long a batch may hold a delivery before others may take it.
      retention_s: how long an acknowledged delivery is kept.
      worker: name of the worker that loads and writes.
      limits: of tries and time.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        lease_s: float = 20.0,
        retention_s: float = 7 * 86_400.0,
        worker: str = "",
        limits: Limits = Limits(),
    ) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._note = redis.register_script(_NOTE_FAULT)
        self._lease_ms = round(lease_s * 1000)
        self._retention_ms = round(retention_s * 1000)
        self._worker = plain(worker)
        self._limits = limits
        self._dispatcher = secrets.token_hex(8)

    @property
    def lease_s(self) -> float:
        return self._lease_ms / 1000

    # What dispatchers and tasks do.

    def add(self, region: str, signature_id: str, deliveries: Sequence[NewDelivery]) -> None:
        """Add deliveries of an event, due now. One that exists already stays as it is."""
        if deliveries:
            self._scripts.call("add_deliveries", region, signature_id, codec.deliveries(deliveries))

    def claim(self, region: str, wanted: Iterable[Wanted]) -> DeliveryClaim:
        """Claim due deliveries: one batch for each endpoint that has some."""
        asked = [part for each in wanted for part in (each.endpoint, each.limit, each.rate or 0)]
        if not asked:
            return DeliveryClaim((), DISPATCHER_SLEEP_S)
        sleep_ms, given_up, *rows = self._scripts.call(
            "claim_deliveries",
            region,
            secrets.token_hex(6),
            self._lease_ms,
            MOST_STARTS,
            self._dispatcher,
            round(DISPATCHER_SLEEP_S * 1000),
            round(GRACE_S * 1000),
            MOST_IN_FLIGHT,
            *asked,
        )
        batches = tuple(
            DeliveryBatch(row[0].decode(), region, row[1].decode(), tuple(map(codec.text, row[2:])))
            for row in rows
        )
        lost = tuple((codec.text(delivery), endpoint.decode()) for delivery, endpoint in given_up)
        return DeliveryClaim(batches, sleep_ms / 1000, lost)

    def load(self, batch: DeliveryBatch) -> list[Delivery]:
        """Start a batch: return what it still holds, each only once. Their leases start over."""
        read_at_ms, *rows = self._scripts.call(
            "load_deliveries",
            batch.region,
            batch.id,
            batch.endpoint,
            self._lease_ms,
            self._holder(batch),
            *batch.delivery_ids,
        )
        del read_at_ms
        found: list[Delivery] = []
        for delivery_id, flat in rows:
            # What somebody else wrote must not stop the others of its batch. Its leases end until it is given up.
            with suppress(KeyError, ValueError):
                found.append(_delivery(batch.region, delivery_id.decode(), codec.pairs(flat)))
        return found

    def renew(self, batch: DeliveryBatch, delivery_ids: Sequence[str]) -> int:
        """Renew the leases of deliveries in progress. Return how many of them the batch still holds."""
        return int(
            self._scripts.call(
                "renew_deliveries",
                batch.region,
                self._holder(batch),
                batch.endpoint,
                self._lease_ms,
                *delivery_ids,
            )
        )

    def record(
        self,
        batch: DeliveryBatch,
        outcomes: Sequence[Outcome],
        *,
        paused: Mapping[str, Sequence[NewDelivery]] = MappingProxyType({}),
    ) -> list[Written]:
        """Record outcomes. One for a delivery that the batch no longer holds changes nothing.

        `paused`: events that are recorded in the same step if one of them pauses the endpoint, by the reason.
        """
        if not outcomes:
            return []
        answers = self._scripts.call(
            "record_deliveries",
            batch.region,
            self._holder(batch),
            batch.endpoint,
            self._retention_ms,
            self._worker,
            self._limits.most_tries,
            round(self._limits.pause_after_s * 1000),
            MOST_IN_FLIGHT,
            json.dumps([each.packed() for each in outcomes], separators=(",", ":")),
            codec.deliveries_by(paused),
        )
        recorded = [Written(answer) for answer in answers]
        for outcome, written in zip(outcomes, recorded, strict=True):
            if outcome.kind is Kind.BACK and outcome.fault and written is Written.YES:
                self._note_fault(batch.region, outcome)
        return recorded

    def _note_fault(self, region: str, outcome: Outcome) -> None:
        """Note why a delivery was not tried. If the process ends before, the next try notes it."""
        with translated():
            self._note(keys=[f"{prefix(region)}webhook:{outcome.delivery_id}"], args=[outcome.fault])

    def give_back(self, batch: DeliveryBatch) -> None:
        """Make the deliveries of a batch due now. This does not count as a start."""
        self.record(batch, [Outcome(each.id, Kind.BACK) for each in self.load(batch)])

    def _holder(self, batch: DeliveryBatch) -> str:
        return "/".join(filter(None, (batch.id, "deliver", self._worker)))[:MOST_HOLDER]

    # What people do.

    def pause(  # noqa: PLR0913 - one a fact
        self,
        region: str,
        endpoint: str,
        *,
        why: str,
        who: str = "",
        via: str = "",
        events: Sequence[NewDelivery] = (),
    ) -> bool:
        """Stop the deliveries to an endpoint; they wait. False if it is paused already.

        `events` are recorded in the same step unless it is paused already.
        """
        about = codec.deliveries(events)
        is_new = bool(
            self._scripts.call("pause_endpoint", region, endpoint, plain(who), via, plain(why), about)
        )
        if is_new:
            _note_acts("endpoint_pause", region, [endpoint], who, via, plain(why))
        return is_new

    def resume(self, region: str, endpoint: str, *, who: str = "", via: str = "") -> bool:
        """Resume an endpoint: what waits for it is due now, and its tries start over. False if it was not paused."""
        arguments = (endpoint, plain(who), via, RESUMED_AT_ONCE)
        was_paused, moved = self._scripts.call("resume_endpoint", region, *arguments, 1)
        _note_acts("endpoint_resume", region, [endpoint], who, via)
        while moved == RESUMED_AT_ONCE:
            _, moved = self._scripts.call("resume_endpoint", region, *arguments, 0)
        return bool(was_paused)

    def resend(
        self,
        region: str,
        delivery_ids: Sequence[str],
        *,
        who: str,
        via: str = "",
        act: str = "delivery_resend",
    ) -> list[bool]:
        """Make deliveries due now, with all their tries. False for one that a worker is sending, or that is unknown.

        `act`: the name of the act in the audit log, whose entries name the verifications.
        """
        answers = [
            bool(answer)
            for answer in self._scripts.call("resend", region, plain(who), via, act, *delivery_ids)
        ]
        _note_acts(act, region, done(delivery_ids, answers), who, via)
        return answers

    def drop(
        self, region: str, delivery_ids: Sequence[str], *, why: str, who: str, via: str = ""
    ) -> list[bool]:
        """End deliveries without an acknowledgement. False for one that is in flight, acknowledged or unknown.

        A verification that waited for such a delivery alone is done.
        """
        answers = self._scripts.call(
            "drop_deliveries", region, plain(who), via, plain(why), self._retention_ms, *delivery_ids
        )
        found = [bool(answer) for answer in answers]
        _note_acts("delivery_drop", region, done(delivery_ids, found), who, via, plain(why))
        return found

    # What people look at.

    def get(self, region: str, delivery_id: str) -> Delivery | None:
        """One delivery; None: it is unknown, or was acknowledged longer ago than the retention."""
        with translated():
            # One that is damaged is not unknown: this raises.
            self._redis.hget(f"{prefix(region)}webhook:{delivery_id}", "endpoint")
        return next(iter(self._read(region, [delivery_id])), None)

    def of_verification(self, region: str, decision_id: str, endpoints: Iterable[str]) -> list[Delivery]:
        """The deliveries of a decision to given endpoints."""
        return list(self._read(region, [delivery_id(each, decision_id) for each in endpoints]))

    def of_events(self, region: str, signature_id: str, most: int = 50) -> list[Delivery]:
        """The deliveries of events about a verification, the newest `most`. Not those of its decision.

        Of more than a thousand, which no worker adds, it reads some.
        """
        with translated():
            found: Any = self._redis.smembers(f"{prefix(region)}e:{signature_id}")
        ids = [codec.text(each).partition(" ")[0] for each in islice(found, _MOST_OF_EVENTS)]
        return sorted(self._read(region, ids), key=lambda each: each.created_at_ms)[-most:]

    def endpoints(self, region: str, configured: Iterable[str] = ()) -> list[EndpointState]:
        """The endpoints of a region: the configured ones, and those that had a delivery."""
        read_at_ms, *rows = self._scripts.call("endpoints", region, *configured)
        # A name that no file of endpoints can have was not written by a worker.
        return [_endpoint(region, read_at_ms, row) for row in rows if _ENDPOINT.fullmatch(row[0])]

    def ids(
        self,
        shelf: Shelf,
        *,
        since_ms: int = 0,
        until_ms: int | None = None,
        start: int = 0,
        count: int = 100,
    ) -> list[str]:
        """Ids of deliveries, the oldest first. `since_ms`, `until_ms`: when it failed or was acknowledged.

        Of those waiting, the next that is due comes first, and those in flight come last; the moments do not count.
        """
        base, endpoint = prefix(shelf.region), shelf.endpoint
        with translated():
            if shelf.state is not State.WAITING:
                last = "+inf" if until_ms is None else until_ms
                found: list[Any] = self._redis.zrangebyscore(
                    f"{base}{shelf.state.value}:webhook:{endpoint}", since_ms, last, start, count
                )
                return [codec.text(each) for each in found]
            due, leased = f"{base}due:webhook:{endpoint}", f"{base}leased:webhook:{endpoint}"
            waiting: list[Any] = self._redis.zrange(due, start, start + count - 1)
            if len(waiting) < count:
                rank = max(start - int(self._redis.zcard(due)), 0)
                waiting += self._redis.zrange(leased, rank, rank + count - len(waiting) - 1)
        return [codec.text(each) for each in waiting]

    def extent(self, shelf: Shelf, *, since_ms: int, until_ms: int) -> Extent:
        """How many deliveries have failed, or were acknowledged, from one moment to another. Not for those waiting."""
        key = f"{prefix(shelf.region)}{shelf.state.value}:webhook:{shelf.endpoint}"
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zcount(key, since_ms, until_ms)
            pipe.zrangebyscore(key, since_ms, until_ms, 0, 1, withscores=True)
            pipe.zrange(key, until_ms, since_ms, desc=True, byscore=True, offset=0, num=1, withscores=True)
            count, first, last = pipe.execute()
        return Extent(count, *(codec.moment(found[0][1]) if found else None for found in (first, last)))

    def read(self, region: str, delivery_ids: Sequence[str]) -> list[Delivery]:
        """The deliveries with these ids, without those that are unknown."""
        return list(self._read(region, delivery_ids))

    def kept_since_ms(self, region: str) -> int:
        """The moment since which acknowledged deliveries are kept: of older ones there is at most the id."""
        return max(self.now_ms(region) - self._retention_ms, 0)

    def now_ms(self, region: str) -> int:
        return now_ms(self._redis, region)

    def _read(self, region: str, delivery_ids: Sequence[str]) -> Iterator[Delivery]:
        base = prefix(region)
        rows = read_hashes(self._redis, (f"{base}webhook:{each}" for each in delivery_ids))
        found = {each: row for each, row in zip(delivery_ids, rows, strict=True) if row}
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for each, row in found.items():
                pipe.zscore(f"{base}due:webhook:{codec.text(row.get(b'endpoint', b''))}", each)
            due = pipe.execute()
        for (each, row), at_ms in zip(found.items(), due, strict=True):
            # One that somebody else wrote must not hide the others.
            with suppress(KeyError, ValueError):
                yield _delivery(region, each, row, None if at_ms is None else codec.moment(at_ms))


def _note_acts(  # noqa: PLR0913, PLR0917 - one a fact
    act: str, region: str, subjects: Sequence[str], who: str, via: str, detail: str = ""
) -> None:
    write_lines(act, who=plain(who), via=via, region=region, subjects=subjects, detail=detail)


def _delivery(
    region: str, delivery_id: str, fields: Mapping[bytes, bytes], due_at_ms: int | None = None
) -> Delivery:
    fault = fields.get(b"fault")
    return Delivery(
        id=delivery_id,
        region=region,
        endpoint=fields[b"endpoint"].decode(),
        signature_id=fields[b"about"].decode(),
        type=fields[b"type"].decode(),
        body=fields[b"body"].decode(),
        state=State(fields[b"state"].decode()),
        created_at_ms=codec.moment(fields[b"at"]),
        tries=_number(fields, b"tries") or 0,
        first_try_at_ms=_number(fields, b"first"),
        last_try_at_ms=_number(fields, b"last"),
        fault=fault.decode() if fault else None,
        acknowledged_at_ms=_number(fields, b"acknowledged"),
        due_at_ms=due_at_ms,
        seal=_text(fields, b"seal"),
    )


def _endpoint(region: str, read_at_ms: int, row: Sequence[Any]) -> EndpointState:
    name, flat, waiting, due, first, in_flight, failed, acknowledged, answers = row
    fields = codec.pairs(flat)
    return EndpointState(
        name=name.decode(),
        region=region,
        now_ms=read_at_ms,
        waiting=waiting + in_flight,
        due=due,
        due_at_ms=None if first is None else codec.moment(first),
        in_flight=in_flight,
        failed=failed,
        acknowledged=acknowledged,
        failures_in_a_row=_number(fields, b"failures") or 0,
        failing_since_ms=_number(fields, b"failing"),
        worst_tries=_number(fields, b"worst") or 0,
        window=_number(fields, b"window"),
        held_until_ms=_number(fields, b"held"),
        paused_at_ms=_number(fields, b"paused"),
        paused_why=_text(fields, b"why"),
        paused_by=_text(fields, b"who"),
        answers=tuple(found for line in reversed(answers) if (found := _answer(line)) is not None),
    )


def _answer(line: bytes) -> Answer | None:
    try:
        at_ms, _, said = line.decode().partition("|")
        return Answer(int(at_ms), said)
    except ValueError:
        # No worker wrote it: it must not hide the state of every endpoint.
        return None


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int | None:
    """Return a number; None: there is none, or no script wrote it, which must not hide the others."""
    try:
        number = float(fields[name])
    except (KeyError, ValueError):
        return None
    return int(number) if abs(number) <= codec.LATEST else None


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = fields.get(name)
    return value.decode(errors="replace") if value else None
