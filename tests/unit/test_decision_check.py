"""What the check of a table finds, on which line, and what it says to do."""

from __future__ import annotations

import time
import tomllib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.decided import ROWS_TABLE
from tests.support.tables import HEAD, PASS_RULE, write_table
from worker.decisions.check import Severity, check
from worker.decisions.check import _not_consumed as not_consumed
from worker.decisions.positions import Positions
from worker.decisions.table import PACKAGED, Source, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.decisions.check import Checked

PACKAGED_TABLE = Table.load(None)

#: The packaged rules, so that every documented code has one.
RULES = PACKAGED.read_text("utf-8")
RULES = RULES[RULES.index("[[rules]]") :]


def checked(folder: Path, rules: str, *, head: str = HEAD) -> Checked:
    return check(Source.read(write_table(folder, rules, head=head)), PACKAGED_TABLE)


def found(folder: Path, rules: str, *, head: str = HEAD) -> list[tuple[int | None, str, str]]:
    """Line, finding and cure of each warning."""
    result = checked(folder, rules, head=head)
    assert all(finding.severity is Severity.WARNING for finding in result.findings)
    return [(finding.line, finding.said, finding.cure) for finding in result.findings]


def line_of(text: str, part: str, *, head: str = HEAD) -> int:
    assert (head + text).count(part) == 1
    return (head + text)[: (head + text).index(part)].count("\n") + 1


def test_the_packaged_table_is_sound() -> None:
    result = check(Source.read(None), PACKAGED_TABLE)
    assert (result.findings, result.is_sound, result.table) == ((), True, PACKAGED_TABLE)


def test_errors_are_those_that_keep_a_worker_from_starting(tmp_path: Path) -> None:
    result = checked(tmp_path, '[[rules]]\ndecision = "a"\nerorr_code = "ERROR"\n')
    (finding,) = result.findings
    assert (finding.severity, finding.line, result.table, result.is_sound) == (Severity.ERROR, 5, None, False)
    assert (finding.said, finding.cure) == ("rule 1: erorr_code is unknown", "write error_code")


def test_the_older_format_is_a_note_and_otherwise_sound() -> None:
    result = check(Source.read(ROWS_TABLE), PACKAGED_TABLE)
    (note,) = result.findings
    assert (note.severity, note.line, result.is_sound) == (Severity.NOTE, None, True)
    assert "older format" in note.said
    assert f"ekyc decisions show --toml {ROWS_TABLE}" in note.cure


def test_a_fault_of_the_older_format_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    text = ROWS_TABLE.read_text().replace('decision = "reject"', 'decision = "re-ject"')
    path.write_text(text)
    errors = [
        each for each in check(Source.read(path), PACKAGED_TABLE).findings if each.severity is Severity.ERROR
    ]
    line = text[: text.index('decision = "re-ject"')].count("\n")
    assert [(each.line, each.said[:6]) for each in errors] == [(line, "row 2:")]


# Rules that never decide

UNREACHABLE = [
    ("the same again", 'error_code = "A"', 'error_code = "A"'),
    ("fewer values", 'error_code = ["A", "B"]', 'error_code = "B"'),
    ("more conditions", 'error_code = "A"', 'error_code = "A"\nregion = "ph"\nforgery_labels = "x"'),
    ("no condition", "", 'error_code = "A"'),
    ("any value", 'forgery_labels = "*"', 'forgery_labels = ["x", "y"]'),
    ("any value twice", 'region = "*"', 'region = "*"'),
    ("a wider range", "liveness_score = { below = 50 }", "liveness_score = { at_least = 10, below = 50 }"),
    ("from nothing", "liveness_score = { at_least = 0 }", "liveness_score = { below = 20 }"),
    ("a reason", 'reason = ["DOC_RESULT", "IDV_RESULT"]', 'reason = "DOC_RESULT"\nregion = "ph"'),
]

REACHABLE = [
    ("other values", 'error_code = "A"', 'error_code = "B"'),
    ("more values", 'error_code = "A"', 'error_code = ["A", "B"]'),
    ("fewer conditions", 'error_code = "A"\nregion = "ph"', 'error_code = "A"'),
    ("any value", 'forgery_labels = "x"', 'forgery_labels = "*"'),
    ("a narrower range", "liveness_score = { below = 50 }", "liveness_score = { below = 51 }"),
    ("a higher range", "liveness_score = { at_least = 50 }", "liveness_score = { at_least = 49 }"),
    ("an open range", "liveness_score = { below = 50 }", "liveness_score = { at_least = 10 }"),
    ("another score", "liveness_score = { below = 50 }", "similarity_score = { below = 50 }"),
    ("another name", 'forgery_labels = "x"', 'quality_labels = "x"'),
    ("with a reason", "", 'reason = "DOC_RESULT"'),
    ("without a reason", 'reason = "*"', 'region = "ph"'),
]


