"""The fields of the hash `v:<id>`, in which the ledger keeps a verification.

Python uses these names. The scripts use `Field.NAME`, which ``worker.ledger.scripts`` replaces by the letter. Stored
names are one letter long to save memory, because each waiting verification has them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Field(StrEnum):
    """A field of a verification's hash: its stored name and what it means."""

    #: The stored name, as Redis returns it.
    key: bytes
    meaning: str

    def __new__(cls, letter: str, meaning: str) -> Self:
        field = str.__new__(cls, letter)
        field._value_ = letter
        field.key = letter.encode()
        field.meaning = meaning
        return field

    STAGE = "s", "stage"
    ENQUEUED_AT = "e", "when it was enqueued"
    CALL = "h", "call of the client that enqueued it"
    PIPELINE = "P", "the pipeline that it belongs to; missing: the default one"
    CONTEXT = "x", "context; removed at the end"
    HOLDER = "b", "who holds it: `batch`, once loaded `batch/stage/worker`"
    STARTS = "c", "starts without an outcome"
    POLLS = "p", "answers of the vendor"
    NULLS = "n", "null answers in a row"
    FAULTS = "f", "faults in a row for the same cause"
    FAULT_CAUSE = "a", "that cause"
    VENDOR_FAULTS = "F", "answers of the vendor that were faults, of any cause"
    LATE_FAULTS = "l", "faults since the deadline, of any cause"
    LOSSES = "t", "times that its stored answer was missing from the evidence store"
    SUBMITTED = "u", "1 once the user's side is done"
    NUDGED = "v", "1 if it was nudged while it was being polled"
    TRANSACTION_ID = "i", "`transactionId` of the newest answer"
    OVERALL_RESULT = "o", "`overallResult`"
    ERROR_CODE = "r", "`errorCode`"
    REASON = "w", "why there is no result, or what contradicts it"
    FACTS = "j", "further facts of the answer that a decision table reads, as JSON"
    OUTCOME_SEAL = "O", "MAC of result, code, reason and facts"
    SETTLED_AT = "z", "when it was settled"
    EVIDENCE = "k", "state of the evidence: `complete`, `incomplete` or `pending`"
    DECISION_NAME = "y", "name of the decision"
    DECISION = "d", "the decision as it is delivered"
    DECISION_SEAL = "E", "MAC of the decision"
    DECISION_SIGNATURE = "G", "signature of the decision by ed25519, where the fleet has a signing key"
    QUARANTINE_REASON = "q", "reason of the quarantine"
    QUARANTINED_FROM = "g", "stage before the quarantine"
    RETRIED_AT = "m", "when a person retried it"
    DELIVERIES = "D", "endpoints that have not acknowledged the decision yet"
    ERASED_AT = "X", "when it was erased: of an erased verification this is all there is"
