"""Tables with rules: which rule matches, what is refused, and the version."""

from __future__ import annotations

import re
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from schemas.result import DOCUMENTED_CODES, Contradiction, OverallResult
from tests.support.decided import ROWS_TABLE
from tests.support.tables import HEAD, PASS_RULE, load_table, write_table
from worker.decisions import table_text
from worker.decisions.draft import CODES, NO_RESULT
from worker.decisions.facts import CUT, Facts
from worker.decisions.table import Table
from worker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PACKAGED = (resources.files("worker.decisions") / "default.toml").read_text("utf-8")


def fact(**said: Any) -> Facts:
    given = {"overall_result": "PASS", "error_codes": ("SUCCESS",), "region": "ph", **said}
    return Facts(**given)


#: Every result with every code that is known or not, and every reason.
EVERYTHING = [
    Facts(overall_result=result, error_codes=(code,) if code else (), region="ph", reason=reason)
    for result, code, reason in product(
        [None, *map(str, OverallResult)],
        [None, *CODES, "UNPRINTABLE", "SOMETHING_NEW"],
        [None, *NO_RESULT, *map(str, Contradiction), "SOMETHING_NEW"],
    )
]


def test_the_packaged_table_decides_everything_as_the_one_with_rows_did() -> None:
    before, now = Table.load(ROWS_TABLE), Table.load(None)
    assert len(EVERYTHING) > 500
    decided = {facts: now.decide(facts) for facts in EVERYTHING}
    changed = {facts: decided[facts] for facts in EVERYTHING if before.decide(facts) != decided[facts]}
    assert changed == {fact(overall_result="FAIL", error_codes=("LIVENESS_ATTACK",)): "reject"}
    assert set(decided.values()) == now.decisions
    pairs = {(facts.overall_result, facts.error_codes) for facts in EVERYTHING}
    assert pairs >= {(str(result), (code,)) for result, codes in DOCUMENTED_CODES.items() for code in codes}


def test_a_table_with_rows_that_is_printed_with_rules_decides_the_same(tmp_path: Path) -> None:
    before = Table.load(ROWS_TABLE)
    path = tmp_path / "new.toml"
    path.write_text("\n".join(table_text.toml_lines(before)))
    now = Table.load(path)
    assert not now.is_legacy
    assert [now.decide(facts) for facts in EVERYTHING] == [before.decide(facts) for facts in EVERYTHING]


def test_of_a_table_with_rows_only_the_first_code_counts() -> None:
    facts = Facts(overall_result="FAIL", error_codes=("NEW", "ID_FORGERY_DETECTED"))
    assert Table.load(ROWS_TABLE).decide(facts) == "review"
    assert Table.load(None).decide(facts) == "reject"


def test_the_first_rule_that_matches_decides(tmp_path: Path) -> None:
    table = load_table(
        tmp_path,
        """
        [[rules]]
        decision = "second_look"
        overall_result = "PASS"
        forgery_labels = ["photocopy", "screen"]

        [[rules]]
        decision = "call_them"
        region = ["th", "id"]
        document_type = "TH-ID"
        """
        + PASS_RULE,
    )
    assert table.decide(fact()) == "approve"
    assert table.decide(fact(forgery_labels=("x", "screen"))) == "second_look"
    assert table.decide(fact(region="th", document_type="TH-ID")) == "call_them"
    assert table.decide(fact(region="global", document_type="TH-ID")) == "call_them"
    assert table.decide(fact(region="th", document_type="TH-PASSPORT")) == "approve"
    assert table.decide(fact(region="th", forgery_labels=("screen",), document_type="TH-ID")) == "second_look"
    assert table.decide(fact(error_codes=("NEW",))) == "review"


@pytest.mark.parametrize(
    ("condition", "score", "holds"),
    [
        ("{ below = 50 }", 49.999, True),
        ("{ below = 50 }", 50.0, False),
        ("{ below = 50 }", None, False),
        ("{ at_least = 70 }", 70.0, True),
        ("{ at_least = 70 }", 69.999, False),
        ("{ at_least = 70 }", None, False),
        ("{ at_least = 50, below = 70.5 }", 70.4, True),
        ("{ at_least = 50, below = 70.5 }", 70.5, False),
        ("{ at_least = 0 }", 0.0, True),
    ],
)
@pytest.mark.parametrize("name", ["liveness_score", "similarity_score"])
def test_a_score_is_in_a_range(
    tmp_path: Path, name: str, condition: str, score: float | None, *, holds: bool
) -> None:
    table = load_table(tmp_path, f'[[rules]]\ndecision = "yes"\n{name} = {condition}\n')
    assert table.decide(fact(**{name: score})) == ("yes" if holds else "review")