def pair(first: str, second: str) -> str:
    return (
        f'[[rules]]\ndecision = "review"\n{first}\n[[rules]]\ndecision = "reject" # here\n{second}\n' + RULES
    )


@pytest.mark.parametrize(("_", "first", "second"), UNREACHABLE, ids=[each[0] for each in UNREACHABLE])
def test_a_rule_that_never_decides_is_named(tmp_path: Path, _: str, first: str, second: str) -> None:
    text = pair(first, second)
    assert (
        line_of(text, '[[rules]]\ndecision = "reject" # here'),
        "rule 2 never decides: rule 1 matches all that it matches",
        "write it before rule 1, or remove it",
    ) in found(tmp_path, text)


@pytest.mark.parametrize(("_", "first", "second"), REACHABLE, ids=[each[0] for each in REACHABLE])
def test_a_rule_that_may_decide_is_not_named(tmp_path: Path, _: str, first: str, second: str) -> None:
    said = [said for _, said, _ in found(tmp_path, pair(first, second))]
    assert not any(each.startswith("rule 2 never decides") for each in said)


def test_rules_that_together_leave_nothing_over_are_all_named(tmp_path: Path) -> None:
    text = RULES + (
        '\n[[rules]]\ndecision = "reject"\noverall_result = ["FAIL", "INCOMPLETE"]\n'
        'error_code = ["USER_TIMEOUT", "ERROR"]\n'
    )
    assert [said for _, said, _ in found(tmp_path, text)] == [
        "rule 10 never decides: rules 7 and 8 together match all that it matches"
    ]


# Codes


def test_a_misspelt_code_is_named_with_the_near_one_and_its_own_line(tmp_path: Path) -> None:
    text = RULES.replace('"TOO_MANY_CARDS",', '"TO_MANY_CARDS",')
    misspelt, undecided = found(tmp_path, text)[::-1]
    assert misspelt == (
        line_of(text, '"TO_MANY_CARDS"'),
        "rule 5: TO_MANY_CARDS is no documented errorCode",
        "write TOO_MANY_CARDS, unless the vendor has this code, too",
    )
    assert undecided == (
        2,
        "TOO_MANY_CARDS with FAIL and INCOMPLETE has no rule: it is decided review",
        'add a rule for it, even if that says decision = "review"',
    )


@pytest.mark.parametrize("code", ["user_timeout", "USER-TIMEOUT", "SUCESS", "LIVENES_ATTACK"])
def test_a_code_is_near_another_in_any_case(tmp_path: Path, code: str) -> None:
    rule = f'[[rules]]\ndecision = "review"\nerror_code = "{code}"\n'
    if "-" in code:
        assert checked(tmp_path, rule + RULES).findings[0].severity is Severity.ERROR
        return
    (finding,) = found(tmp_path, rule + RULES)
    assert finding[0] == 5
    assert f"rule 1: {code} is no documented errorCode" in finding[1]


def test_a_code_that_is_near_no_other_may_be_new(tmp_path: Path) -> None:
    rule = '[[rules]]\ndecision = "review"\nerror_code = ["QUANTUM_FLUX", "LIVENESS_ATTACK", "*"]\n'
    said = [said for _, said, _ in found(tmp_path, RULES + rule)]
    assert not any("documented" in each for each in said)


def test_a_documented_code_without_a_rule_is_named_once(tmp_path: Path) -> None:
    warnings = found(tmp_path, PASS_RULE)
    assert len(warnings) == 16
    assert all(line == 2 and "has no rule: it is decided review" in said for line, said, _ in warnings)


def test_a_documented_code_that_only_some_regions_decide_names_the_others(tmp_path: Path) -> None:
    text = RULES.replace('error_code = "USER_TIMEOUT"', 'region = ["ph", "sg"]\nerror_code = "USER_TIMEOUT"')
    ((_, said, _),) = found(tmp_path, text)
    assert said == (
        "USER_TIMEOUT with FAIL and INCOMPLETE has no rule in th, my, vn, global: it is decided review"
    )


def test_a_documented_code_with_one_result_too_few_is_named_with_it(tmp_path: Path) -> None:
    text = RULES.replace(
        'overall_result = ["INCOMPLETE", "FAIL"]\nerror_code = "USER_TIMEOUT"',
        'overall_result = "FAIL"\nerror_code = "USER_TIMEOUT"',
    )
    ((_, said, _),) = found(tmp_path, text)
    assert said == "USER_TIMEOUT with INCOMPLETE has no rule: it is decided review"


