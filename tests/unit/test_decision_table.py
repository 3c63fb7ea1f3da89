"""The packaged decision table, and tables of the older format with rows: promise 7, and every documented answer."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.decided import ROWS_TABLE, decided
from worker.decisions.table import Table
from worker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT = Table.load(None)
ROWS = ROWS_TABLE.read_text("utf-8")

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

#: The vendor's page, line by line, and what its lines are to us.
DOCUMENTED = [
    ("PASS", "SUCCESS", "approve"),
    ("FAIL", "ID_FORGERY_DETECTED", "reject"),
    ("FAIL", "NATIONALITY_COMPLIANCE_FAILED", "reject"),
    ("INCOMPLETE", "NO_SUPPORTED_CARD", "unsupported"),
    ("INCOMPLETE", "CARD_TYPE_MISMATCH", "recapture"),
    ("INCOMPLETE", "CARD_LOW_QUALITY_IMAGE", "recapture"),
    ("INCOMPLETE", "INCOMPLETED_CARD", "recapture"),
    ("INCOMPLETE", "CARD_INFO_MISMATCH", "recapture"),
    ("INCOMPLETE", "TOO_MANY_CARDS", "recapture"),
    ("INCOMPLETE", "CARD_NOT_FOUND", "recapture"),
    ("INCOMPLETE", "OCR_NO_RESULT", "recapture"),
    ("INCOMPLETE", "PARAMETER_ERROR", "review"),
    ("INCOMPLETE", "USER_TIMEOUT", "abandoned"),
    ("INCOMPLETE", "ERROR", "review"),
    ("INCOMPLETE", "NO_SUPPORTED_CARD_CUSTOMIZED", "unsupported"),
    ("INCOMPLETE", "NO_FACE_DETECTED", "recapture"),
    ("INCOMPLETE", "OCR_FIELD_INVALID", "recapture"),
    # What the page says of all the INCOMPLETE ones: replaced by FAIL when using Document API.
    ("FAIL", "NO_SUPPORTED_CARD", "unsupported"),
    ("FAIL", "CARD_TYPE_MISMATCH", "recapture"),
    ("FAIL", "CARD_LOW_QUALITY_IMAGE", "recapture"),
    ("FAIL", "INCOMPLETED_CARD", "recapture"),
    ("FAIL", "CARD_INFO_MISMATCH", "recapture"),
    ("FAIL", "TOO_MANY_CARDS", "recapture"),
    ("FAIL", "CARD_NOT_FOUND", "recapture"),
    ("FAIL", "OCR_NO_RESULT", "recapture"),
    ("FAIL", "PARAMETER_ERROR", "review"),
    ("FAIL", "USER_TIMEOUT", "abandoned"),
    ("FAIL", "ERROR", "review"),
    ("FAIL", "NO_SUPPORTED_CARD_CUSTOMIZED", "unsupported"),
    ("FAIL", "NO_FACE_DETECTED", "recapture"),
    ("FAIL", "OCR_FIELD_INVALID", "recapture"),
]

#: Only in an example on that page.
SHOWN = [
    ("FAIL", "NOT_SUPPORTED_CARD", "unsupported"),
    ("INCOMPLETE", "NOT_SUPPORTED_CARD", "unsupported"),
]

#: Of the vendor's other products.
SIBLINGS = [("FAIL", "LIVENESS_ATTACK", "reject"), ("FAIL", "SIMILARITY_FAILED", "review")]

#: Contradictions, what is missing, and what nobody knows.
DOUBTFUL = [
    ("FAIL", "SUCCESS"),
    ("INCOMPLETE", "SUCCESS"),
    ("PASS", "ID_FORGERY_DETECTED"),
    ("PASS", "NATIONALITY_COMPLIANCE_FAILED"),
    ("PASS", "CARD_LOW_QUALITY_IMAGE"),
    ("PASS", "NO_SUPPORTED_CARD"),
    ("PASS", "NOT_SUPPORTED_CARD"),
    ("PASS", "USER_TIMEOUT"),
    ("PASS", "ERROR"),
    ("PASS", "PARAMETER_ERROR"),
    ("INCOMPLETE", "ID_FORGERY_DETECTED"),
    ("INCOMPLETE", "NATIONALITY_COMPLIANCE_FAILED"),
    ("PASS", None),
    ("FAIL", None),
    ("INCOMPLETE", None),
    (None, "SUCCESS"),
    (None, "ID_FORGERY_DETECTED"),
    (None, None),
    ("PASS", ""),
    ("PASS", "success"),
    ("PASS", "SUCCESS "),
    ("PASS", "UNPRINTABLE"),
    ("pass", "SUCCESS"),
    ("MAYBE", "SUCCESS"),
    ("PASS", "LIVENESS_ATTACK"),
    ("INCOMPLETE", "LIVENESS_ATTACK"),
    ("INCOMPLETE", "SOMETHING_NEW"),
]


@pytest.mark.parametrize(("overall_result", "error_code", "decision"), DOCUMENTED + SHOWN + SIBLINGS)
def test_every_documented_answer_has_its_decision(
    overall_result: str, error_code: str, decision: str
) -> None:
    assert decided(DEFAULT, overall_result, error_code, None) == decision


@pytest.mark.parametrize(("overall_result", "error_code"), DOUBTFUL)
def test_promise_7_a_doubtful_answer_goes_to_review(
    overall_result: str | None, error_code: str | None
) -> None:
    assert decided(DEFAULT, overall_result, error_code, None) == "review"


@pytest.mark.parametrize("reason", ["DEADLINE_PASSED", "SIGNATURE_NOT_EXIST", "SOMETHING_NEW", ""])
@pytest.mark.parametrize(("overall_result", "error_code"), [(None, None), ("PASS", "SUCCESS")])
def test_promise_7_what_has_no_result_goes_to_review(
    overall_result: str | None, error_code: str | None, reason: str
) -> None:
    assert decided(DEFAULT, overall_result, error_code, reason) == "review"


def test_the_default_table_names_no_code_but_those_tested_here() -> None:
    assert DEFAULT.values("error_code") == {code for _, code, _ in DOCUMENTED + SHOWN + SIBLINGS}


words = (
    st.none()
    | st.text(max_size=20)
    | st.sampled_from(
        ["PASS", "FAIL", "INCOMPLETE", "SUCCESS", "ERROR", "ID_FORGERY_DETECTED", "DEADLINE_PASSED"]
    )
)


@calm
@given(words, words, words)
@example("PASS", "SUCCESS", "")
def test_promise_7_nothing_but_pass_with_success_approves(
    overall_result: str | None, error_code: str | None, reason: str | None
) -> None:
    decision = decided(DEFAULT, overall_result, error_code, reason)

    assert (decision == "approve") == ((overall_result, error_code, reason) == ("PASS", "SUCCESS", None))


# Tables of the users' own


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults(folder: Path, text: str | bytes) -> list[str]:
    """The lines with which a table is refused, each without the name of the file it begins with."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        Table.load(path)
    lines = str(caught.value).splitlines()
    where = re.compile(rf"{re.escape(str(path))}(:\d+)?: ")
    assert all(where.match(line) for line in lines)
    return [where.sub("", line, count=1) for line in lines]