def test_any_value_is_a_value(tmp_path: Path) -> None:
    table = load_table(
        tmp_path,
        """
        [[rules]]
        decision = "second_look"
        forgery_labels = "*"

        [[rules]]
        decision = "reject"
        error_code = "*"
        overall_result = "FAIL"
        """,
    )
    assert table.decide(fact(forgery_labels=("whatever",))) == "second_look"
    assert table.decide(fact(overall_result="FAIL", error_codes=("NEW",))) == "reject"
    assert table.decide(fact(overall_result="FAIL", error_codes=())) == "review"


def test_a_code_is_any_of_those_of_the_answer(tmp_path: Path) -> None:
    table = load_table(tmp_path, '[[rules]]\ndecision = "reject"\nerror_code = ["A", "B"]\n')
    assert table.decide(fact(error_codes=("X", "B"))) == "reject"
    assert table.decide(fact(error_codes=("X", "C"))) == "review"


def test_promise_7_success_beside_another_code_does_not_count(tmp_path: Path) -> None:
    table = load_table(tmp_path, PASS_RULE)
    assert table.decide(fact(error_codes=("SUCCESS", "LIVENESS_ATTACK"))) == "review"
    assert table.decide(fact(error_codes=("SUCCESS", CUT))) == "review"


def test_a_rule_without_reason_is_about_answers_without_one(tmp_path: Path) -> None:
    table = load_table(
        tmp_path,
        PASS_RULE
        + """
        [[rules]]
        decision = "anything"

        [[rules]]
        decision = "call_them"
        reason = "DOC_RESULT"
        overall_result = "PASS"
        """,
    )
    assert table.decide(fact(reason="DOC_RESULT")) == "call_them"
    assert table.decide(fact(reason="DOC_RESULT", overall_result="FAIL")) == "review"
    assert table.decide(fact(reason="DEADLINE_PASSED", overall_result=None)) == "review"
    assert table.decide(fact(overall_result="FAIL")) == "anything"


def test_promise_7_an_answer_whose_labels_were_cut_is_not_approved_by_a_table_that_reads_them(
    tmp_path: Path,
) -> None:
    reads = load_table(
        tmp_path, '[[rules]]\ndecision = "second_look"\nforgery_labels = "screen"\n' + PASS_RULE
    )
    assert reads.decide(fact(forgery_labels=("a", "b"))) == "approve"
    assert reads.decide(fact(forgery_labels=("a", CUT))) == "review"
    assert reads.decide(fact(quality_labels=("a", CUT))) == "approve"
    assert load_table(tmp_path, PASS_RULE).decide(fact(forgery_labels=("a", CUT))) == "approve"


# What is refused


def refusal(folder: Path, text: str) -> list[str]:
    """The lines with which a file is refused, without its path."""
    path = folder / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Table.load(path)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def rule(text: str) -> str:
    """A file whose one rule begins on line 3, with `text` on line 4."""
    return f"{HEAD}[[rules]]\n{text}\n"


APPROVES = 'decision = "approve"\n'

