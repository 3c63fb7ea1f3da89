"""The kinds of linked objects, and what their first bytes say. Nothing is unpacked or decoded."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """What may lie behind a link. The value is the reason with which anything else is refused."""

    IMAGE = "NOT_AN_IMAGE"
    ARCHIVE = "NOT_AN_ARCHIVE"
    VIDEO = "NOT_A_VIDEO"
    #: An image or a PDF.
    DOCUMENT = "NOT_A_DOCUMENT"


_IMAGES: Final = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/heic": "heic",
    "image/heif": "heif",
}

#: The extension of a file by its media type, for each kind.
EXTENSIONS: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.IMAGE: _IMAGES,
    Kind.ARCHIVE: {"application/zip": "zip"},
    Kind.VIDEO: {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm"},
    Kind.DOCUMENT: _IMAGES | {"application/pdf": "pdf"},
}

#: The extensions of all kinds.
EXTENSION: Final = {
    media_type: extension for known in EXTENSIONS.values() for media_type, extension in known.items()
}

#: The first bytes, `.` for any byte. The brands of HEIF: ISO/IEC 23008-12, annex B. Of a zip: its first entry, or the
#: end of an empty one.
_MAGIC: Final = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff", re.DOTALL),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n", re.DOTALL),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "image/heic": re.compile(rb"....ftyp(hei[cxms]|hev[cxms])", re.DOTALL),
    "image/heif": re.compile(rb"....ftyp(mif1|msf1)", re.DOTALL),
    "application/zip": re.compile(rb"PK(\x03\x04|\x05\x06)", re.DOTALL),
    "application/pdf": re.compile(rb"%PDF-", re.DOTALL),
    "video/mp4": re.compile(rb"....ftyp(iso[m2-9]|mp4[12]|avc1|M4V |MSNV|dash|3gp[4-9])", re.DOTALL),
    "video/quicktime": re.compile(rb"....ftypqt  ", re.DOTALL),
    "video/webm": re.compile(rb"\x1aE\xdf\xa3", re.DOTALL),
}


def sniff(body: bytes, kind: Kind = Kind.IMAGE) -> str | None:
    """The media type that the first bytes name. None: none of this kind."""
    return next((media_type for media_type in EXTENSIONS[kind] if _MAGIC[media_type].match(body)), None)
