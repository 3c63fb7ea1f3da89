"""The paths of evidence: `<region>/<signature id>/<file>` under the evidence URL."""

from __future__ import annotations

import re
from typing import Final

from schemas.address import ADDRESS_ROLES
from worker.enqueue_request import REGIONS, SIGNATURE_ID
from worker.errors import InvalidInput
from worker.evidence.media import EXTENSIONS, Kind

#: The vendor's answer, byte for byte.
ANSWER: Final = "answer.json"

#: The list of stored and missing files. Once it exists, archiving has ended.
MANIFEST: Final = "manifest.json"

#: The decision, stored before the ledger fixes it.
DECISION: Final = "decision.json"

#: The wrapped key of the other files, or the tombstone of an erasure. EKYC_EVIDENCE_KEYS_URL may name another place.
KEY: Final = "key.json"

#: The marks of retention: when the clock of a closed verification starts, and a legal hold.
CLOSED: Final = "closed.json"
HOLD: Final = "hold.json"

#: What an erasure began with, and the signed certificate of its end.
PLAN: Final = "erasure.json"
CERTIFICATE: Final = "certificate.txt"

#: Files that say nothing about whether a verification has evidence. They are never encrypted.
MARKS: Final = frozenset({CLOSED, HOLD, PLAN, CERTIFICATE})

#: Files that no manifest lists, besides reviews: see `is_unlisted`.
UNLISTED: Final = frozenset({MANIFEST, DECISION, KEY}) | MARKS

#: What reviewers noted about the decision, numbered from 1.
_REVIEW: Final = re.compile(r"review-([0-9]{3})\.json")

#: The role of each linked object, and its kind, in the order in which they are fetched.
ROLES: Final = {
    "front": Kind.IMAGE,
    "back": Kind.IMAGE,
    "face": Kind.IMAGE,
    "face_far": Kind.IMAGE,
    "face_near": Kind.IMAGE,
    "silent": Kind.IMAGE,
    "audit": Kind.ARCHIVE,
    "video": Kind.VIDEO,
} | dict.fromkeys(ADDRESS_ROLES, Kind.DOCUMENT)

_TABLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")

#: The names of a role's file, such as `front.jpg`, `audit.zip`.
_OF_ROLES: Final = "|".join(
    rf"{role}\.({'|'.join(EXTENSIONS[kind].values())})" for role, kind in ROLES.items()
)

#: All names of evidence files. Other files in the folder are left over from a killed process.
FILE_NAME: Final = re.compile(
    rf"(?:answer|manifest|decision|key|closed|hold|erasure)\.json|{_REVIEW.pattern}|certificate\.txt|{_OF_ROLES}"
    r"|unreadable-[0-9a-f]{16}\.bin"
)


def folder(region: str, signature_id: str) -> str:
    """Return the folder of a verification, relative to the evidence URL.

    Raises ``InvalidInput`` for an invalid region or id. Input is checked at our borders already; this is the second
    check, before it becomes a file name.
    """
    region_folder(region)
    if not SIGNATURE_ID.fullmatch(signature_id):
        raise InvalidInput("evidence: a signature id is 1 to 64 of letters, digits, - and _")
    return f"{region}/{signature_id}"


def region_folder(region: str) -> str:
    """Return the folder of a region's verifications. Raises ``InvalidInput`` for an unknown region."""
    if region not in REGIONS:
        raise InvalidInput(f"evidence: unknown region, use one of {', '.join(REGIONS)}")
    return region


def ledger(region: str, number: int) -> str:
    """Return the path of the identity of a region's first ledger, its second, …"""
    return f"ledger/{region_folder(region)}/{number:06}"


#: The identity of the place of the keys, and its note beside the evidence.
KEYS_IDENTITY: Final = "keys/place/identity"
KEYS_PLACE: Final = "keys/place/noted"


def table(version: str) -> str | None:
    """Return the path of a decision table; None: its version is no name of a file."""
    return f"tables/{version}.toml" if _TABLE.fullmatch(version) else None


def key_check(key_id: str) -> str:
    """Return the path of the check value of a named key."""
    return f"keys/check/{key_id}"


def review(number: int) -> str:
    """Return the name of a verification's first review, its second, …"""
    return f"review-{number:03}.json"


def review_number(name: str) -> int | None:
    """Return the number of a review by the name of its file; None: the file is no review."""
    found = _REVIEW.fullmatch(name)
    return int(found[1]) if found else None


def is_unlisted(name: str) -> bool:
    """Whether no manifest lists a file of this name."""
    return name in UNLISTED or review_number(name) is not None


def file_name(name: str) -> str:
    """Return `name` if it is a name of evidence. Raises ``InvalidInput`` otherwise."""
    if not FILE_NAME.fullmatch(name):
        raise InvalidInput("evidence: this is not the name of an evidence file")
    return name
