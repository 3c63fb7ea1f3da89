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

#: The names of a role's file, such as `front.jpg`, `audit.zip`.
_OF_ROLES: Final = "|".join(
    rf"{role}\.({'|'.join(EXTENSIONS[kind].values())})" for role, kind in ROLES.items()
)

#: All names of evidence files. Other files in the folder are left over from a killed process.
FILE_NAME: Final = re.compile(rf"answer\.json|manifest\.json|{_OF_ROLES}|unreadable-[0-9a-f]{{16}}\.bin")


def folder(region: str, signature_id: str) -> str:
    """Return the folder of a verification, relative to the evidence URL.

    Raises ``InvalidInput`` for an invalid region or id. Input is checked at our borders already; this is the second
    check, before it becomes a file name.
    """
    if region not in REGIONS:
        raise InvalidInput(f"evidence: unknown region, use one of {', '.join(REGIONS)}")
    if not SIGNATURE_ID.fullmatch(signature_id):
        raise InvalidInput("evidence: a signature id is 1 to 64 of letters, digits, - and _")
    return f"{region}/{signature_id}"


def ledger(region: str, number: int) -> str:
    """Return the path of the identity of a region's first ledger, its second, …"""
    if region not in REGIONS:
        raise InvalidInput(f"evidence: unknown region, use one of {', '.join(REGIONS)}")
    return f"ledger/{region}/{number:06}"


def file_name(name: str) -> str:
    """Return `name` if it is a name of evidence. Raises ``InvalidInput`` otherwise."""
    if not FILE_NAME.fullmatch(name):
        raise InvalidInput("evidence: this is not the name of an evidence file")
    return name
