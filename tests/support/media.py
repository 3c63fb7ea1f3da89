"""The first bytes of archives, videos and documents, and some more bytes."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZipFile


def _zip() -> bytes:
    body = BytesIO()
    with ZipFile(body, "w") as files:
        files.writestr("1.jpg", bytes(range(256)) * 8)
    return body.getvalue()


ZIP = _zip()
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(range(256)) * 8
QUICKTIME = b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00" + bytes(256)
WEBM = b"\x1aE\xdf\xa3" + bytes(256)
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 8
