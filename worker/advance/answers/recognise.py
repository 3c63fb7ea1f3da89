"""Whether a body that is no readable answer is one all the same: about the id that was asked, or at least the vendor's.

Pure, and linear in the length of the body: every repetition in the expressions is bounded.
"""

from __future__ import annotations

import re
from typing import Final

#: How much of a body is looked at: an answer names its id at its beginning, and all of 2 MiB take 50 ms.
_BEGINNING: Final = 256 * 1024

#: What may stand around a name and its value: quotes of either kind, or escaped ones; white space; the colon.
_QUOTE: Final = rb"\\{0,2}[\"']?"
_IS: Final = _QUOTE + rb"\s{0,64}:\s{0,64}" + _QUOTE

#: An error page that quotes our request has the id, but none of these.
_OF_THE_VENDOR: Final = re.compile(
    rb"\bcode" + _IS + rb"success\b|\b(?:overallResult|submissionCompleted|idvResult|docDetail)" + _IS,
    re.IGNORECASE,
)
_SUCCESS: Final = re.compile(rb"\bcode" + _IS + rb"success\b", re.IGNORECASE)
_RESULT: Final = re.compile(rb"\boverallResult" + _IS, re.IGNORECASE)
_ID: Final = re.compile(rb"\bsignatureId" + _IS + rb"([\w-]{1,64})(?![\w-])", re.IGNORECASE)


def is_about(body: bytes, signature_id: str) -> bool:
    """Whether a body has words of a result and names `signature_id`, however malformed it is."""
    text = _words(body)
    asked = signature_id.encode()
    return _OF_THE_VENDOR.search(text) is not None and any(found[1] == asked for found in _ID.finditer(text))


def is_of_the_vendor(body: bytes) -> bool:
    """Whether a body that names no id has the words of a result: the vendor answered, and no gateway."""
    text = _words(body)
    return _SUCCESS.search(text) is not None and _RESULT.search(text) is not None


def _words(body: bytes) -> bytes:
    # All these words are ASCII: in UTF-16 and UTF-32 each letter has zeros beside it.
    return body[:_BEGINNING].replace(b"\0", b"")
