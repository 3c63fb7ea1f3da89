"""The vendor's field for the link of an image: a link to clean up, or the image itself."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

#: `data:image/jpeg;base64`; some senders omit `data:`, or everything except `base64`.
_LABEL: Final = re.compile(r"(data:)?[\w.+/;=-]*", re.IGNORECASE | re.ASCII)

#: The longest label, so that no regular expression runs over a whole image.
_MAX_LABEL: Final = 1000

#: A percent sign that begins no byte.
_STRAY: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")

_LINE_BREAKS: Final = str.maketrans("", "", "\r\n")
_WHITE_SPACE: Final = str.maketrans("", "", " \t\r\n\f\v")
_STANDARD_ALPHABET: Final = str.maketrans("-_", "+/")

#: Fewer characters cannot be an image of a camera. Such a text is a broken link.
_SHORTEST: Final = 64


def tidied(link: str) -> str | None:
    """Return a link without line breaks and surrounding white space; None for a suspicious link.

    Characters that only need encoding, such as a space or a letter outside of ASCII, are left to the HTTP client.
    """
    text = link.strip(" \t\r\n").translate(_LINE_BREAKS)
    authority = text.partition("://")[2].partition("/")[0]
    suspicious = not text.isprintable() or "\\" in text or " " in authority
    return None if suspicious or not text else text


def inline(text: str) -> bytes | None:
    """Return the bytes of a `data:` URL or of Base64; None for a link.

    Base64 may contain white space, use either alphabet, and omit the padding. Invalid Base64, and an invalid
    percent-encoding, give no bytes.
    """
    text = text.lstrip()
    before, comma, _ = text[:_MAX_LABEL].partition(",")
    label = _LABEL.fullmatch(before) if comma else None
    is_base64 = label is not None and before.lower().endswith("base64")
    if label and (label[1] or is_base64):
        try:
            payload = _unquoted(text[len(before) + 1 :].encode())
        except UnicodeEncodeError:  # half of a surrogate pair
            return b""
        return _decoded(payload.decode("latin-1")) if is_base64 else payload
    if len(text) < _SHORTEST or ":" in text or "." in text:
        return None
    return _decoded(text) or None


def _unquoted(raw: bytes) -> bytes:
    """Decode percent-encoded bytes; no bytes if a percent sign begins none.

    `unquote_to_bytes` takes seventy times the memory of a text of many percent signs, and blocks the event loop for as
    long. Quoted-printable is the same with another sign, and is decoded in C.
    """
    if _STRAY.search(raw):
        return b""
    return binascii.a2b_qp(raw.replace(b"=", b"=3D").replace(b"%", b"="))


def _decoded(text: str) -> bytes:
    digits = text.translate(_WHITE_SPACE).rstrip("=").translate(_STANDARD_ALPHABET)
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return b""