# Decisions


def test_a_decision_that_nothing_consumes_is_named(tmp_path: Path) -> None:
    text = RULES.replace('decision = "abandoned"', 'decision = "abandonned"')
    assert found(tmp_path, text) == [
        (
            line_of(text, 'decision = "abandonned"'),
            "abandonned may be a decision that nothing consumes: the file has no consumes",
            "name it in consumes = [...] if the pipeline has a task onboarding.abandonned, or correct it",
        )
    ]


def test_what_the_file_says_is_consumed_counts(tmp_path: Path) -> None:
    text = RULES.replace('decision = "abandoned"', 'decision = "remind"')
    names = '["approve", "reject", "recapture", "unsupported", "remind", "review"]'
    assert found(tmp_path, text, head=f"{HEAD}consumes = {names}\n") == []
    less = found(tmp_path, text, head=HEAD + f"consumes = {names}\n".replace('"reject"', '"other"'))
    assert [(line, said.partition(":")[0]) for line, said, _ in less] == [
        (3, "consumes names other, which no rule decides"),
        (
            line_of(text, 'decision = "reject"', head=HEAD + "consumes = []\n"),
            "reject may be a decision that nothing consumes",
        ),
    ]


# Lines

LAYOUTS = [
    ("tables", '[[rules]]\ndecision = "a"\n\n[[rules]]\ndecision = "Here"\n'),
    ("blanks in the header", '[[rules]]\ndecision = "a"\n\t[[ rules ]] # x\n  decision  =  "Here"\n'),
    ("a quoted header", "[[\"rules\"]]\ndecision = 'a'\n[['rules']]\n\"decision\" = 'Here'\n"),
    ("inline tables", 'rules = [\n  { decision = "a" },\n\n  { decision = "Here" },\n]\n'),
    ("one line", 'rules = [{ decision = "a" }, { decision = "Here" }]\n'),
    (
        "a header in a text",
        '[[rules]]\ntext = "[[rules]] # no"\ndecision = "a" # [[rules]]\n[[rules]]\ndecision = "Here"\n',
    ),
    ("marks in texts", '[[rules]]\ntext = "]}{[\\"="\ndecision = "a"\n[[rules]]\ndecision = "Here"\n'),
    (
        "arrays over lines",
        '[[rules]]\ndecision="a"\nregion=[\n"ph", # ]\n"sg"\n]\n[[rules]]\ndecision="Here"\n',
    ),
    (
        "a table within",
        '[[rules]]\ndecision = "a"\n[rules.liveness_score]\nbelow = 5\n[[rules]]\ndecision = "Here"\n',
    ),
    (
        "dotted keys",
        '[[rules]]\nliveness_score . below = 1.5\ndecision = "a"\n[[rules]]\ndecision = "Here"\n',
    ),
    ("ends of lines", '[[rules]]\r\ndecision = "a"\r\n[[rules]]\r\ndecision = "Here"\r\n'),
    (
        "texts over lines",
        '[[rules]]\ndecision = \'\'\'a\'\'\'\n[[rules]]\ntext = """x"""\ndecision = "Here"\n',
    ),
]


