"""The marks of retention and erasure beside the evidence: `closed.json`, `hold.json`, `erasure.json`. Pure.

They hold nothing personal, so they are never encrypted: a sweep reads them without a key. Names and reasons are those
that people gave for the record.

    closed.json    {"version":1,"at":"2027-01-31T09:00:00.000Z"}
    hold.json      {"version":1,"holds":[{"at":…,"who":…,"why":…,"released":{"at":…,"who":…,"why":…} or null}, …]}
    erasure.json   {"version":1,"at":…,"who":…,"why":…,"data_key":"9f…" or null,"objects":[["answer.json",1042,…], …],
                    "retention":{"rule":"5y@closed","until":… or null} or null,"seal":"…"}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

VERSION: Final = 1

#: The largest mark that is parsed, in bytes. A verification has a dozen objects, and few holds.
MAX_BYTES: Final = 256 * 1024

#: The legal holds that may be in force at once, and the most bytes of `hold.json` with a new one. Then there is room
#: for the release of each.
MOST_IN_FORCE: Final = 20
MOST_HELD_BYTES: Final = MAX_BYTES // 2


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did, when and why."""

    at: datetime
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A legal hold. `released`: None while it stops erasure."""

    placed: Act
    released: Act | None = None


@dataclass(frozen=True, slots=True)
class LegalHolds:
    """All legal holds of a verification, oldest first. Several may be in force: each matter has its own."""

    holds: tuple[LegalHold, ...] = ()

    @property
    def all_in_force(self) -> tuple[LegalHold, ...]:
        return tuple(each for each in self.holds if each.released is None)

    @property
    def in_force(self) -> LegalHold | None:
        """The newest one in force."""
        return next(reversed(self.all_in_force), None)

    def placing(self, act: Act) -> LegalHolds:
        """Return these and a new one. One in force by the same person for the same reason stays as it is."""
        same = ((each.placed.who, each.placed.why) for each in self.all_in_force)
        return self if (act.who, act.why) in same else LegalHolds((*self.holds, LegalHold(act)))

    def releasing(self, act: Act) -> LegalHolds:
        """Return these with all in force released."""
        if self.in_force is None:
            return self
        return LegalHolds(
            tuple(each if each.released else LegalHold(each.placed, act) for each in self.holds)
        )


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a verification before its erasure. `locked_until`: when the bucket's lock on it ends."""

    name: str
    size_bytes: int
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RetentionFact:
    """How long a verification would have been kept. `until`: None: without an end, or no closing time is known."""

    rule: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure began with. It is written once, so that an erasure that was killed ends as it began.

    Parameters:
        data_key: the id of the data key; None: the evidence was not encrypted.
        retention: None: it is not known, because the decision cannot be read, or there was no evidence.
        seal: shows that a holder of our signing key wrote it, see ``worker.records.erasure``.
    """

    act: Act
    data_key: str | None
    objects: tuple[StoredObject, ...]
    retention: RetentionFact | None = None
    seal: str = ""


def dump_closed(at: datetime) -> bytes:
    return _dumped({"at": rfc3339(at)})


def load_closed(raw: bytes) -> datetime:
    """Return the closing time. Raises ``ValueError``, as the other functions here, which quotes nothing."""
    return moment(_document(raw).get("at"))


def dump_holds(holds: LegalHolds) -> bytes:
    return _dumped(
        {
            "holds": [
                _act(each.placed) | {"released": _act(each.released) if each.released else None}
                for each in holds.holds
            ]
        }
    )


def load_holds(raw: bytes) -> LegalHolds:
    return LegalHolds(tuple(_hold(each) for each in _list(_document(raw), "holds")))


def dump_plan(plan: ErasurePlan) -> bytes:
    return _dumped(
        _act(plan.act)
        | {
            "data_key": plan.data_key,
            "objects": [
                [each.name, each.size_bytes, each.locked_until and rfc3339(each.locked_until)]
                for each in plan.objects
            ],
            "retention": plan.retention
            and {
                "rule": plan.retention.rule,
                "until": plan.retention.until and rfc3339(plan.retention.until),
            },
        }
        | ({"seal": plan.seal} if plan.seal else {})
    )


def load_plan(raw: bytes) -> ErasurePlan:
    document = _document(raw)
    data_key = document.get("data_key")
    if data_key is not None and not isinstance(data_key, str):
        raise ValueError("data_key is not text")
    return ErasurePlan(
        _loaded(document),
        data_key,
        tuple(_object(each) for each in _list(document, "objects")),
        _retention(document.get("retention")),
        str(document.get("seal", "")),
    )


def rfc3339(at: datetime) -> str:
    """Return a moment in UTC, in milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dumped(members: dict[str, Any]) -> bytes:
    return f"{json.dumps({'version': VERSION} | members, separators=(',', ':'))}\n".encode()


def _document(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_BYTES:
        raise ValueError("it is too long")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ValueError("it is not of version 1")
    return document


def _list(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise ValueError(f"{name} is not a list")  # noqa: TRY004 - of the file, not of the caller
    return found


def _act(act: Act) -> dict[str, Any]:
    return {"at": rfc3339(act.at), "who": act.who, "why": act.why}


def _loaded(members: Any) -> Act:
    if not isinstance(members, dict):
        raise ValueError("an act is not an object")  # noqa: TRY004
    who, why = members.get("who"), members.get("why")
    if not isinstance(who, str) or not isinstance(why, str):
        raise ValueError("an act names nobody or no reason")  # noqa: TRY004
    if not who.isprintable() or not why.isprintable():
        # Terminals would obey them.
        raise ValueError("an act has characters that cannot be shown")
    return Act(moment(members.get("at")), who, why)


def _hold(members: Any) -> LegalHold:
    placed = _loaded(members)
    # Anything but a release leaves it in force.
    return LegalHold(placed, _loaded(members["released"]) if members.get("released") else None)


def _retention(members: Any) -> RetentionFact | None:
    if members is None:
        return None
    match members:
        case {"rule": str() as rule, "until": until}:
            return RetentionFact(rule, None if until is None else moment(until))
    raise ValueError("a retention cannot be read")


def _object(row: Any) -> StoredObject:
    match row:
        case [str() as name, int() as size_bytes, None]:
            return StoredObject(name, size_bytes)
        case [str() as name, int() as size_bytes, str() as until]:
            return StoredObject(name, size_bytes, moment(until))
    raise ValueError("an object cannot be read")


def moment(text: Any, name: str = "a time") -> datetime:
    """Parse a time with an offset. Raises ``ValueError``, which quotes nothing."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} cannot be read") from None
    raise ValueError(f"{name} has no offset")
