"""What the evidence viewer stands on, and what it reads of one verification. Nothing is kept after a request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from schemas.errors import SchemaError
from worker.decisions import events
from worker.errors import EvidenceConflict
from worker.evidence import paths
from worker.evidence.store import Evidence
from worker.ledger import looks
from worker.ledger.audit import Via
from worker.ledger.looks import Looks
from worker.ledger.reviews import ReviewLedger
from worker.policy.outcome_seal import key_secrets
from worker.records.checking import check
from worker.records.overview import Overview
from worker.records.reviews import ReviewDesk
from worker.web.console.answer_fields import AnswerFields, fields_of
from worker.web.console.bounded import Bounded
from worker.web.console.looks import LookRegister
from worker.web.console.watermark import MOST_BYTES, NotShown, media_type_of, watermarked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis import Redis

    from worker.decisions.endpoints import Endpoint
    from worker.evidence.review import Review
    from worker.records.checking import Checked
    from worker.settings import Settings
    from worker.web.console.looks import Look

#: Pages that read the evidence store, and images that are read and drawn, at the same time in one process. A browser
#: asks for six images at once. Who waits occupies a thread of `web`, so few wait.
PAGES_AT_ONCE: Final = 2
DRAWN_AT_ONCE: Final = 2
MOST_WAITING: Final = 4

#: Seconds for all calls of one page, and for the log among them.
STORE_LIMIT_S: Final = 25.0
LOG_LIMIT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A stored file on the page of a look.

    Parameters:
        sha256: of its bytes; "": it could not be read.
        why_not: why it is not shown; "": it is an image that is shown.
    """

    name: str
    size_bytes: int
    sha256: str
    why_not: str = ""


@dataclass(slots=True)
class Contents:
    """What a look shows."""

    files: list[SeenFile] = field(default_factory=list)
    fields: AnswerFields = field(default_factory=AnswerFields)
    #: Why there are no fields.
    fields_fault: str = ""
    checked: Checked | None = None

    @property
    def images(self) -> list[SeenFile]:
        """The images that are shown, the document first."""
        roles = list(paths.ROLES)
        shown = [file for file in self.files if not file.why_not]
        return sorted(shown, key=lambda file: roles.index(file.name.partition(".")[0]))

    @property
    def others(self) -> list[SeenFile]:
        return [file for file in self.files if file.why_not]


class Viewer:
    """Safe to share between threads. Raises ``ConfigError`` for settings that cannot be used."""

    def __init__(self, settings: Settings, redis: Redis, endpoints: Mapping[str, Endpoint]) -> None:
        self._settings = settings
        # An overview would read the whole log of a region. `contents` asks the log in bounded time.
        self._without_log = replace(settings, log_key="")
        self._redis = redis
        # A folder of this account would keep out the workers.
        self._evidence = Evidence.from_settings(settings, creates=False)
        self._store = Bounded(
            "evidence store", at_once=PAGES_AT_ONCE, waiting=1, wait_s=3.0, limit_s=STORE_LIMIT_S
        )
        self._drawing = Bounded(
            "drawing of images",
            at_once=DRAWN_AT_ONCE,
            waiting=MOST_WAITING,
            wait_s=6.0,
            limit_s=STORE_LIMIT_S,
        )
        self.looks = LookRegister(redis, key_secrets(settings))
        self._desk = ReviewDesk(
            ReviewLedger(redis, via=Via.CONSOLE), lambda review: events.of_review(endpoints, review)
        )

    def overview(self, region: str, signature_id: str) -> Overview:
        """Return what there is, which is nothing personal. Raises ``Busy`` and what the store raises."""
        return self._store.run(
            lambda: Overview.read(self._evidence, self._evidence.of(region, signature_id), self._without_log)
        )

    def record(self, region: str, signature_id: str, *, who: str, session: str, why: str) -> Look:
        """Count a look, record it, then open it. Raises ``TooManyLooks`` and ``LedgerUnavailable``: nothing is open."""
        at_ms = self.looks.count(who)
        detail = f"{region}/{signature_id}: {why}"
        Looks(self._redis, who=who, via=Via.CONSOLE).note(region, looks.VIEW, detail, [signature_id])
        return self.looks.open(region, signature_id, who=who, session=session, at_ms=at_ms, why=why)

    def contents(self, look: Look, names: list[str]) -> Contents:
        """Return what a look shows of the files with these names. Raises ``Busy`` and what the store raises."""
        return self._store.run(lambda: self._read(look, names))

    def image(self, look: Look, name: str) -> bytes:
        """Return an image as a JPEG with a watermark. Raises ``NotShown``, ``Busy`` and what the store raises."""
        return self._drawing.run(lambda: self._drawn(look, name))

    def take(self, review: Review) -> Review:
        """Store and record a verdict. Raises as ``ReviewDesk.take``."""
        one = self._evidence.of(review.region, review.signature_id)
        return self._store.run(lambda: self._desk.take(one, review))

    def _drawn(self, look: Look, name: str) -> bytes:
        body = self._evidence.of(look.region, look.signature_id).read(name)
        if body is None:
            raise NotShown("MISSING", "there is no such file")
        return watermarked(body, stamp(look))

    def _read(self, look: Look, names: list[str]) -> Contents:
        one, found = self._evidence.of(look.region, look.signature_id), Contents()
        for name in names:
            if paths.is_unlisted(name):
                continue
            body, fault = _attempt(lambda name=name: one.read(name))  # type: ignore[misc]
            found.files.append(_seen(name, body, fault))
            if name == paths.ANSWER:
                found.fields, found.fields_fault = _fields(body, fault)
        found.checked = check(
            self._settings, self._redis, look.region, look.signature_id, longest_s=LOG_LIMIT_S
        )
        return found


def stamp(look: Look) -> str:
    """Return the text of a watermark: who looked, and when the look was recorded."""
    at = datetime.fromtimestamp(look.at_ms / 1000, UTC)
    return f"{look.who}  {at:%Y-%m-%d %H:%M:%S} UTC"


def _attempt(read: Callable[[], bytes | None]) -> tuple[bytes | None, str]:
    """Return what was read, and otherwise why not: one file that is damaged hides no other."""
    try:
        return read(), ""
    except EvidenceConflict as error:
        return None, str(error)


def _seen(name: str, body: bytes | None, fault: str) -> SeenFile:
    if body is None:
        return SeenFile(name, 0, "", fault or "it is gone: restore it from a backup")
    why_not = ""
    if name.partition(".")[0] not in paths.ROLES:
        why_not = "it is no linked image"
    elif media_type_of(body) is None:
        why_not = "it is no JPEG, PNG or WebP"
    elif len(body) > MOST_BYTES:
        why_not = "it is too large to be shown"
    return SeenFile(name, len(body), hashlib.sha256(body).hexdigest(), why_not)


def _fields(body: bytes | None, fault: str) -> tuple[AnswerFields, str]:
    if body is None:
        return AnswerFields(), fault or "the answer is gone: restore it from a backup"
    try:
        return fields_of(body), ""
    except SchemaError as error:
        return AnswerFields(), f"the answer cannot be read: {error}"
