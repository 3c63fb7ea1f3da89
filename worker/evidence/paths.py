"""Where the evidence of a verification lies: `<region>/<signature id>/<file>` under the evidence URL."""

from __future__ import annotations

import re
from typing import Final

from worker.enqueue_request import REGIONS, SIGNATURE_ID
from worker.errors import InvalidInput

#: The vendor's answer, byte for byte.
ANSWER: Final = "answer.json"

#: What was kept and what was not; its being there says that archiving is over.
MANIFEST: Final = "manifest.json"

#: The sides of a document, in the order they are fetched.
SIDES: Final = ("front", "back")

#: The ending of an image's name by what its bytes are.
EXTENSIONS: Final = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/heic": "heic",
    "image/heif": "heif",
}

#: Every name that is evidence. Whatever else lies in the folder is what a killed process left there.
FILE_NAME: Final = re.compile(
    rf"answer\.json|manifest\.json|({'|'.join(SIDES)})\.({'|'.join(EXTENSIONS.values())})|unreadable-[0-9a-f]{{16}}\.bin"
)


def folder(region: str, signature_id: str) -> str:
    """The folder of a verification, relative to the evidence URL.

    Raises ``InvalidInput`` for a region or an id that our borders would have refused: nothing gets near a
    file name because somebody forgot to check it earlier.
    """
    if region not in REGIONS:
        raise InvalidInput(f"evidence: unknown region, use one of {', '.join(REGIONS)}")
    if not SIGNATURE_ID.fullmatch(signature_id):
        raise InvalidInput("evidence: a signature id is 1 to 64 of letters, digits, - and _")
    return f"{region}/{signature_id}"


def ledger(region: str, number: int) -> str:
    """The path of the identity of a region's first ledger, its second, …"""
    if region not in REGIONS:
        raise InvalidInput(f"evidence: unknown region, use one of {', '.join(REGIONS)}")
    return f"ledger/{region}/{number:06}"


def file_name(name: str) -> str:
    """`name`, if evidence has a file of this name. Raises ``InvalidInput`` otherwise."""
    if not FILE_NAME.fullmatch(name):
        raise InvalidInput("evidence: this is no name of an evidence file")
    return name
