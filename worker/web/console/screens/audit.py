"""The screen Audit: what people did, filtered, by pages, and as a file."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, abort, request, url_for

from worker.enqueue_request import REGIONS
from worker.errors import InvalidInput
from worker.ledger import audit_state
from worker.ledger.audit import ACTS, KEPT, AuditLog, Via, Wanted
from worker.policy.console_users import Role
from worker.records.audit_export import as_csv, as_json
from worker.web.api.gate import Gate
from worker.web.console import access, costly
from worker.web.console.access import act, screen
from worker.web.console.parts import parts
from worker.web.console.rendering import page
from worker.web.console.streaming import paced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from worker.ledger.audit import Entry

blueprint = Blueprint("audit", __name__)

#: Entries of a page.
PAGE: Final = 100

#: The longest text of a filter.
MOST_TEXT: Final = 100

#: Acts whose subject is a verification.
OF_VERIFICATIONS: Final = frozenset(
    {
        "quarantine_retry",
        "quarantine_drop",
        "nudge",
        "decision_redeliver",
        "evidence_show",
        "evidence_view",
        "evidence_export",
        "evidence_erase_begin",
        "evidence_erase",
        "evidence_hold",
        "evidence_release",
        "relationship_close",
        "verdict",
    }
)

#: The files of an export: their type, and what makes them.
_FORMATS: Final[dict[str, tuple[str, Callable[[Iterable[Entry]], Iterator[str]]]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv),
    "json": ("application/json", as_json),
}

#: Names of users, endpoints and regions, ids, acts, and times.
_NAMES: Final = re.compile(r"[A-Za-z0-9._@+:-]{1,64}")

#: An export keeps a thread busy while the client takes it.
_exports: Final = Gate(at_once=1, waiting=1)


@dataclass(frozen=True, slots=True)
class Filter:
    """What is shown. An empty text stands for all."""

    who: str = ""
    act: str = ""
    via: str = ""
    region: str = ""
    subject: str = ""
    #: Times in UTC, as a browser sends them: 2026-11-01T08:00. The second one is exclusive.
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, given: Any) -> Filter:
        """That of a request. Refuses what no form sends."""
        found = cls(**{name: given.get(name, "").strip() for name in cls.__slots__})
        if any(len(each) > MOST_TEXT for each in (found.who, found.subject)):
            abort(HTTPStatus.BAD_REQUEST, f"A name or a subject has at most {MOST_TEXT} characters.")
        for name, known in (("act", ACTS), ("via", tuple(Via)), ("region", REGIONS)):
            if getattr(found, name) and getattr(found, name) not in known:
                abort(HTTPStatus.BAD_REQUEST, f"There is no such {name}. Choose one of the list.")
        found.wanted()
        return found

    def wanted(self) -> Wanted:
        """As the audit log takes it."""
        return Wanted(
            self.who,
            self.act,
            self.via,
            self.region,
            self.subject,
            _moment(self.since) or 0,
            _moment(self.until),
        )

    def query(self) -> dict[str, Any]:
        """As the query of a URL."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}


@screen(blueprint, "/audit", role=Role.AUDITOR)
def show() -> Response:
    """A page of entries, the newest first."""
    wanted, cursor = Filter.of(request.args), request.args.get("cursor", "")
    try:
        # With a filter, it looks at many for each that it finds.
        with costly.place() if wanted.query() else nullcontext():
            states = audit_state.read(parts().redis)
            found = AuditLog(parts().redis).page(wanted.wanted(), cursor=cursor, limit=PAGE)
    except InvalidInput:
        abort(HTTPStatus.BAD_REQUEST, "This page of the list is unknown: begin with the first.")
    following = found.following and url_for("audit.show", **wanted.query(), cursor=found.following)
    return page(
        "audit.html",
        wanted=wanted,
        found=found,
        full=[part for part in states if part.is_full],
        complete_since_ms=audit_state.complete_since_ms(states),
        kept=KEPT,
        following=following,
        is_first=not cursor,
        acts=ACTS,
        of_verifications=OF_VERIFICATIONS,
        ways=[each.value for each in Via],
        regions=sorted(REGIONS),
        longest=MOST_TEXT,
    )


@act(blueprint, "/audit/export", role=Role.AUDITOR)
def export() -> Response:
    """All entries that match, as a file. The export itself is recorded before its first byte."""
    wanted, name = Filter.of(request.form), request.form.get("format", "")
    if name not in _FORMATS:
        abort(HTTPStatus.BAD_REQUEST, "The formats are csv and json.")
    content_type, format_ = _FORMATS[name]
    if not _exports.enter():
        abort(HTTPStatus.SERVICE_UNAVAILABLE, "Another export is at work: try again once it is over.")
    try:
        audit_log = AuditLog(parts().redis)
        detail = ", ".join([name, *(f"{field} {_recorded(text)}" for field, text in wanted.query().items())])
        audit_log.record("audit_export", who=access.user().name, via=Via.CONSOLE, detail=detail)
        pieces = paced(format_(audit_log.entries(wanted.wanted())), request.environ.get("gunicorn.socket"))
    except BaseException:
        _exports.leave()
        raise
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    response = Response(pieces, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="audit-{at}.{name}"'
    response.call_on_close(_exports.leave)
    return response


def _recorded(text: str) -> str:
    """The text of a filter as it is recorded: what is no name and no id may be anything that a person typed."""
    return text if _NAMES.fullmatch(text) else "(another text)"


def _moment(text: str) -> int | None:
    """A time of a filter in ms; None: there is none."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        aware = found.replace(tzinfo=UTC) if found.tzinfo is None else found
        return max(round(aware.timestamp() * 1000), 0)
    except (ValueError, OverflowError):
        abort(HTTPStatus.BAD_REQUEST, "A time is a day such as 2026-11-01, or 2026-11-01T08:00, in UTC.")