def row(decision: str, overall_result: object, error_code: object) -> str:
    return (
        f"\n[[rows]]\ndecision = {json.dumps(decision)}\n"
        f"overall_result = {json.dumps(overall_result)}\nerror_code = {json.dumps(error_code)}\n"
    )


def test_a_table_with_rows_is_a_table_and_keeps_its_version(tmp_path: Path) -> None:
    table = Table.load(write(tmp_path, ROWS))
    assert (table.version, table.is_legacy, DEFAULT.is_legacy) == ("2", True, False)
    assert table.decisions == DEFAULT.decisions


def test_a_table_may_have_decisions_rows_and_a_version_of_its_own(tmp_path: Path) -> None:
    text = (
        ROWS.replace('version = "2"', 'version = "ph 2022-10"')
        .replace('decision = "abandoned"', 'decision = "remind_by_sms_2"')
        .replace('DEADLINE_PASSED = "review"', 'DEADLINE_PASSED = "apologise"')
        .replace('otherwise = "review"', 'otherwise = "look"')
    ) + row("reject", ["FAIL", "PASS"], "LIVENESS_ATTACK")
    table = Table.load(write(tmp_path, text))

    assert table.version == "ph 2022-10"
    assert decided(table, "INCOMPLETE", "USER_TIMEOUT", None) == "remind_by_sms_2"
    assert decided(table, "PASS", "LIVENESS_ATTACK", None) == "reject"
    assert decided(table, None, None, "DEADLINE_PASSED") == "apologise"
    assert decided(table, "FAIL", "SUCCESS", None) == "look"


def test_pass_with_success_may_be_something_else_than_approve(tmp_path: Path) -> None:
    table = Table.load(write(tmp_path, ROWS.replace('decision = "approve"', 'decision = "second_look"')))

    assert decided(table, "PASS", "SUCCESS", None) == "second_look"


