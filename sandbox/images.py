"""The images of the links: small real JPEGs, each with different bytes, and faulty versions of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox import answers, pictures
from sandbox.documents import PERSON
from sandbox.reply import Manner, Reply
from sandbox.scenario import Kind

if TYPE_CHECKING:
    from sandbox.scenario import Fault

JPEG: Final = "image/jpeg"

#: More than the 20 MB that a client should accept for an image.
OVERSIZED_BYTES: Final = 24 * 1024 * 1024

_PICTURES: Final = {"front": pictures.FRONT, "back": pictures.BACK}


def picture(signature_id: str, side: str) -> bytes:
    """Return a valid JPEG of 2 to 3 kB. A comment in it names the id, so that no two images have the same hash."""
    return _commented(_PICTURES[side], f"{PERSON} {signature_id} {side}".encode())


def reply(signature_id: str, side: str, fault: Fault | None, location: str) -> Reply:
    """Return the answer to a GET. `location` is the target of a redirect."""
    body = picture(signature_id, side)
    if fault is None:
        return Reply("image", body, media_type=JPEG)
    match fault.kind:
        case Kind.NOT_IMAGE:
            page = answers.page(200, "Not an image", name=fault.kind)
            return Reply(fault.kind, page.body, media_type=JPEG)
        case Kind.OVERSIZED:
            return Reply(
                fault.kind, body, media_type=JPEG, manner=Manner.PADDED, padding_bytes=OVERSIZED_BYTES
            )
        case Kind.REDIRECT:
            return answers.page(302, "Found", name=fault.kind, headers=(("Location", location),))
        case _:
            return answers.fault(fault, body)


def _commented(jpeg: bytes, comment: bytes) -> bytes:
    # After the first segment: JFIF requires that one directly after the start of the image.
    at = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:at] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[at:]
