"""How an HTTP exchange becomes an answer: the table of `worker.advance.answers`, row by row."""

from __future__ import annotations

import json
import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from schemas.result import OverallResult
from schemas.token import Token
from worker.advance import answers
from worker.advance.answers import (
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
    classify,
    classify_token,
    read_again,
)
from worker.advance.exchange import Exchange

ID = "f302f5d2454a85c2"
TID = "d3fde1547eeaf226"

#: 2024-01-01 00:00:00 UTC.
NOW = 1_704_067_200.0

PASS = {"signatureId": ID, "overallResult": "PASS", "submissionCompleted": True, "errorCode": "SUCCESS"}
NULL = {"signatureId": ID, "overallResult": None, "submissionCompleted": False}

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def envelope(code: Any, data: Any = None) -> bytes:
    return json.dumps(
        {"code": code, "message": "SUCCESS", "data": data, "extra": None, "transactionId": TID}
    ).encode()


def exchange(body: bytes = b"", status: int = 200, fault: str | None = None, **headers: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(status, CaseInsensitiveDict(named), body, fault)


def answer_to(asked: Exchange) -> Answer:
    return classify(asked, signature_id=ID, now=NOW)


# Success


@pytest.mark.parametrize("spelling", ["PASS", "FAIL", "INCOMPLETE", "fail", "Pass"])
def test_a_result_settles_with_its_raw_bytes(spelling: str) -> None:
    raw = envelope("SUCCESS", PASS | {"overallResult": spelling})
    answer = answer_to(exchange(raw))
    assert isinstance(answer, Settled)
    assert answer.result.overall_result is OverallResult(spelling.upper())
    assert answer.raw == raw
    assert answer.transaction_id == TID


def test_null_is_pending_and_tells_whether_the_user_is_done() -> None:
    for completed in (True, False):
        answer = answer_to(exchange(envelope("SUCCESS", NULL | {"submissionCompleted": completed})))
        assert answer == Pending(completed, transaction_id=TID)


UNREADABLE: dict[str, Any] = {
    "no data": None,
    "data that is no object": [PASS],
    "a text": "PASS",
    "another id": PASS | {"signatureId": "another"},
    "another id, and null": NULL | {"signatureId": "another"},
    "no id": {name: value for name, value in PASS.items() if name != "signatureId"},
    "a result nobody knows": PASS | {"overallResult": "MAYBE"},
    "a result of another type": PASS | {"overallResult": True},
    "a detail of another type": PASS | {"docDetail": "none"},
    "a detail whose result is of another type": PASS | {"docDetail": {"ocrResult": False}},
    "a face of another type": PASS | {"faceDetail": "none"},
    "a name in other letters": PASS | {"OverallResult": "FAIL"},
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_a_success_that_cannot_be_read_safely_is_unreadable(data: Any) -> None:
    raw = envelope("SUCCESS", data)
    answer = answer_to(exchange(raw))
    assert isinstance(answer, Unreadable)
    assert answer.cause.startswith("data")
    assert "another" not in answer.cause
    assert "MAYBE" not in answer.cause
    assert answer.raw == raw
    assert answer.transaction_id == TID


def test_an_answer_too_large_to_be_read_is_unreadable_and_not_kept() -> None:
    assert answer_to(exchange(fault="BODY_TOO_LARGE")) == Unreadable("BODY_TOO_LARGE", b"")


@pytest.mark.parametrize("status", [201, 202, 206])
def test_success_beside_another_status_of_success_is_unreadable(status: int) -> None:
    """It is about the id that was asked, so it says nothing against the vendor."""
    raw = envelope("SUCCESS", PASS)
    answer = answer_to(exchange(raw, status))
    assert answer == Unreadable(f"SUCCESS_WITH_HTTP_{status}", raw, transaction_id=TID)


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_success_beside_another_status_is_not_believed(status: int) -> None:
    answer = answer_to(exchange(envelope("SUCCESS", PASS), status))
    assert isinstance(answer, TransientFault)
    assert str(status) in answer.cause


# Codes

CODES: dict[str, Answer] = {
    "SIGNATURE_NOT_EXIST": UnknownId(envelope("SIGNATURE_NOT_EXIST"), transaction_id=TID),
    "ERROR": TransientFault("ERROR", transaction_id=TID),
    "IAM_FAILED": Unauthorised("IAM_FAILED", transaction_id=TID),
    "ACCESS_DENIED": Unauthorised("ACCESS_DENIED", transaction_id=TID),
    "SERVICE_BUSY": Busy(10.0, transaction_id=TID),
    "RETRY_LATER": Busy(10.0, transaction_id=TID),
    "OVER_QUERY_LIMIT": AccountFault("OVER_QUERY_LIMIT", transaction_id=TID),
    "INSUFFICIENT_BALANCE": AccountFault("INSUFFICIENT_BALANCE", transaction_id=TID),
    "ACCOUNT_DISABLED": AccountFault("ACCOUNT_DISABLED", transaction_id=TID),
    "SERVICE_DISABLED": AccountFault("SERVICE_DISABLED", transaction_id=TID),
    "PARAMETER_ERROR": OursToFix("PARAMETER_ERROR", envelope("PARAMETER_ERROR"), transaction_id=TID),
    "EMPTY_PARAMETER_ERROR": OursToFix(
        "EMPTY_PARAMETER_ERROR", envelope("EMPTY_PARAMETER_ERROR"), transaction_id=TID
    ),
    "CLIENT_ERROR": OursToFix("CLIENT_ERROR", envelope("CLIENT_ERROR"), transaction_id=TID),
}


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize(("code", "answer"), CODES.items(), ids=CODES)
def test_a_known_code_counts_whatever_the_status(code: str, answer: Answer, status: int) -> None:
    assert answer_to(exchange(envelope(code), status, Retry_After="10s")) == answer


def test_the_message_is_never_decided_on() -> None:
    """`envelope` says SUCCESS in every message."""
    assert isinstance(answer_to(exchange(envelope("ERROR", PASS))), TransientFault)


@pytest.mark.parametrize("status", [200, 400, 422])
@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("DEVICE_BANNED", "DEVICE_BANNED"),
        ("A" * 64, "A" * 64),
        ("A" * 65, "UNPRINTABLE"),
        ("success", "UNPRINTABLE"),
        ("SUCCESS ", "UNPRINTABLE"),
        ("SUCCESS\n", "UNPRINTABLE"),
        ("Juan dela Cruz is not known", "UNPRINTABLE"),
        ("", "UNPRINTABLE"),
    ],
)
def test_a_code_that_nobody_knows_is_shown_only_where_it_looks_like_one(
    code: str, shown: str, status: int
) -> None:
    assert answer_to(exchange(envelope(code), status)) == UnknownCode(shown, transaction_id=TID)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (401, Unauthorised("HTTP_401")),
        (403, Unauthorised("HTTP_403")),
        (404, TransientFault("HTTP_404")),
        (429, Busy(10.0)),
        (500, TransientFault("HTTP_500")),
        (503, Busy(10.0)),
    ],
)
def test_beside_a_code_that_nobody_knows_the_status_counts(status: int, answer: Answer) -> None:
    """A gateway's JSON: its code is not the vendor's."""
    assert answer_to(exchange(envelope("TOO_MANY_REQUESTS"), status, Retry_After="10")) == answer


