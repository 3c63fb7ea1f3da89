"""Converts an HTTP exchange to an answer, without I/O. No other module does this.

The `code` decides, never the `message`, because messages change without notice. A response without an envelope
(a gateway's page, half a body, no body) is a transient fault. A success of the vendor that cannot be read safely
is unreadable. So is a malformed answer that names the requested id: it is about this verification, and no sign
that the vendor is down.
"""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from schemas.envelope import Envelope, load_envelope
from schemas.errors import SchemaError
from schemas.result import load_decidable
from schemas.token import Token, load_token
from worker.advance.answers.recognise import is_about, is_of_the_vendor
from worker.advance.answers.values import (
    AccountFault,
    Answer,
    Busy,
    Cleared,
    Clearing,
    NotCleared,
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
from worker.advance.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUCCESS: Final = "SUCCESS"
_BUSY: Final = frozenset({"SERVICE_BUSY", "RETRY_LATER"})
_OURS_TO_FIX: Final = frozenset({"PARAMETER_ERROR", "EMPTY_PARAMETER_ERROR", "CLIENT_ERROR"})
_NOT_CLEARED: Final = frozenset({"PARAMETER_ERROR", "EMPTY_PARAMETER_ERROR", "SIGNATURE_NOT_EXIST"})
_SAYS_ALL: Final[Mapping[str, type[TransientFault | Unauthorised | AccountFault]]] = {
    "ERROR": TransientFault,
    "IAM_FAILED": Unauthorised,
    "ACCESS_DENIED": Unauthorised,
    "OVER_QUERY_LIMIT": AccountFault,
    "INSUFFICIENT_BALANCE": AccountFault,
    "ACCOUNT_DISABLED": AccountFault,
    "SERVICE_DISABLED": AccountFault,
}

_PLAIN_CODE: Final = re.compile(r"[A-Z0-9_]{1,64}")


def classify(exchange: Exchange, *, signature_id: str, now: float) -> Answer:
    """Return the answer of Get Result about `signature_id`. `now` is in epoch seconds, for `Retry-After`."""
    envelope = _open(exchange, now)
    if isinstance(envelope, TransientFault):
        return _malformed(envelope, exchange, signature_id)
    if not isinstance(envelope, Envelope):
        return envelope
    if envelope.code == _SUCCESS:
        return _result(envelope, exchange, signature_id)
    answer = _by_code(envelope, exchange, now)
    if isinstance(answer, UnknownCode) and _is_misspelt_success(envelope, exchange, signature_id):
        return Unreadable("code: must be SUCCESS", exchange.body, transaction_id=envelope.transaction_id)
    return answer


def read_again(raw: bytes, *, signature_id: str) -> Answer:
    """Return the answer of a stored body about `signature_id`, as on its arrival."""
    return classify(Exchange(HTTPStatus.OK, body=raw), signature_id=signature_id, now=0.0)


def classify_token(exchange: Exchange, *, now: float) -> Token | TokenFault:
    """Return the token or the fault in an answer of generate-token.

    A refusal here concerns our keys, not a verification. So an answer that would quarantine a verification if
    Get Result gave it is an account fault or a transient fault.
    """
    answer = _open(exchange, now)
    if isinstance(answer, Envelope) and answer.code == _SUCCESS:
        try:
            return load_token(answer.data)
        except SchemaError:
            return TransientFault("TOKEN_UNREADABLE", transaction_id=answer.transaction_id)
    if isinstance(answer, Envelope):
        answer = _by_code(answer, exchange, now)
    match answer:
        case Busy() | AccountFault() | TransientFault():
            return answer
        case Unauthorised(code) | OursToFix(code) | UnknownCode(code):
            # For a result the same codes mean something else.
            return AccountFault(f"TOKEN_{code}", transaction_id=answer.transaction_id)
        case Unreadable(cause):
            return TransientFault(cause, transaction_id=answer.transaction_id)
    return AccountFault(f"TOKEN_{answer.kind.upper()}", transaction_id=answer.transaction_id)


def classify_clearing(exchange: Exchange, *, now: float) -> Clearing:
    """Return what became of a request to delete a verification's data.

    Only a refusal of the id is final. Whatever is not understood is a fault, as if nothing was deleted.
    """
    answer = _open(exchange, now)
    if isinstance(answer, Envelope):
        if answer.code == _SUCCESS:
            return Cleared(transaction_id=answer.transaction_id)
        if answer.code in _NOT_CLEARED:
            return NotCleared(answer.code, transaction_id=answer.transaction_id)
        answer = _by_code(answer, exchange, now)
    match answer:
        case Busy() | AccountFault() | TransientFault() | Unauthorised():
            return answer
    # Such as REQUEST_IN_PROCESSING.
    return TransientFault(answer.detail or answer.kind.upper(), transaction_id=answer.transaction_id)


def _open(exchange: Exchange, now: float) -> Envelope | Answer:
    """Return the envelope, or the answer that a response without a reliable envelope means."""
    status = exchange.status
    if exchange.fault == "BODY_TOO_LARGE" and status == HTTPStatus.OK:
        return Unreadable(exchange.fault, b"")
    if exchange.fault:
        return _by_status(exchange, now) or TransientFault(exchange.fault)
    if 300 <= status < 400:  # noqa: PLR2004 - this API has no redirects
        return TransientFault(f"HTTP_{status}")
    try:
        envelope = load_envelope(exchange.body)
    except SchemaError as error:
        return _by_status(exchange, now) or TransientFault(_no_envelope(exchange, error))
    if envelope.code == _SUCCESS and status != HTTPStatus.OK:
        return TransientFault(f"SUCCESS_WITH_HTTP_{status}", transaction_id=envelope.transaction_id)
    return envelope


def _result(envelope: Envelope, exchange: Exchange, signature_id: str) -> Answer:
    transaction_id = envelope.transaction_id
    try:
        result = load_decidable(envelope.data, signature_id=signature_id)
    except SchemaError as error:
        return Unreadable(str(error), exchange.body, transaction_id=transaction_id)
    if result.settled:
        return Settled(result, exchange.body, transaction_id=transaction_id)
    return Pending(result.submission_completed, transaction_id=transaction_id)


def _is_misspelt_success(envelope: Envelope, exchange: Exchange, signature_id: str) -> bool:
    return envelope.code.strip().upper() == _SUCCESS and is_about(exchange.body, signature_id)


def _malformed(fault: TransientFault, exchange: Exchange, signature_id: str) -> Answer:
    """Return the answer of a body without an envelope, given the requested id.

    The body counts only with a status of success. Any other status means a failure, whatever the body is.
    """
    if not 200 <= exchange.status < 300:  # noqa: PLR2004 - what HTTP calls successful
        return fault
    if exchange.fault:
        # The next body may be complete, and the vendor does answer.
        return replace(fault, vendor_answers=is_about(exchange.body, signature_id))
    if is_about(exchange.body, signature_id):
        return Unreadable(
            _why(exchange.body) or fault.cause, exchange.body, transaction_id=fault.transaction_id
        )
    return replace(fault, vendor_answers=is_of_the_vendor(exchange.body))


def _why(body: bytes) -> str:
    """Return what is wrong with a body, in more words than the cause for counters."""
    try:
        load_envelope(body)
    except SchemaError as error:
        return str(error)
    return ""


def _by_code(envelope: Envelope, exchange: Exchange, now: float) -> Answer:
    """Return the answer of a code other than SUCCESS. A known code counts, whatever the HTTP status."""
    code, transaction_id = envelope.code, envelope.transaction_id
    if code == "SIGNATURE_NOT_EXIST":
        return UnknownId(exchange.body, transaction_id=transaction_id)
    if code in _BUSY:
        return Busy(exchange.retry_after_s(now), transaction_id=transaction_id)
    if code in _OURS_TO_FIX:
        return OursToFix(code, exchange.body, transaction_id=transaction_id)
    if code in _SAYS_ALL:
        return _SAYS_ALL[code](code, transaction_id=transaction_id)
    # A gateway may send JSON with codes of its own; then its status is more reliable.
    return _by_status(exchange, now) or UnknownCode(
        code if _PLAIN_CODE.fullmatch(code) else "UNPRINTABLE", transaction_id=transaction_id
    )


def _by_status(exchange: Exchange, now: float) -> Answer | None:
    """Return the answer of the status alone. None if it means nothing without a body."""
    status, retry_after_s = exchange.status, exchange.retry_after_s(now)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unauthorised(f"HTTP_{status}")
    asks_for_hold = status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after_s is not None
    if status == HTTPStatus.TOO_MANY_REQUESTS or asks_for_hold:
        return Busy(retry_after_s)
    if status == HTTPStatus.NOT_FOUND or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TransientFault(f"HTTP_{status}")
    return None


def _no_envelope(exchange: Exchange, error: SchemaError) -> str:
    if exchange.status != HTTPStatus.OK:
        return f"HTTP_{exchange.status}"
    if not exchange.body.strip():
        return "EMPTY_BODY"
    return "NO_CODE" if error.field else "NOT_JSON"
