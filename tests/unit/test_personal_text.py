"""What a note may not have: numbers and dates that identify somebody."""

from __future__ import annotations

import time

import pytest

from worker.policy.personal_text import LONGEST, found_in


@pytest.mark.parametrize(
    "text",
    [
        "",
        "complaint 4711",
        "the photograph is blurred, but the face is the same",
        "second look after 3 attempts, 95 % sure",
        "ticket CASE-1234, see rule 2 of table default@12345678"[:38],
        "on 5 decisions 20 were wrong",
        "may be the same person",
        "case 1234/26",
        "9 to 5, 24/7",
        "ünïcode is fine, 你好 as well",
        "12,345 verifications of 2026, from 10:15 on",
        "rules 3, 4, 12 and 20",
    ],
)
def test_plain_words_and_short_numbers_pass(text: str) -> None:
    assert found_in(text) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("his IC is 850101-14-5678", "an id number"),
        ("NRIC S1234567D", "an id number"),
        ("id 1 1037 01234 56 7", "an id number"),
        ("CRN 1234-5678-9101-1213", "an id number"),
        ("passport P1234567A", "an id number"),
        ("passport ab 123456", "an id number"),
        ("nik 3174 0952 1190 0001", "an id number"),
        ("number ١٢٣٤٥٦٧٨", "an id number"),
        ("number １２３４５６７８", "an id number"),  # noqa: RUF001 - full-width digits
        ("number ๑๒๓๔๕๖๗๘๙", "an id number"),
        ("12\u200b34\u200b56\u200b78", "an id number"),
        ("1234\n5678", "an id number"),
        ("1,2,3,4,5,6,7,8,9", "an id number"),
        ("12_34_56_78", "an id number"),
        ("12|345|678|901", "an id number"),
        ("1234:5678:9012", "an id number"),
        ("1234 - 5678 - 9012", "an id number"),
        ("12   34   56   789", "an id number"),
        ("1\u00b72\u00b73\u00b74\u00b75\u00b76\u00b77", "an id number"),
        ("123456\u2044789012", "an id number"),
        ("NINO ab 12 34 56 c", "an id number"),
        ("0917_123_4567", "a phone number"),
        ("call 0917 555 1234", "a phone number"),
        ("call +63 917 555 1234", "a phone number"),
        ("call (02) 8123-4567", "a phone number"),
        ("+65-9123-4567", "a phone number"),
        ("mail ann@example.com", "an e-mail address"),
        ("mail ann(at)example.com", "an e-mail address"),
        ("mail ann [ at ] example dot com", "an e-mail address"),
        ("mail ann＠example", "an e-mail address"),  # noqa: RUF001 - a full-width sign
        ("born 1990-12-31", "a date, such as a date of birth"),
        ("born 31.12.1990", "a date, such as a date of birth"),
        ("born 31/12/90", "a date, such as a date of birth"),
        ("born 3 - 1 - 1990", "a date, such as a date of birth"),
        ("born 01:02:1990", "a date, such as a date of birth"),
        ("born 1990_01_02", "a date, such as a date of birth"),
        ("born 31st of January 1990", "a date, such as a date of birth"),
        ("born 1 Jan '90", "a date, such as a date of birth"),
        ("born 1990 Jan 1", "a date, such as a date of birth"),
        ("born 19901231", "a date, such as a date of birth"),
        ("born 31 December 1990", "a date, such as a date of birth"),
        ("born 31st dec. 1990", "a date, such as a date of birth"),
        ("born December 31, 1990", "a date, such as a date of birth"),
        ("lahir 17 Agustus 1945", "a date, such as a date of birth"),
        ("1990年12月31日", "a date, such as a date of birth"),
    ],
)
def test_what_identifies_a_person_is_named(text: str, what: str) -> None:
    assert found_in(text) == what


@pytest.mark.parametrize(
    "piece",
    ["1 ", "1-", "a@", "1.1.", "dec 1, ", "A1", "(", "1\u200b", "31 dec 19", "1_", "1990,", "A 1", "1 of "],
)
def test_no_text_takes_long(piece: str) -> None:
    """It looks at a bounded part of any text, so the time does not grow with it."""
    for size in (1, 2, 4, 8):
        text = piece * (LONGEST * size // len(piece))
        begun = time.thread_time()
        found_in(text)
        assert time.thread_time() - begun < 1
