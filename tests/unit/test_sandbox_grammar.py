"""What an id asks of the sandbox."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.grammar import parse
from sandbox.scenario import (
    ALWAYS,
    DOCUMENTED,
    REGIONS,
    Fault,
    Kind,
    Links,
    Pending,
    RetryAfter,
    Scenario,
    Settled,
    Shape,
)


def course(signature_id: str, answers: int = 8) -> str:
    """The answers to an id as words: a fault's name, `-` for null, `+` for null but submitted, `=` for a result."""
    scenario = parse(signature_id)
    return " ".join(word(scenario, given) for given in range(answers))


def word(scenario: Scenario, given: int) -> str:
    match scenario.step(given, waited_s=0.0):
        case Fault() as fault:
            return fault.code or f"{fault.kind}{fault.status or ''}"
        case Pending(submission_completed=True):
            return "+"
        case Pending():
            return "-"
        case Settled():
            return "="


@pytest.mark.parametrize(
    ("signature_id", "expected"),
    [
        ("pass-0001", "= = ="),
        ("n3-0001", "- - - ="),
        ("n3-sub2", "- - + ="),
        ("n2-submitted", "+ + ="),
        ("forever", "- - - -"),
        ("http500", "http500 = ="),
        ("http500x2", "http500 http500 ="),
        ("http500-x2", "http500 http500 ="),
        ("html-always", "html html html"),
        ("emptyalways", "empty empty empty"),
        ("CARD_NOT_FOUND-n2-http500x1-u0042", "http500 - - = ="),
        ("busy-reset-n1", "SERVICE_BUSY reset - ="),
        ("code-IAM_FAILED-x2", "IAM_FAILED IAM_FAILED ="),
        ("code-iam_failed", "IAM_FAILED = ="),
        ("code-BRAND_NEW_CODE-always-7", "BRAND_NEW_CODE BRAND_NEW_CODE BRAND_NEW_CODE"),
        ("notexist", "SIGNATURE_NOT_EXIST SIGNATURE_NOT_EXIST SIGNATURE_NOT_EXIST"),
        ("lag2", "SIGNATURE_NOT_EXIST SIGNATURE_NOT_EXIST = ="),
        ("retryafter10s", "SERVICE_BUSY = ="),
        ("tokenexpired-n1", "tokenexpired - ="),
        ("truncated-garbage-slowdrip-wrongid-oversized", "truncated garbage slowdrip wrongid oversized ="),
    ],
)
def test_faults_come_first_then_nulls_then_the_result(signature_id: str, expected: str) -> None:
    assert course(signature_id, len(expected.split())) == expected


def test_the_result_stays_for_ever() -> None:
    scenario = parse("http503-n2-pass")
    assert {type(scenario.step(given, 0.0)) for given in range(3, 1000)} == {Settled}


@pytest.mark.parametrize(
    ("word", "seconds"), [("t5s", 5.0), ("t500ms", 0.5), ("t2m", 120.0), ("t1h", 3600.0)]
)
def test_a_wait_in_time_ends_with_it(word: str, seconds: float) -> None:
    scenario = parse(f"pass-{word}-1")
    assert isinstance(scenario.step(1000, seconds - 0.1), Pending)
    assert isinstance(scenario.step(0, seconds), Settled)


@pytest.mark.parametrize("code", [*DOCUMENTED, "NOT_SUPPORTED_CARD", "LIVENESS_ATTACK", "SOMETHING_NEW"])
def test_every_error_code_can_be_asked_for_in_any_case(code: str) -> None:
    assert parse(f"{code}-0001").error_code == parse(f"{code.lower()}-0001").error_code == code


@pytest.mark.parametrize("code", [code for code, result in DOCUMENTED.items() if result == "INCOMPLETE"])
def test_the_document_api_says_fail_where_others_say_incomplete(code: str) -> None:
    assert parse(f"{code}-1").overall_result == "INCOMPLETE"
    assert parse(f"{code}-docapi-1").overall_result == parse(f"docapi-{code}-1").overall_result == "FAIL"