REFUSED = [
    ('otherwise = "review"\nrules = []', " name is missing: write name = "),
    ('name = 5\notherwise = "review"\nrules = []', "1: name is not usable: write name = "),
    ('name = "a b"\notherwise = "review"\nrules = []', "1: name is not usable"),
    ('name = "a"\nrules = []', " otherwise is missing: write a small letter"),
    ('name = "a"\notherwise = "Review"\nrules = []', "2: otherwise is no name of a decision"),
    ('name = "a"\notherwise = "approve"\nrules = []', "2: otherwise may not be approve: name another"),
    ('name = "a"\notherwise = "review"\n', " rules are missing: write each rule under a line [[rules]]"),
    ('name = "a"\notherwise = "review"\nrules = 5', "3: rules is no list of rules"),
    ('name = "a"\notherwise = "review"\n[rules]\n', "3: rules is no list of rules"),
    ('name = "a"\notherwise = "review"\nrules = [5]', "3: rules is no list of rules"),
    (
        'name = "a"\notherwise = "review"\nothrwise = "x"\nrules = []',
        "3: othrwise is unknown: write otherwise",
    ),
    ('name = "a"\nversion = "1"\notherwise = "review"\nrules = []', "2: version is unknown: known are name"),
    (rule('region = "ph"'), "3: rule 1: decision is missing"),
    (rule('decision = "re-view"'), "4: rule 1: decision is no name of a decision"),
    (rule("decision = 5"), "4: rule 1: decision is no name of a decision"),
    (rule('decision = "a"\nerorr_code = "ERROR"'), "5: rule 1: erorr_code is unknown: write error_code"),
    (rule('decision = "a"\nerror_code = "NO CODE"'), "5: rule 1: error_code: NO CODE is no code"),
    (rule('decision = "a"\nerror_code = 5'), '5: rule 1: error_code is no text: write error_code = "…"'),
    (rule('decision = "a"\nerror_code = []'), "5: rule 1: error_code is no text"),
    (rule('decision = "a"\nerror_code = [["A"]]'), "5: rule 1: error_code is no text"),
    (rule('decision = "a"\noverall_result = "PAS"'), "5: rule 1: overall_result: PAS is unknown: write PASS"),
    (rule('decision = "a"\noverall_result = "*"'), "5: rule 1: overall_result: * is unknown"),
    (rule('decision = "a"\nregion = ["ph",\n"xx"]'), "6: rule 1: region: xx is unknown: known are sg, ph"),
    (
        rule('decision = "a"\nreason = "DOC_RESLT"'),
        "5: rule 1: reason: DOC_RESLT is unknown: write DOC_RESULT",
    ),
    (rule('decision = "a"\nforgery_labels = "a b"'), "5: rule 1: forgery_labels: a b is no code"),
    (rule('decision = "a"\ntext = "a\\nb"'), "5: rule 1: text is not usable"),
    (rule('decision = "a"\ntext = 5'), "5: rule 1: text is not usable"),
    (rule(f'decision = "a"\ntext = "{"x" * 201}"'), "5: rule 1: text is not usable"),
    (
        rule('decision = "a"\nliveness_score = 50'),
        "5: rule 1: liveness_score is no range: write liveness_score",
    ),
    (rule('decision = "a"\nliveness_score = {}'), "5: rule 1: liveness_score is no range"),
    (
        rule('decision = "a"\nliveness_score = { under = 5 }'),
        "5: rule 1: under is unknown: known are at_least, below",
    ),
    (rule('decision = "a"\nliveness_score.below = 101'), "5: rule 1: liveness_score: below is no score"),
    (
        rule(f'decision = "a"\nliveness_score.below = {"9" * 400}'),
        "5: rule 1: liveness_score: below is no score",
    ),
    (rule('decision = "a"\nliveness_score.below = inf'), "5: rule 1: liveness_score: below is no score"),
    (rule('decision = "a"\nliveness_score.below = nan'), "5: rule 1: liveness_score: below is no score"),
    (rule('decision = "a"\nliveness_score.below = true'), "5: rule 1: liveness_score: below is no score"),
    (rule('decision = "a"\nliveness_score.below = 0'), "5: rule 1: liveness_score: no score is below 0"),
    (
        rule('decision = "a"\nsimilarity_score = { at_least = 70, below = 70 }'),
        "5: rule 1: similarity_score: no score is at least 70 and below 70",
    ),
    (HEAD + 'consumes = "a"\nrules = []', "3: consumes is no list"),
    (HEAD + 'consumes = ["a", "B"]\nrules = []', "3: consumes is no name of a decision"),
    (HEAD + 'deliveries = "celery"\nrules = []', "3: deliveries is no table"),
    (
        HEAD + 'rules = []\n[deliveries]\nreview = "webhook"',
        '5: deliveries: review has a delivery of an unknown kind: write "celery", or "webhook:NAME"',
    ),
    (
        HEAD + "rules = []\n[deliveries]\nreview = []",
        '5: deliveries: the list of review is empty: write "celery" or "webhook:NAME", or remove the line',
    ),
    (
        HEAD + 'rules = []\n[deliveries]\nrevew = "celery"',
        "5: deliveries: no rule decides revew: write review",
    ),
]


@pytest.mark.parametrize(("text", "line"), REFUSED)
def test_a_broken_table_is_refused_with_file_line_and_cure(tmp_path: Path, text: str, line: str) -> None:
    lines = refusal(tmp_path, text)
    assert len(lines) == 1, lines
    assert lines[0].startswith(line), lines


@pytest.mark.parametrize(
    "conditions",
    [
        "",
        'overall_result = "PASS"',
        'error_code = "SUCCESS"',
        'overall_result = "FAIL"\nerror_code = "SUCCESS"',
        'overall_result = ["PASS", "FAIL"]\nerror_code = "SUCCESS"',
        'overall_result = "PASS"\nerror_code = "ERROR"',
        'overall_result = "PASS"\nerror_code = ["SUCCESS", "ERROR"]',
        'overall_result = "PASS"\nerror_code = "*"',
        'overall_result = "PASS"\nerror_code = ["*", "SUCCESS"]',
        'overall_result = "PASS"\nerror_code = "SUCCESS"\nreason = "DOC_RESULT"',
        'overall_result = "PASS"\nerror_code = "SUCCESS"\nreason = "*"',
        'liveness_score = { at_least = 99 }\nregion = "ph"',
    ],
)
def test_promise_7_a_rule_that_approves_anything_else_is_refused(tmp_path: Path, conditions: str) -> None:
    (line,) = refusal(tmp_path, rule(APPROVES + conditions))
    assert line.startswith(
        "4: rule 1 may not be approve: only PASS with SUCCESS, without a contradiction, may: "
    )


