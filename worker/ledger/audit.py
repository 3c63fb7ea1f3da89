"""The audit log: what people did, to which verification, endpoint or region, when and why.

It is kept in Redis streams, three for each region, so that what is done in one region never pushes out what was done in
another, no number of other acts pushes out acts on evidence, and no sweep pushes out looks and verdicts. Acts without a
region have a stream of their own, and so have log-ins, which a stranger can cause. An act that is a script of the
ledger adds its entry in the same step (`audit` in ``lua/common.lua``); any other is added by ``AuditLog.record``.
Reading merges the streams, the newest entry first.

The id of an entry is its time by the ledger's clock. Ids of a stream only grow: after a jump of Redis's clock, or if a
client of Redis adds an entry of the future, a stream can take none with the right time. Then the next of its ``PARTS``
takes it; if none does, the act is refused, and not done.

Each entry is also one log line of the process that acts (`operator_act`), so that an archive of logs has it for longer.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from heapq import merge
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from worker.enqueue_request import REGIONS
from worker.errors import InvalidInput
from worker.ledger.connection import translated
from worker.ledger.scripts import Scripts, prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

#: The entries that a stream keeps, and for how long, as in ``lua/common.lua``. Redis counts in hundreds.
KEPT: Final = 200_000
KEPT_MS: Final = 400 * 86_400_000

#: The ends of the keys of a stream's parts, as in ``lua/common.lua``.
PARTS: Final = ("", ":2", ":3")

#: The longest text of an entry, in characters.
MOST_TEXT: Final = 300

#: Entries that one page looks at. With a filter that matches little, a page is short, and the next one continues.
MOST_READ: Final = 10_000

_FIRST_CHUNK: Final = 100
_CHUNK: Final = 1000

_CURSOR: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,20})-([0-9]{1,2})")

#: The highest number of either half of an id.
_HIGHEST: Final = 2**64 - 1

#: The end of the year 9999, in ms: a later time, which a client of Redis can write, is shown as this one.
LATEST_MS: Final = 253_402_300_799_999

#: Acts that begin with this are in the stream of log-ins.
_LOG_IN: Final = "log_"

_log = logging.getLogger(__name__)


class Via(StrEnum):
    """How a person reached us."""

    CONSOLE = "console"
    CLI = "cli"
    API = "api"


#: Every act, with its meaning. The log may hold others, of newer releases.
ACTS: Final = {
    "quarantine_retry": "retried a verification in quarantine",
    "quarantine_drop": "ended a verification in quarantine without a decision",
    "nudge": "had a verification polled at once",
    "region_hold": "put a region on hold",
    "region_resume": "ended the hold of a region",
    "ledger_accept": "accepted a ledger that replaced another",
    "decision_redeliver": "delivered a decision to the queue again",
    "delivery_resend": "sent a delivery to an endpoint again",
    "deliveries_recover": "sent a delivery again, with all that an endpoint did not take",
    "delivery_drop": "ended a delivery to an endpoint",
    "endpoint_pause": "paused an endpoint",
    "endpoint_resume": "resumed an endpoint",
    "endpoint_test": "sent a test to an endpoint",
    "evidence_show": "saw evidence on the command line",
    "evidence_view": "saw evidence in the console",
    "evidence_export": "exported evidence",
    "evidence_erase_begin": "began to erase a verification: from here on it may be destroyed",
    "evidence_erase": "erased a verification",
    "evidence_hold": "put evidence on legal hold",
    "evidence_release": "ended a legal hold",
    "relationship_close": "noted the end of a business relationship",
    "verdict": "noted a verdict on a decision",
    "run_begin": "began to retry or drop all that match a filter",
    "run_stop": "stopped such a run",
    "run_continue": "continued such a run",
    "table_diff": "compared an uploaded decision table",
    "table_diff_cancel": "cancelled such a comparison",
    "log_in": "logged in",
    "log_in_refused": "failed to log in",
    "log_out": "logged out",
    "sessions_revoke": "ended all sessions of a user",
    "user_change": "changed a user of the console",
    "audit_export": "exported the audit log",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. `at_ms` is by the ledger's clock. `via`: as in ``Via``; "": an act of an older release."""

    at_ms: int
    act: str
    who: str
    via: str
    region: str
    #: What it was done to: a signature id, an endpoint, a user; "": the region as a whole.
    subject: str
    #: The reason that the person gave, or what else there is to know.
    detail: str

    def as_json(self) -> dict[str, str]:
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return {
            "at": at.replace("+00:00", "Z"),
            "act": self.act,
            "who": self.who,
            "via": self.via,
            "region": self.region,
            "subject": self.subject,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter. An empty text matches everything. `until_ms` is exclusive."""

    who: str = ""
    act: str = ""
    via: str = ""
    region: str = ""
    subject: str = ""
    since_ms: int = 0
    until_ms: int | None = None

    def matches(self, entry: Entry) -> bool:
        """Return whether the texts of an entry match. Its time is not compared: the read does that."""
        return (
            self.who in {"", entry.who}
            and self.act in {"", entry.act}
            and self.via in {"", entry.via}
            and self.region in {"", entry.region}
            and self.subject in {"", entry.subject}
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, the newest first. `following`: the cursor of the next page; None: this is the last one."""

    entries: tuple[Entry, ...]
    following: str | None = None
    #: Back to when the page looked, if it ended before it was full; None: it is full, or the last one.
    looked_back_to_ms: int | None = None


class _Position(NamedTuple):
    """The place of an entry in the order of all: its time, its number within the millisecond, and its stream."""

    at_ms: int
    number: int
    stream: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream in Redis. `part`: one of ``PARTS``."""

    start: str
    name: str
    region: str
    part: str = ""

    @property
    def key(self) -> str:
        return f"{self.start}{self.name}{self.part}"


#: In the order of `_Position.stream`, which is part of cursors.
STREAMS: Final = tuple(
    Stream(*names, part)
    for part in PARTS
    for names in (
        ("ekyc:", "audit:log-ins", ""),
        ("ekyc:", "audit", ""),
        *((prefix(region), "audit", region) for region in sorted(REGIONS)),
        *((prefix(region), "audit:evidence", region) for region in sorted(REGIONS)),
        *((prefix(region), "audit:erasures", region) for region in sorted(REGIONS)),
    )
)


class AuditLog:
    """Adds and reads entries. Safe to share between threads. Every method raises ``LedgerUnavailable``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)

    def record(  # noqa: PLR0913 - one a field
        self, act: str, *, who: str, via: str, region: str = "", subject: str = "", detail: str = ""
    ) -> None:
        """Add an entry for an act that is no script of the ledger. Raises ``ValueError`` for an unknown region."""
        if region and region not in REGIONS:
            raise ValueError("no such region")
        stream = _stream(act, region)
        fields = {
            "act": one_line(act),
            "who": one_line(who),
            "via": via,
            "subject": one_line(subject),
            "detail": one_line(detail),
        }
        flat = [text for pair in fields.items() for text in pair]
        self._scripts.call_at(stream.start, "audited", stream.name, time.time_ns() // 1_000_000, *flat)
        write_lines(act, who=who, via=via, region=region, subjects=[subject], detail=detail)

    def page(self, wanted: Wanted = Wanted(), *, cursor: str = "", limit: int = 100) -> Page:
        """Return the newest entries that match, at most `limit`; `cursor`: after the page that gave it.

        A page looks at ``MOST_READ`` entries at most. Raises ``InvalidInput`` for a cursor that is none.
        """
        found: list[Entry] = []
        seen, last = 0, None
        for position, entry in self._walk(wanted, _position(cursor), _FIRST_CHUNK):
            if last is not None and (len(found) == limit or seen == MOST_READ):
                following = f"{last.at_ms}-{last.number}-{last.stream}"
                return Page(
                    tuple(found), following, None if len(found) == limit else min(last.at_ms, LATEST_MS)
                )
            seen, last = seen + 1, position
            if wanted.matches(entry):
                found.append(entry)
        return Page(tuple(found))

    def entries(self, wanted: Wanted = Wanted()) -> Iterator[Entry]:
        """Yield every entry that matches, the newest first, read in chunks. What is added meanwhile is not yielded."""
        for _, entry in self._walk(wanted, None, _CHUNK):
            if wanted.matches(entry):
                yield entry

    def _walk(self, wanted: Wanted, after: _Position | None, first: int) -> Iterator[tuple[_Position, Entry]]:
        wanted_ones = [each for each in enumerate(STREAMS) if wanted.region in {"", each[1].region}]
        # One round trip for all those that do not exist, which are most.
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for _, stream in wanted_ones:
                pipe.exists(stream.key)
            found = pipe.execute()
        streams = [
            self._read(number, stream, wanted, after, first)
            for (number, stream), exists in zip(wanted_ones, found, strict=True)
            if exists
        ]
        return merge(*streams, key=lambda each: each[0], reverse=True)

    def _read(
        self, number: int, stream: Stream, wanted: Wanted, after: _Position | None, chunk: int
    ) -> Iterator[tuple[_Position, Entry]]:
        """Yield the entries of one stream, the newest first."""
        newest = "+" if wanted.until_ms is None else _before(wanted.until_ms, 0)
        if after is not None and (wanted.until_ms is None or after.at_ms < wanted.until_ms):
            # Of two entries with the same id, that of the higher stream comes first.
            same = f"{after.at_ms}-{after.number}"
            newest = same if number < after.stream else _before(after.at_ms, after.number)
        while True:
            with translated(f"the audit log ({stream.key})"):
                rows: Any = self._redis.xrevrange(stream.key, newest, wanted.since_ms, count=chunk)
            yield from starmap(lambda id_, fields: _entry(number, stream, id_, fields), rows)
            if len(rows) < chunk:
                return
            at, _, rank = rows[-1][0].decode().partition("-")
            newest, chunk = _before(int(at), int(rank)), _CHUNK


def one_line(text: str) -> str:
    """Return `text` as an entry holds it: one line of at most ``MOST_TEXT`` characters that can be seen."""
    return _visible(" ".join(text.split())[:MOST_TEXT])


def _visible(text: str) -> str:
    """Replace what does not show, or changes how other text shows: control, zero-width and direction characters."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def write_lines(  # noqa: PLR0913 - one a field
    act: str, *, who: str, via: str, region: str, subjects: Sequence[str] = ("",), detail: str = ""
) -> None:
    """Log what was recorded, a line for each subject. Nothing for the fleet itself, whose acts have other lines."""
    if not who or not subjects or not _log.isEnabledFor(logging.INFO):
        return
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    common = {
        "event": "operator_act",
        "act": act,
        "who": one_line(who),
        "via": via,
        "region": region,
        "detail": one_line(detail),
        "level": "info",
        "logger": __name__,
        "timestamp": at,
    }
    record = _log.makeRecord(_log.name, logging.INFO, "", 0, "%d acts of people", (len(subjects),), None)
    record.events = [common | {"subject": one_line(subject)} for subject in subjects]
    _log.handle(record)


def done(subjects: Iterable[str], answers: Iterable[bool]) -> list[str]:
    """Return the subjects for which the answer of a script is true."""
    return [subject for subject, answer in zip(subjects, answers, strict=True) if answer]


def _stream(act: str, region: str) -> Stream:
    """Return the stream that has an act: as `audit` in ``lua/common.lua`` for those of a region."""
    if region:
        name = "audit"
        if act.startswith("evidence_erase"):
            name = "audit:erasures"
        elif act == "verdict" or act.startswith("evidence_"):
            name = "audit:evidence"
        return Stream(prefix(region), name, region)
    return Stream("ekyc:", "audit:log-ins" if act.startswith(_LOG_IN) else "audit", "")


def _before(at_ms: int, number: int) -> str:
    """Return the highest id before this one: Redis has ranges without their end from 6.2 on."""
    if number:
        return f"{at_ms}-{number - 1}"
    # An id without a number, as the end of a range, has the highest number.
    return str(at_ms - 1) if at_ms else "0-0"


def _entry(number: int, stream: Stream, id_: bytes, fields: dict[bytes, bytes]) -> tuple[_Position, Entry]:
    at, _, rank = id_.decode().partition("-")
    texts = {name: _visible((fields.get(name.encode()) or b"").decode(errors="replace")) for name in _TEXTS}
    entry = Entry(min(int(at), LATEST_MS), region=stream.region, **texts)
    return _Position(int(at), int(rank), number), entry


_TEXTS: Final = ("act", "who", "via", "subject", "detail")


def _position(cursor: str) -> _Position | None:
    if not cursor:
        return None
    found = _CURSOR.fullmatch(cursor)
    position = found and _Position(int(found[1]), int(found[2]), int(found[3]))
    if not position or max(position) > _HIGHEST:
        raise InvalidInput("the cursor is not one of this list")
    return position