# No envelope

BODIES = {
    "nothing": b"",
    "white space": b" \r\n",
    "HTML": HTML,
    "half an envelope": envelope("SUCCESS", PASS)[:20],
    "JSON without a code": b'{"message": "Internal server error"}',
    "a code that is a number": b'{"code": 200, "data": null}',
    "an array": b"[]",
    "null": b"null",
    "not UTF-8": b'{"code": "\xff"}',
    "nested too deep": b'{"code": "SUCCESS", "data": ' + b"[" * 100_000,
}

CAUSES = {
    "nothing": "EMPTY_BODY",
    "white space": "EMPTY_BODY",
    "HTML": "NOT_JSON",
    "half an envelope": "NOT_JSON",
    "JSON without a code": "NO_CODE",
    "a code that is a number": "NO_CODE",
}

STATUSES: dict[int, Answer] = {
    204: TransientFault("HTTP_204"),
    301: TransientFault("HTTP_301"),
    302: TransientFault("HTTP_302"),
    307: TransientFault("HTTP_307"),
    400: TransientFault("HTTP_400"),
    401: Unauthorised("HTTP_401"),
    403: Unauthorised("HTTP_403"),
    404: TransientFault("HTTP_404"),
    408: TransientFault("HTTP_408"),
    413: TransientFault("HTTP_413"),
    429: Busy(None),
    500: TransientFault("HTTP_500"),
    502: TransientFault("HTTP_502"),
    503: TransientFault("HTTP_503"),
    504: TransientFault("HTTP_504"),
    599: TransientFault("HTTP_599"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("status", "answer"), STATUSES.items())
def test_without_an_envelope_the_status_counts(status: int, answer: Answer, body: bytes) -> None:
    assert answer_to(exchange(body, status)) == answer


@pytest.mark.parametrize(("name", "body"), BODIES.items(), ids=BODIES)
def test_status_200_without_an_envelope_is_a_fault_that_passes(name: str, body: bytes) -> None:
    assert answer_to(exchange(body)) == TransientFault(CAUSES.get(name, "NOT_JSON"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("code", [*CODES, "SUCCESS", "ANY"])
def test_a_redirect_is_a_fault_whatever_comes_with_it(status: int, code: str) -> None:
    assert answer_to(exchange(envelope(code, PASS), status)) == TransientFault(f"HTTP_{status}")


FAULTS = ["REFUSED", "RESET", "TIMEOUT", "TLS", "DNS", "TRUNCATED", "BODY_UNPACKABLE", "NOT_HTTP", "NETWORK"]


@pytest.mark.parametrize("fault", [*FAULTS, "BODY_TOO_LARGE"])
def test_a_fault_before_any_status_passes(fault: str) -> None:
    assert answer_to(Exchange(fault=fault)) == TransientFault(fault)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_body_that_did_not_arrive_whole_is_never_read(fault: str) -> None:
    """The vendor answers, where it names the id; what it says does not count."""
    told = TransientFault(fault, vendor_answers=True)
    assert answer_to(exchange(envelope("SUCCESS", PASS), fault=fault)) == told
    other = {**PASS, "signatureId": "another"}
    assert answer_to(exchange(envelope("SUCCESS", other), fault=fault)) == TransientFault(fault)
    assert answer_to(exchange(envelope("SUCCESS", PASS), 502, fault=fault)) == TransientFault("HTTP_502")


@pytest.mark.parametrize("fault", [*FAULTS, "BODY_TOO_LARGE"])
def test_a_status_counts_without_its_body(fault: str) -> None:
    assert answer_to(exchange(b"", 429, fault, Retry_After="7")) == Busy(7.0)
    assert answer_to(exchange(b"", 401, fault)) == Unauthorised("HTTP_401")
    assert answer_to(exchange(b"", 502, fault)) == TransientFault("HTTP_502")


# Retry-After

RETRY_AFTER: dict[str, float | None] = {
    "10": 10.0,
    "10s": 10.0,
    "10 s": 10.0,
    "10S": 10.0,
    " 10 ": 10.0,
    "2.5": 2.5,
    "0": 1.0,
    "0s": 1.0,
    "3600": 3600.0,
    "86400": 3600.0,
    "999999999": 3600.0,
    "Mon, 01 Jan 2024 00:00:30 GMT": 30.0,
    "Monday, 01-Jan-24 00:00:30 GMT": 30.0,
    "Mon Jan  1 00:00:30 2024": 30.0,
    "Mon, 01 Jan 2024 00:00:30 -0000": 30.0,
    "Sun, 31 Dec 2023 23:00:00 GMT": 1.0,
    "Wed, 01 Jan 2025 00:00:00 GMT": 3600.0,
    "": None,
    "-10": None,
    "soon": None,
    "10m": None,
    "10 minutes": None,
    "1e9": None,
    "nan": None,
    "inf": None,
    "9" * 10: 3600.0,
    "1" + "0" * 9 + ".5 s": 3600.0,
    "0" * 12 + "7": 3600.0,
    "9" * 400: 3600.0,
    "9" * 400 + "x": None,
    "\u0661\u0660": None,
    "Mon, 99 Jan 2024 00:00:00 GMT": None,
    "Mon, 01 Jan 99999 00:00:00 GMT": None,
}


@pytest.mark.parametrize(("text", "seconds"), RETRY_AFTER.items(), ids=repr)
def test_retry_after_is_read_in_every_form_it_is_known_in(text: str, seconds: float | None) -> None:
    assert answer_to(exchange(envelope("SERVICE_BUSY"), Retry_After=text)) == Busy(
        seconds, transaction_id=TID
    )
    assert answer_to(exchange(HTML, 429, retry_after=text)) == Busy(seconds)
    rests = TransientFault("HTTP_503") if seconds is None else Busy(seconds)
    assert answer_to(exchange(HTML, 503, RETRY_AFTER=text)) == rests


def test_a_date_is_never_taken_for_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Manila")
    time.tzset()
    try:
        for form in ("Mon, 01 Jan 2024 00:00:30 -0000", "Mon Jan  1 00:00:30 2024"):
            assert Exchange(429, {"Retry-After": form}).retry_after_s(NOW) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text(max_size=60))
def test_no_retry_after_is_beyond_its_bounds_or_raises(text: str) -> None:
    seconds = Exchange(429, {"Retry-After": text}).retry_after_s(NOW)
    assert seconds is None or 1.0 <= seconds <= 3600.0


@pytest.mark.parametrize(
    ("text", "moment"),
    [("Mon, 01 Jan 2024 00:00:00 GMT", NOW), ("", None), ("yesterday", None), ("0", None)],
)
def test_the_clock_of_the_server_is_read_where_it_says(text: str, moment: float | None) -> None:
    assert Exchange(200, {"Date": text}).date() == moment


# All of it

ANYTHING = st.builds(
    Exchange,
    status=st.integers(0, 999),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Date"]), st.text(max_size=20)),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
        ).map(lambda data: json.dumps(data).encode()),
        st.builds(
            envelope,
            st.sampled_from([*CODES, "SUCCESS", "OTHER"]),
            st.sampled_from([None, PASS, NULL, [], {}, "x", *UNREADABLE.values()]),
        ),
    ),
    fault=st.none() | st.sampled_from([*FAULTS, "BODY_TOO_LARGE"]),
)


