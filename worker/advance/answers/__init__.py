"""The possible answers of the vendor, and how an HTTP exchange becomes one of them."""

from __future__ import annotations

from worker.advance.answers.classify import classify, classify_token, read_again
from worker.advance.answers.values import (
    AccountFault,
    Answer,
    Busy,
    OursToFix,
    Pending,
    Settled,
    TokenFault,
    TransientFault,
    Unauthorised,
    UnknownCode,
    UnknownId,
    Unreadable,
)

__all__ = [
    "AccountFault",
    "Answer",
    "Busy",
    "OursToFix",
    "Pending",
    "Settled",
    "TokenFault",
    "TransientFault",
    "Unauthorised",
    "UnknownCode",
    "UnknownId",
    "Unreadable",
    "classify",
    "classify_token",
    "read_again",
]
