"""What stands where the link of an image should: a link to be tidied up, or the image itself."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import unquote_to_bytes

#: `data:image/jpeg;base64`; some senders leave out `data:`, or all but `base64`.
_LABEL: Final = re.compile(r"(data:)?[\w.+/;=-]*", re.IGNORECASE | re.ASCII)

#: The longest label there is, so that no expression runs over a whole image.
_MAX_LABEL: Final = 1000

_LINE_BREAKS: Final = str.maketrans("", "", "\r\n")
_WHITE_SPACE: Final = str.maketrans("", "", " \t\r\n\f\v")
_STANDARD_ALPHABET: Final = str.maketrans("-_", "+/")

#: Fewer characters hold no image that a camera made. Such a text is a broken link.
_SHORTEST: Final = 64


def tidied(link: str) -> str | None:
    """A link without white space around it and line breaks within; None for one that is suspicious.

    What is merely not encoded, such as a space or a letter beyond ASCII, is left for the HTTP client to encode.
    """
    text = link.strip(" \t\r\n").translate(_LINE_BREAKS)
    authority = text.partition("://")[2].partition("/")[0]
    suspicious = not text.isprintable() or "\\" in text or " " in authority
    return None if suspicious or not text else text


def inline(text: str) -> bytes | None:
    """The bytes that a `data:` URL or Base64 stands for; None for what is a link.

    Base64 may have any white space in it, either alphabet, and no padding. Bytes that are no Base64 are empty.
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
