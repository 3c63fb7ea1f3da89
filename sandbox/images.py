"""The objects of the links: small JPEGs, a zip of two, an MP4 without frames; and faulty versions of them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile, ZipInfo

from sandbox import answers, pictures
from sandbox.documents import PERSON
from sandbox.reply import Manner, Reply
from sandbox.scenario import Kind

if TYPE_CHECKING:
    from sandbox.scenario import Fault

JPEG: Final = "image/jpeg"

#: More than the 20 MB that a client should accept for an image.
OVERSIZED_BYTES: Final = 24 * 1024 * 1024

_PICTURES: Final = {"back": pictures.BACK}

_MEDIA_TYPES: Final = {"audit": "application/zip", "video": "video/mp4"}


def picture(signature_id: str, role: str) -> bytes:
    """Return a valid JPEG of 2 to 3 kB. A comment in it names the id, so that no two images have the same hash."""
    return _commented(_PICTURES.get(role, pictures.FRONT), _comment(signature_id, role))


def archive(signature_id: str, role: str) -> bytes:
    """Return a zip of two pictures, uncompressed, so that a search finds their comments."""
    body = BytesIO()
    with ZipFile(body, "w") as files:
        for number in (1, 2):
            files.writestr(ZipInfo(f"{number}.jpg"), picture(signature_id, f"{role} {number}"))
    return body.getvalue()


def video(signature_id: str, role: str) -> bytes:
    """Return an MP4 without frames, with a comment in its free space."""
    brands = _box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
    return brands + _box(b"free", _comment(signature_id, role)) + _box(b"mdat")


def content(signature_id: str, role: str) -> bytes:
    """Return the object of a role."""
    return _MAKERS.get(role, picture)(signature_id, role)


_MAKERS: Final = {"audit": archive, "video": video}


def reply(signature_id: str, role: str, fault: Fault | None, location: str) -> Reply:
    """Return the answer to a GET. `location` is the target of a redirect."""
    body, media_type = content(signature_id, role), _MEDIA_TYPES.get(role, JPEG)
    if fault is None:
        return Reply("image", body, media_type=media_type)
    match fault.kind:
        case Kind.NOT_IMAGE:
            page = answers.page(200, "Not an image", name=fault.kind)
            return Reply(fault.kind, page.body, media_type=media_type)
        case Kind.OVERSIZED:
            return Reply(
                fault.kind, body, media_type=media_type, manner=Manner.PADDED, padding_bytes=OVERSIZED_BYTES
            )
        case Kind.REDIRECT:
            return answers.page(302, "Found", name=fault.kind, headers=(("Location", location),))
        case _:
            return answers.fault(fault, body)


def _comment(signature_id: str, role: str) -> bytes:
    return f"{PERSON} {signature_id} {role}".encode()


def _box(name: bytes, body: bytes = b"") -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + name + body


def _commented(jpeg: bytes, comment: bytes) -> bytes:
    # After the first segment: JFIF requires that one directly after the start of the image.
    at = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:at] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[at:]
