"""A review: what a reviewer notes about a decision, stored beside it as `review-001.json`, `review-002.json`, …

    {"version":1,"id":"5f…","region":"ph","signature_id":"…","at":"…Z","who":"ann","verdict":"confirmed","note":"…"}

A review never changes the decision. Of several reviews the newest counts: the one with the highest number.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from worker.evidence.marks import moment, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

VERSION: Final = 1

#: Reviews of one verification. More are a mistake, or an attack.
MOST: Final = 100

#: The longest note, in characters.
LONGEST_NOTE: Final = 500

#: The longest name of a reviewer, in characters.
_LONGEST_NAME: Final = 200

#: The largest review that is parsed, in bytes.
_MAX_BYTES: Final = 16 * 1024

_ID: Final = re.compile(r"[0-9a-f]{32}")


class ReviewVerdict(StrEnum):
    """What a reviewer finds about a decision."""

    #: The decision is right.
    CONFIRMED = "confirmed"
    #: The decision is wrong: it suspects a person without a reason, or trusts one without a reason.
    FALSE_ALARM = "false_alarm"


@dataclass(frozen=True, slots=True)
class Review:
    """One review.

    Parameters:
        id: 32 hexadecimal digits. The same review, sent again, has the same id.
        number: from 1; 0: it is not stored.
    """

    id: str
    region: str
    signature_id: str
    at: datetime
    who: str
    verdict: ReviewVerdict
    note: str = ""
    number: int = 0


def dump_review(review: Review) -> bytes:
    """Return the review as JSON with a fixed order of members: equal reviews give equal bytes."""
    members = {
        "version": VERSION,
        "id": review.id,
        "region": review.region,
        "signature_id": review.signature_id,
        "at": rfc3339(review.at),
        "who": review.who,
        "verdict": review.verdict.value,
        "note": review.note,
    }
    return f"{json.dumps(members, ensure_ascii=False, separators=(',', ':'))}\n".encode()


def load_review(raw: bytes, number: int) -> Review:
    """Parse a review. Raises ``ValueError``, which quotes nothing."""
    if len(raw) > _MAX_BYTES:
        raise ValueError("it is too long")
    try:
        members: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(members, dict) or members.get("version") != VERSION:
        raise ValueError("it is not of version 1")
    id_ = _text(members, "id", 32)
    if not _ID.fullmatch(id_):
        raise ValueError("id is not an id")
    verdict = _text(members, "verdict", 32)
    if verdict not in tuple(ReviewVerdict):
        raise ValueError("verdict is unknown")
    if not all(_text(members, name, LONGEST_NOTE).isprintable() for name in ("who", "note")):
        raise ValueError("it has characters that cannot be shown")
    return Review(
        id_,
        _text(members, "region", 32),
        _text(members, "signature_id", 64),
        moment(members.get("at"), "at"),
        _text(members, "who", _LONGEST_NAME),
        ReviewVerdict(verdict),
        _text(members, "note", LONGEST_NOTE),
        number,
    )


def _text(members: dict[str, Any], name: str, longest: int) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"{name} is not a text of at most {longest} characters")
    return value
