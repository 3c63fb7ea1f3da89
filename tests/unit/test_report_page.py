"""The page of a report: complete, on its own, without a script, and safe whatever a name says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from tests.support.report_cases import approved, rejected, report_of, reviewed
from worker.records.report.acceptance import Acceptance, Verdict
from worker.records.report.charts import nice
from worker.records.report.page import MOST_LINES, page, percent
from worker.records.report.report import Checkpoint, Coverage

VOID = {"meta", "rect", "path", "br"}


class Reader(HTMLParser):
    """Checks that every element is closed, and collects the texts and the elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


CASES = [approved(took_s=30)] * 6 + [rejected(took_s=90, region="sg")] * 3 + [reviewed(took_s=7300)]


def test_the_page_says_what_was_decided() -> None:
    text = Reader(page(report_of(CASES))).text
    for said in (
        "Identity verifications, November 2026",
        "Decided from 2026-11-01 to 2026-11-30 in UTC, regions my, sg.",
        "10 decided",
        "60.0 % approved",
        "10.0 % sent to review",
        "30 s median time to decision",
        "6 (60.0 %)",
        "my 7 70.0 % 85.7 % 6",
        "DEADLINE_PASSED: no result before the deadline 1",
        "There is no evidence log",
    ):
        assert said in text
    assert "The month is not over" not in text
    assert "could not be read, and" not in text


def test_the_page_is_one_file_without_scripts_or_anything_from_elsewhere() -> None:
    text = page(report_of(CASES))
    elements = Reader(text).elements
    assert {tag for tag, _ in elements}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "form", "a", "image"}
    )
    names = {name for _, attributes in elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert names.isdisjoint({"src", "href", "xlink:href", "style", "action", "srcset"})
    assert re.findall(r"url\(|@import|https?:|//", text) == []
    assert "default-src 'none'" in text
    for needed in ("prefers-color-scheme: dark", "@media print", "@page"):
        assert needed in text
    assert [tag for tag, _ in elements].count("svg") >= 4


def test_every_class_of_a_chart_has_a_colour_in_light_dark_and_print() -> None:
    report = report_of([*CASES, *(approved(outcome=f"own_{number}") for number in range(6))])
    text = page(report)
    used = set(re.findall(r'<rect class="(c\d+)"', text))
    assert len(used) > 6
    style = text.partition("<style>")[2].partition("</style>")[0]
    for name in used:
        assert f".{name} {{ fill: var(--{name}); }}" in style
        assert style.count(f"--{name}: #") == 3


def test_a_month_without_data_says_so() -> None:
    text = Reader(page(report_of([]))).text
    assert "The evidence store holds no verification that was decided in November 2026 in my, sg." in text
    assert "verifications decided in this month 0" in text


def test_what_is_not_in_the_figures_is_said() -> None:
    report = report_of(
        CASES,
        computed_at=datetime(2026, 11, 20, tzinfo=UTC),
        coverage=Coverage(undecided=11, erased=12, unreadable=13, not_logged=14, missing=15),
        checkpoints=(Checkpoint("my", 1024, "cm9vdA=="),),
    )
    text = Reader(page(report)).text
    for said in (
        "The month is not over",
        "The evidence of 13 verifications could not be read",
        "14 decisions in these figures cannot be found in the evidence log",
        "15 decisions of the evidence log cannot be found in the store",
        "decided in this month, and not in the evidence log 14",
        "in the evidence log, and not in the store 15",
        "kept in this month without a decision 11",
        "erased since this month began 12",
        "my 1,024 cm9vdA==",
    ):
        assert said in text


def test_verdicts_become_a_rate_with_its_interval() -> None:
    found = Acceptance.of({Verdict.RIGHT: 48, Verdict.WRONG: 1, Verdict.UNSURE: 1}, approvals=1000)
    text = Reader(page(report_of(CASES, acceptance=found))).text
    assert (
        "Of 1,000 approvals, 50 were drawn at random and checked: 2 were wrong, 1 of them with doubt" in text
    )
    assert "is 4.0 % , and with a confidence of 95 % it is between 0.5 % and 13.7 %" in text
    assert "Clopper and Pearson" in text
    assert "finite population" in text


def test_a_name_cannot_become_markup() -> None:
    bad = '"><script>alert(1)</script><img src=x onerror=y>'
    text = page(report_of([approved(document_type=bad, outcome=bad, error_code=bad, reason=bad, table=bad)]))
    elements = Reader(text).elements
    assert {tag for tag, _ in elements}.isdisjoint({"script", "img"})


def test_a_table_has_a_limit_and_counts_the_rest() -> None:
    cases = [approved(document_type=f"T-{number:03}") for number in range(MOST_LINES + 3)]
    text = Reader(page(report_of(cases))).text
    assert f"T-{MOST_LINES - 1:03}" in text
    assert f"T-{MOST_LINES:03}" not in text
    assert "3 more 3" in text


@pytest.mark.parametrize(
    ("part", "text"),
    [(0, "0.0 %"), (0.0001, "<0.1 %"), (0.1234, "12.3 %"), (0.99999, ">99.9 %"), (1, "100.0 %")],
)
def test_a_share_that_is_not_none_or_all_never_looks_like_it(part: float, text: str) -> None:
    assert percent(part) == text


@pytest.mark.parametrize(("most", "end"), [(0, 5), (4, 5), (5, 5), (6, 10), (11, 20), (99, 100), (501, 1000)])
def test_a_scale_ends_at_a_round_number(most: int, end: int) -> None:
    assert nice(most) == end