@given(ANYTHING)
def test_every_exchange_becomes_an_answer_and_only_a_whole_success_settles(asked: Exchange) -> None:
    answer = answer_to(asked)
    assert isinstance(answer, get_args(Answer))
    if isinstance(answer, Settled):
        assert (asked.status, asked.fault) == (200, None)
        assert json.loads(asked.body)["code"] == "SUCCESS"
        assert json.loads(asked.body)["data"]["signatureId"] == ID


@given(ANYTHING)
def test_every_exchange_about_a_token_becomes_a_token_or_why_there_is_none(asked: Exchange) -> None:
    assert isinstance(classify_token(asked, now=NOW), (Token, *get_args(TokenFault)))


@pytest.mark.parametrize("data", [PASS, NULL])
def test_a_kept_answer_says_again_what_it_said(data: Any) -> None:
    raw = envelope("SUCCESS", data)
    assert read_again(raw, signature_id=ID) == answer_to(exchange(raw))


def test_each_kind_has_one_word() -> None:
    kinds = {kind.__name__: kind.kind for kind in get_args(Answer)}
    assert kinds == {
        "Settled": "result",
        "Pending": "pending",
        "Busy": "busy",
        "Unauthorised": "unauthorised",
        "AccountFault": "account_fault",
        "TransientFault": "transient_fault",
        "UnknownCode": "unknown_code",
        "UnknownId": "unknown_id",
        "Unreadable": "unreadable",
        "OursToFix": "ours_to_fix",
    }