@pytest.mark.parametrize(("_", "rules"), LAYOUTS, ids=[each[0] for each in LAYOUTS])
def test_a_fault_has_its_line_in_any_layout(tmp_path: Path, _: str, rules: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes((HEAD + rules).encode())
    text = path.read_bytes().decode()
    (fault,) = check(Source.read(path), PACKAGED_TABLE).findings
    assert fault.said == "rule 2: decision is no name of a decision"
    assert fault.line == text[: text.index("Here")].count("\n") + 1


def test_a_text_over_several_lines_is_counted(tmp_path: Path) -> None:
    rules = '[[rules]]\ntext = """\n[[rules]]\n\\"""x""\n"""\ndecision = "a"\n[[rules]]\ndecision = "Here"\n'
    lines = [(each.line, each.said) for each in checked(tmp_path, rules).findings]
    assert lines == [
        (4, "rule 1: text is not usable"),
        (10, "rule 2: decision is no name of a decision"),
    ]


words = st.sampled_from(["a", "b", '"c d"', "'e'", "rules"])
values = st.recursive(
    st.sampled_from(
        ['"x"', "'y'", "5", "1.5", "true", '"""\nz\n"""', "'''\n[[q]]'''", "1979-05-27T07:32:00Z"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda several: "[\n" + ",\n".join(several) + " # ]\n]")
        | st.dictionaries(st.sampled_from(["k", "l.m"]), inner, max_size=2).map(
            lambda several: "{" + ", ".join(f"{name} = {value}" for name, value in several.items()) + "}"
        )
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.tuples(words, values), max_size=6))
def test_each_key_of_any_file_is_on_the_line_where_it_is(pairs: list[tuple[str, str]]) -> None:
    """The key `here_<n>` begins the n-th table of the array."""
    text = "".join(
        f"[[rules]]\n\nhere_{number} = 1\n{name} = {value}\n" for number, (name, value) in enumerate(pairs)
    )
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # Inline tables of one line may not hold texts or arrays over several.
        return
    positions = Positions.of(text)
    for number in range(len(pairs)):
        line = text[: text.index(f"here_{number} ")].count("\n") + 1
        assert positions.line(("rules", number, f"here_{number}")) == line
        assert positions.line(("rules", number)) == line - 2
        assert positions.line(("rules", number, "absent", 5)) == line - 2


def test_what_is_nowhere_has_no_line() -> None:
    assert Positions.of('name = "x"\n').line(("otherwise",)) is None


@pytest.mark.parametrize("unit", ['[[rules]]\ndecision = "a"\n', '# "\n', "\n"])
def test_the_time_to_find_lines_grows_with_the_file_and_no_faster(unit: str) -> None:
    def took_s(times: int) -> float:
        text = unit * times
        began = time.thread_time()
        Positions.of(text)
        return time.thread_time() - began

    took_s(2000)
    first = took_s(2000)
    for factor in (2, 4, 8):
        assert took_s(2000 * factor) < 10 * factor * first + 0.1


@pytest.mark.parametrize("shape", ['"""{}"""', "'''{}'''", '"{}"', "[{}]", "#{}"])
@pytest.mark.parametrize("filling", ["a", "\\\\", "'", "''b", ","])
def test_no_text_is_scanned_twice(shape: str, filling: str) -> None:
    def took_s(times: int) -> float:
        text = "a = " + shape.format(filling * times)
        began = time.thread_time()
        Positions.of(text)
        return time.thread_time() - began

    took_s(5000)
    first = took_s(5000)
    for factor in (2, 4, 8):
        assert took_s(5000 * factor) < 10 * factor * first + 0.1


def faulty_rules(times: int) -> str:
    return HEAD + "[[rules]]\nx = 1\n" * times


def unconsumed(times: int) -> str:
    rules = (f'[[rules]]\ndecision = "a{number}"\nerror_code = "SUCCESS"\n' for number in range(times))
    return f"{HEAD}{''.join(rules)}"


def stray_deliveries(times: int) -> str:
    rules = (f'[[rules]]\ndecision = "a{number}"\n' for number in range(times))
    return f"{HEAD}{''.join(rules)}[deliveries]\n" + "".join(f'z{at}z = "celery"\n' for at in range(times))


def strange_endpoints(times: int) -> str:
    names = ", ".join(f'"webhook:e{number}"' for number in range(times))
    return f'{HEAD}[[rules]]\ndecision = "review"\n[deliveries]\nreview = [{names}]\n'


@pytest.mark.parametrize("table", [faulty_rules, stray_deliveries, strange_endpoints])
def test_the_lines_about_faults_take_time_in_proportion(table: Callable[[int], str]) -> None:
    def took_s(times: int) -> float:
        source = Source.parse("table", table(times))
        began = time.thread_time()
        found = source.table({"shop"})
        assert not isinstance(found, Table)
        assert len(list(source.lines(found))) >= times
        return time.thread_time() - began

    took_s(100)
    # Three times off; where the time grows with the square, it is 64 times as long.
    assert took_s(1600) < 24 * max(took_s(200), 1e-3)


def test_the_decisions_that_nothing_consumes_are_found_in_time_in_proportion() -> None:
    def took_s(times: int) -> float:
        source = Source.parse("table", unconsumed(times))
        table = source.table()
        assert isinstance(table, Table)
        began = time.thread_time()
        assert len(list(not_consumed(source, table, PACKAGED_TABLE))) == times
        return time.thread_time() - began

    took_s(100)
    assert took_s(8000) < 24 * max(took_s(1000), 1e-3)


def test_a_fault_lists_some_of_many_known_names(tmp_path: Path) -> None:
    rules = "".join(f'[[rules]]\ndecision = "a{number:03}"\n' for number in range(60))
    result = checked(tmp_path, f'{rules}[deliveries]\nelsewhere = "celery"\n')
    (finding,) = (each for each in result.findings if each.severity is Severity.ERROR)
    assert finding.cure.startswith("known are a000, a001, ")
    assert finding.cure.endswith("a049 and 11 more")
