"""The vendor's field for the link of an image: a link to clean up, or the image itself."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import unquote_to_bytes

#: `data:image/jpeg;base64`; some senders omit `data:`, or everything except `base64`.
_LABEL: Final = re.compile(r"(data:)?[\w.+/;=-]*", re.IGNORECASE | re.ASCII)

#: The longest label, so that no regular expression runs over a whole image.
_MAX_LABEL: Final = 1000

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

    Base64 may contain white space, use either alphabet, and omit the padding. Invalid Base64 gives no bytes.
    """
    text = text.lstrip()
    before, comma, _ = text[:_MAX_LABEL].partition(",")
    label = _LABEL.fullmatch(before) if comma else None
    is_base64 = label is not None and before.lower().endswith("base64")
    if label and (label[1] or is_base64):
        try:
            payload = unquote_to_bytes(text[len(before) + 1 :])
        except UnicodeEncodeError:  # half of a surrogate pair
            return b""
        return _decoded(payload.decode("latin-1")) if is_base64 else payload
    if len(text) < _SHORTEST or ":" in text or "." in text:
        return None
    return _decoded(text) or None


def _decoded(text: str) -> bytes:
    digits = text.translate(_WHITE_SPACE).rstrip("=").translate(_STANDARD_ALPHABET)
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return b""
