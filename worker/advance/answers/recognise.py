"""Recognises malformed answers: whether a body is about the requested id, or at least from the vendor.

Pure, and linear in the length of the body: every repetition in the expressions is bounded.
"""

from __future__ import annotations

import re
from typing import Final

#: Bytes of a body that are searched. An answer has its id at its beginning, and a search of 2 MiB takes 50 ms.
_BEGINNING: Final = 256 * 1024

#: Around a name and its value: quotes of either kind, or escaped ones; white space; the colon.
_QUOTE: Final = rb"\\{0,2}[\"']?"
_IS: Final = _QUOTE + rb"\s{0,64}:\s{0,64}" + _QUOTE

#: An error page that quotes our request has the id, but none of these words.
_OF_THE_VENDOR: Final = re.compile(
    rb"\bcode" + _IS + rb"success\b|\b(?:overallResult|submissionCompleted|idvResult|docDetail)" + _IS,
    re.IGNORECASE,
)
_SUCCESS: Final = re.compile(rb"\bcode" + _IS + rb"success\b", re.IGNORECASE)
_RESULT: Final = re.compile(rb"\boverallResult" + _IS, re.IGNORECASE)
_ID: Final = re.compile(rb"\bsignatureId" + _IS + rb"([\w-]{1,64})(?![\w-])", re.IGNORECASE)


def is_about(body: bytes, signature_id: str) -> bool:
    """Return whether a body has words of a result and names `signature_id`. It may be malformed in any way."""
    text = _words(body)
    asked = signature_id.encode()
    return _OF_THE_VENDOR.search(text) is not None and any(found[1] == asked for found in _ID.finditer(text))


def is_of_the_vendor(body: bytes) -> bool:
    """Return whether a body without an id has the words of a result: the vendor answered, not a gateway."""
    text = _words(body)
    return _SUCCESS.search(text) is not None and _RESULT.search(text) is not None


def _words(body: bytes) -> bytes:
    # All these words are ASCII: in UTF-16 and UTF-32 each letter has zeros beside it.
    return body[:_BEGINNING].replace(b"\0", b"")