def test_the_names_of_approvals_are_those_that_need_a_pass(tmp_path: Path) -> None:
    rule = '[[rules]]\ndecision = "{}"\noverall_result = "{}"\nerror_code = "{}"\n'
    rules = (
        ("accept", "PASS", "SUCCESS"),
        ("review", "PASS", "OTHER"),
        ("look", "PASS", "*"),
        ("look", "FAIL", "*"),
    )
    path = tmp_path / "table.toml"
    path.write_text('name = "t"\notherwise = "review"\n' + "".join(rule.format(*each) for each in rules))
    assert Table.load(path).approvals == {"approve", "accept"}
    assert Table.load(None).approvals == {"approve"}


@pytest.mark.parametrize(("overall_result", "error_code"), [pair for pair in DOUBTFUL if all(pair)])
def test_promise_7_a_table_that_approves_anything_else_is_refused(
    tmp_path: Path, overall_result: str, error_code: str
) -> None:
    lines = faults(tmp_path, ROWS + row("approve", overall_result, error_code))

    assert any(line.startswith("row 7: ") for line in lines)


@pytest.mark.parametrize(("overall_result", "error_code", "_"), DOCUMENTED[1:])
def test_promise_7_no_documented_pair_may_be_made_to_approve(
    tmp_path: Path, overall_result: str, error_code: str, _: str
) -> None:
    lines = faults(tmp_path, ROWS + row("approve", overall_result, error_code))

    assert f"row 7: {overall_result} + {error_code} may not be approve, only PASS + SUCCESS may" in lines


def test_promise_7_a_row_that_approves_more_than_it_may_is_named_by_the_pair(tmp_path: Path) -> None:
    text = ROWS.replace('error_code = "SUCCESS"', 'error_code = ["SUCCESS", "LIVENESS_ATTACK"]')

    assert faults(tmp_path, text) == [
        "row 1: PASS + LIVENESS_ATTACK may not be approve, only PASS + SUCCESS may"
    ]


@pytest.mark.parametrize("name", ["otherwise", "DEADLINE_PASSED", "SIGNATURE_NOT_EXIST"])
def test_promise_7_what_has_no_row_may_not_approve(tmp_path: Path, name: str) -> None:
    where = name if name == "otherwise" else f"reasons: {name}"

    assert faults(tmp_path, ROWS.replace(f'{name} = "review"', f'{name} = "approve"')) == [
        f"{where} may not be approve, only PASS + SUCCESS may"
    ]


@calm
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["approve", "review", "reject"]),
            st.lists(st.sampled_from(["PASS", "FAIL", "INCOMPLETE"]), min_size=1, max_size=2),
            st.lists(st.sampled_from(["SUCCESS", "ERROR", "NEW", "LIVENESS_ATTACK"]), min_size=1, max_size=2),
        ),
        max_size=2,
    ),
    st.sampled_from(["PASS", "FAIL", "INCOMPLETE", None]),
    st.sampled_from(["SUCCESS", "ERROR", "NEW", "LIVENESS_ATTACK", None]),
)
def test_promise_7_no_table_that_is_taken_approves_anything_else(
    tmp_path_factory: pytest.TempPathFactory,
    extra: list[tuple[str, list[str], list[str]]],
    overall_result: str | None,
    error_code: str | None,
) -> None:
    text = ROWS + "".join(row(*one) for one in extra)
    try:
        table = Table.load(write(tmp_path_factory.mktemp("table"), text))
    except ConfigError:
        return
    decision = decided(table, overall_result, error_code, None)

    assert (decision == "approve") == ((overall_result, error_code) == ("PASS", "SUCCESS"))


@pytest.mark.parametrize(("overall_result", "error_code", "_"), DOCUMENTED)
def test_a_table_without_a_documented_pair_is_refused(
    tmp_path: Path, overall_result: str, error_code: str, _: str
) -> None:
    lines = [
        row(decision, result, code)
        for result, code, decision in DOCUMENTED
        if (result, code) != (overall_result, error_code)
    ]
    head = ROWS.partition("[[rows]]")[0]

    assert faults(tmp_path, head + "".join(lines)) == [f"rows: {overall_result} + {error_code} has no row"]