def test_an_answer_may_contradict_itself() -> None:
    forgery = parse("ID_FORGERY_DETECTED-aspass")
    assert (forgery.overall_result, forgery.error_code) == ("PASS", "ID_FORGERY_DETECTED")


@pytest.mark.parametrize(
    ("word", "seconds", "times"),
    [("latency2s", 2.0, 1), ("latency50msx3", 0.05, 3), ("latency1salways", 1.0, ALWAYS)],
)
def test_latency_delays_the_first_answers_whatever_they_are(word: str, seconds: float, times: int) -> None:
    scenario = parse(f"n1-{word}-1")
    assert (scenario.latency_of(0), scenario.latency_of(times)) == (seconds, 0.0)
    assert scenario.faults == ()


@pytest.mark.parametrize(
    ("word", "retry_after", "header"),
    [
        ("retryafter10s", RetryAfter(10, "s"), "10s"),
        ("retryafter10", RetryAfter(10, ""), "10"),
        ("retrydate10s", RetryAfter(10, "date"), "Thu, 01 Jan 1970 00:00:10 GMT"),
    ],
)
def test_retry_after_comes_in_each_spelling(word: str, retry_after: RetryAfter, header: str) -> None:
    [fault] = parse(word).faults
    assert fault.retry_after == retry_after
    assert retry_after.header(now_s=0.0) == header


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("imgdown", Fault(Kind.HTTP, ALWAYS, status=503)),
        ("img503x2", Fault(Kind.HTTP, 2, status=503)),
        ("img404", Fault(Kind.HTTP, 1, status=404)),
        ("notimage", Fault(Kind.NOT_IMAGE, ALWAYS)),
        ("imgoversized", Fault(Kind.OVERSIZED, ALWAYS)),
        ("imgredirectx1", Fault(Kind.REDIRECT, 1)),
    ],
)
def test_faults_of_images_leave_the_answers_alone(word: str, fault: Fault) -> None:
    scenario = parse(f"pass-{word}-1")
    assert scenario.image_fault == fault
    assert scenario.faults == ()


def test_links_may_be_dead_private_slow_or_missing() -> None:
    assert parse("imgexpired").dead_links == 1
    assert parse("imgexpiredalways").dead_links == ALWAYS
    assert parse("imgprivate").links is Links.PRIVATE
    assert parse("noimages").links is Links.NONE
    assert parse("imgslow2s").image_latency_s == 2.0


@pytest.mark.parametrize("shape", list(Shape))
def test_every_shape_can_be_asked_for(shape: Shape) -> None:
    assert parse(f"pass-{shape}-1").shapes == {shape}


@pytest.mark.parametrize("region", list(REGIONS))
def test_a_region_picks_the_documents_and_nothing_else(region: str) -> None:
    assert parse(f"n1-{region}-1").country == REGIONS[region]
    assert parse(f"{region}-1").wait_s > 0, "still a plain id"


def test_words_that_mean_nothing_make_an_id_unique() -> None:
    assert parse("pass-n2-my-u0042") == parse("pass-n2-my-9f3c")


def test_equal_scenarios_are_one_object() -> None:
    """A million ids that ask for the same take the memory of one scenario."""
    assert parse("pass-n2-my-1") is parse("pass-n2-my-2")


def test_plain_ids_are_lifelike() -> None:
    """Null at first, mostly PASS in the end, the same every time, and otherwise with another seed."""
    scenarios = [parse(f"{number:016x}") for number in range(600)]
    assert all(isinstance(scenario.step(0, 0.0), Pending) for scenario in scenarios)
    assert all(isinstance(scenario.step(1, 4.0), Settled) for scenario in scenarios)
    passed = sum(scenario.error_code == "SUCCESS" for scenario in scenarios)
    assert 0.7 < passed / len(scenarios) < 0.95
    assert scenarios == [parse(f"{number:016x}") for number in range(600)]
    assert scenarios != [parse(f"{number:016x}", seed=1) for number in range(600)]


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_every_id_asks_for_something(signature_id: str) -> None:
    scenario = parse(signature_id)
    assert scenario.wait_s <= 86_400
    scenario.step(0, 0.0)