def test_promise_7_a_rule_may_approve_less_than_all_that_passed(tmp_path: Path) -> None:
    table = load_table(tmp_path, PASS_RULE + 'region = "ph"\nsimilarity_score = { at_least = 80 }\n')
    assert table.decide(fact(similarity_score=80)) == "approve"
    assert table.decide(fact(similarity_score=79)) == table.decide(fact()) == "review"


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = 'name = ""\notherwise = "approve"\n[[rules]]\nx = 1\n[[rules]]\ndecision = "a"\nregion = "xx"\n'
    assert [line.partition(":")[0] for line in refusal(tmp_path, text)] == ["1", "2", "4", "3", "7"]


# The version


def version(folder: Path, text: str) -> str:
    path = folder / "v.toml"
    path.write_text(text)
    return Table.load(path).version


def test_the_version_is_the_name_and_eight_digits_of_the_content(tmp_path: Path) -> None:
    assert re.fullmatch("default-[0-9a-f]{8}", Table.load(None).version)
    assert version(tmp_path, PACKAGED) == Table.load(None).version


BASE = HEAD + (
    '[deliveries]\nreview = "celery"\na = ["celery"]\n[[rules]]\ndecision = "a"\nregion = ["ph", "sg"]\n'
    'liveness_score = { below = 50 }\n[[rules]]\ndecision = "b"\ntext = "x"\n'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "mine"\notherwise = "review"', "# c\notherwise = \"review\" # d\n\nname = 'mine'"),
        ('["ph", "sg"]', '[ "sg",\n"ph", ]'),
        ('["ph", "sg"]', '["ph", "sg", "ph"]'),
        ("{ below = 50 }", "{ below = 50.0 }"),
        ('review = "celery"', 'review = ["celery"]'),
        ('review = "celery"\na = ["celery"]', 'a = ["celery"]\nreview = "celery"'),
        ('decision = "b"\ntext = "x"', 'text = "x"\ndecision = "b"'),
    ],
)
def test_comments_layout_and_the_order_of_keys_do_not_change_the_version(
    tmp_path: Path, old: str, new: str
) -> None:
    assert BASE.count(old) == 1
    assert version(tmp_path, BASE.replace(old, new)) == version(tmp_path, BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('otherwise = "review"\n', 'otherwise = "reveiw"\n'),
        ('["ph", "sg"]', '["ph"]'),
        ("{ below = 50 }", "{ below = 51 }"),
        ("{ below = 50 }", "{ at_least = 50 }"),
        ('text = "x"', 'text = "y"'),
        ('decision = "b"', 'decision = "c"'),
        ('otherwise = "review"\n', 'otherwise = "review"\nconsumes = ["a"]\n'),
    ],
)
def test_what_a_table_says_changes_the_hash(tmp_path: Path, old: str, new: str) -> None:
    assert BASE.count(old) == 1
    text = BASE.replace('review = "celery"\na = ["celery"]\n', "")
    assert version(tmp_path, text.replace(old, new)) != version(tmp_path, text)


def test_the_order_of_rules_changes_the_hash_and_the_name_does_not(tmp_path: Path) -> None:
    rules = ['[[rules]]\ndecision = "a"\nregion = "ph"\n', '[[rules]]\ndecision = "b"\nregion = "sg"\n']
    one, other = (version(tmp_path, HEAD + "".join(order)) for order in (rules, rules[::-1]))
    assert one != other
    named = version(tmp_path, HEAD.replace('"mine"', '"yours"') + "".join(rules))
    assert (named.partition("-")[0], named.partition("-")[2]) == ("yours", one.partition("-")[2])


def test_a_table_is_printed_as_a_file_that_says_the_same(tmp_path: Path) -> None:
    table = Table.load(write_table(tmp_path, BASE, head=""))
    again = tmp_path / "again.toml"
    again.write_text("\n".join(table_text.toml_lines(table)))
    assert Table.load(again) == table


def test_each_decision_has_its_deliveries(tmp_path: Path) -> None:
    table = load_table(tmp_path, '[deliveries]\nreview = ["celery"]\n' + PASS_RULE)
    assert table.delivered_by("review") == table.delivered_by("approve") == ("celery",)