def test_what_an_answer_holds_of_a_person_is_not_in_its_repr() -> None:
    """It may end up in a log or in a traceback."""
    raw = envelope("SUCCESS", PASS | {"docDetail": {"ocrInfo": {"front": {"name": "Juan dela Cruz"}}}})
    kept: list[Answer] = [
        answer_to(exchange(raw)),
        Unreadable("data: must be there", raw),
        OursToFix("CLIENT_ERROR", raw),
        UnknownId(raw),
    ]
    assert isinstance(kept[0], Settled)
    assert all("Juan" not in repr(answer) for answer in kept)
    assert "Juan" not in repr(exchange(raw))


def test_an_answer_has_a_word_of_detail() -> None:
    assert [answer.detail for answer in (Busy(10.0), Busy(None), Pending(submission_completed=True))] == [
        "10s",
        "",
        "",
    ]
    assert AccountFault("ACCOUNT_DISABLED").detail == "ACCOUNT_DISABLED"
    assert TransientFault("TIMEOUT").detail == "TIMEOUT"


# The token

TOKEN_DATA = {"token": "sample.token", "expiredTime": 1_704_070_800_000}

TOKEN_ANSWERS: dict[str, tuple[Exchange, Token | TokenFault]] = {
    "granted": (
        exchange(envelope("SUCCESS", TOKEN_DATA)),
        Token("sample.token", 1_704_070_800_000),
    ),
    "our signature is wrong": (
        exchange(envelope("PARAMETER_ERROR")),
        AccountFault("TOKEN_PARAMETER_ERROR", transaction_id=TID),
    ),
    "our request is wrong": (
        exchange(envelope("CLIENT_ERROR")),
        AccountFault("TOKEN_CLIENT_ERROR", transaction_id=TID),
    ),
    "our account is closed": (
        exchange(envelope("ACCOUNT_DISABLED")),
        AccountFault("ACCOUNT_DISABLED", transaction_id=TID),
    ),
    "we may not": (exchange(envelope("IAM_FAILED")), AccountFault("TOKEN_IAM_FAILED", transaction_id=TID)),
    "we may not, by status": (exchange(HTML, 401), AccountFault("TOKEN_HTTP_401")),
    "a code nobody knows": (
        exchange(envelope("KEY_ROTATED")),
        AccountFault("TOKEN_KEY_ROTATED", transaction_id=TID),
    ),
    "a code of another call": (
        exchange(envelope("SIGNATURE_NOT_EXIST")),
        AccountFault("TOKEN_UNKNOWN_ID", transaction_id=TID),
    ),
    "busy": (exchange(envelope("SERVICE_BUSY"), Retry_After="10s"), Busy(10.0, transaction_id=TID)),
    "busy, by status": (exchange(HTML, 429), Busy(None)),
    "a server error": (exchange(envelope("ERROR")), TransientFault("ERROR", transaction_id=TID)),
    "down": (exchange(HTML, 502), TransientFault("HTTP_502")),
    "a wrong path": (exchange(HTML, 404), TransientFault("HTTP_404")),
    "not there": (Exchange(fault="REFUSED"), TransientFault("REFUSED")),
    "a page": (exchange(HTML), TransientFault("NOT_JSON")),
    "far too much": (exchange(fault="BODY_TOO_LARGE"), TransientFault("BODY_TOO_LARGE")),
    "success without data": (
        exchange(envelope("SUCCESS")),
        TransientFault("TOKEN_UNREADABLE", transaction_id=TID),
    ),
    "a token that breaks a header": (
        exchange(envelope("SUCCESS", TOKEN_DATA | {"token": "a\r\nX-Evil: b"})),
        TransientFault("TOKEN_UNREADABLE", transaction_id=TID),
    ),
}


@pytest.mark.parametrize(("asked", "answer"), TOKEN_ANSWERS.values(), ids=TOKEN_ANSWERS)
def test_no_verification_is_to_blame_for_a_token_that_is_refused(
    asked: Exchange, answer: Token | TokenFault
) -> None:
    assert classify_token(asked, now=NOW) == answer


def test_the_words_are_exported() -> None:
    assert set(answers.__all__) >= {kind.__name__ for kind in get_args(Answer)}