REFUSED: list[tuple[str, str, str]] = [
    ('version = "2"', "", "version: must be 1 to 64 printable characters in quotes"),
    ('version = "2"', "version = 1", "version: must be 1 to 64 printable characters in quotes"),
    ('version = "2"', 'version = ""', "version: must be 1 to 64 printable characters in quotes"),
    ('version = "2"', 'version = "1\\n"', "version: must be 1 to 64 printable characters in quotes"),
    ('version = "2"', 'version = "2"\nversoin = 2', "file: 'versoin' is unknown, known are version, "),
    ('otherwise = "review"', "", "otherwise must be a name"),
    ('otherwise = "review"', 'otherwise = "Review"', "otherwise must be a name"),
    ('DEADLINE_PASSED = "review"', "", "reasons: DEADLINE_PASSED must be a name"),
    ('DEADLINE_PASSED = "review"', 'DEADLINE_PASSED = "review"\nBORED = "x"', "reasons: 'BORED' is unknown"),
    ('decision = "reject"', 'decision = "re-ject"', "row 2: decision must be a name"),
    ('decision = "reject"', 'decision = "2reject"', "row 2: decision must be a name"),
    ('decision = "reject"', 'decision = "reject\\n"', "row 2: decision must be a name"),
    ('decision = "reject"', f'decision = "{"r" * 65}"', "row 2: decision must be a name"),
    ('decision = "reject"', "decision = true", "row 2: decision must be a name"),
    ('decision = "reject"', "", "row 2: decision must be a name"),
    (
        'decision = "reject"',
        'decision = "reject"\nnote = "x"',
        "row 2: 'note' is unknown, known are decision, ",
    ),
    (
        'overall_result = "PASS"',
        'overall_result = "pass"',
        "row 1: overall_result pass is unknown, known are PASS, ",
    ),
    (
        'overall_result = "PASS"',
        'overall_result = ["PASS", "MAYBE"]',
        "row 1: overall_result MAYBE is unknown",
    ),
    ('overall_result = "PASS"', "", "row 1: overall_result must be a code in quotes, or several"),
    ('error_code = "SUCCESS"', "error_code = []", "row 1: error_code must be a code in quotes, or several"),
    ('error_code = "SUCCESS"', "error_code = 17", "row 1: error_code must be a code in quotes, or several"),
    (
        'error_code = "SUCCESS"',
        "error_code = [17]",
        "row 1: error_code must be 1 to 64 letters, digits and _ each",
    ),
    (
        'error_code = "SUCCESS"',
        'error_code = "SUC CESS"',
        "row 1: error_code must be 1 to 64 letters, digits and _",
    ),
    (
        'error_code = "USER_TIMEOUT"',
        'error_code = "USER_TIMEOT"',
        "rows: INCOMPLETE + USER_TIMEOUT has no row",
    ),
]


@pytest.mark.parametrize(("old", "new", "fault"), REFUSED)
def test_a_broken_table_is_refused_and_the_fault_is_named(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert ROWS.count(f"\n{old}") == 1

    assert any(line.startswith(fault) for line in faults(tmp_path, ROWS.replace(f"\n{old}", f"\n{new}")))


def test_a_pair_in_two_rows_is_refused_and_both_are_named(tmp_path: Path) -> None:
    """Even if both say the same: whoever changes one would overlook the other."""
    text = ROWS + row("reject", "FAIL", "ID_FORGERY_DETECTED") + row("a", ["FAIL", "FAIL"], "NEW")

    assert faults(tmp_path, text) == [
        "row 7: FAIL + ID_FORGERY_DETECTED is in row 2 already",
        "row 8: FAIL + NEW is in row 8 already",
    ]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = ROWS.replace('version = "2"', "").replace('"abandoned"', '"Abandoned"') + row("b", "MAYBE", "NEW")

    assert [line.partition(" must")[0].partition(" is")[0] for line in faults(tmp_path, text)] == [
        "version:",
        "row 5: decision",
        "row 7: overall_result MAYBE",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("version = ", "is not TOML: "),
        ('{"version": "1"}', "is not TOML: "),
        ('version = "1"\nversion = "2"', "is not TOML: "),
        ("a = " + "[" * 100_000, "is nested more than 32 levels deep"),
        ("a = " + "9" * 5000, "is not TOML: "),
        (b'version = "\xff"', "is not text in UTF-8"),
        ("rows = 1", "version: "),
        ("rows = [1]", "version: "),
        ("reasons = 1", "version: "),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str | bytes, fault: str) -> None:
    assert faults(tmp_path, text)[0].startswith(fault)


def test_a_row_that_is_no_row_is_named(tmp_path: Path) -> None:
    assert "row 1: must be written under a line [[rows]]" in faults(tmp_path, "rows = [1]")
    assert "rows: must be written each under a line [[rows]]" in faults(tmp_path, "rows = 1")
    assert "reasons: must be written under a line [reasons]" in faults(tmp_path, "reasons = 1")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file or directory"):
        Table.load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        Table.load(tmp_path)


toml_values: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["PASS", "SUCCESS", "approve"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["decision", "overall_result", "error_code", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@calm
@given(
    st.dictionaries(st.sampled_from(["version", "otherwise", "reasons", "rows", "rules", "x"]), toml_values)
)
def test_whatever_a_file_holds_it_is_refused_with_lines(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    text = "".join(f"{name} = {_toml(value)}\n" for name, value in document.items())
    assert tomllib.loads(text) == document

    assert faults(tmp_path_factory.mktemp("table"), text)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
