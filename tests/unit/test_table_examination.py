"""What an uploaded file is found to be, whatever it holds."""

from __future__ import annotations

import pytest

from tests.support.tables import HEAD, PASS_RULE
from worker.decisions import check
from worker.decisions.comparison import MOST_ENTRIES, entries, examine
from worker.decisions.positions import too_deep
from worker.decisions.rules import OneOf, Rule
from worker.decisions.table import PACKAGED, Table

#: What is uploaded, the line, and how the finding begins.
FAULTS = {
    "not TOML": (b"name = \n", 1, "is not TOML: Invalid value"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\xff", None, "is not text in UTF-8"),
    "zeros": (b"\0" * 100_000, 1, "is not TOML: "),
    "nothing": (b"", None, "name is missing"),
    "comments": (b"#" * 1024 * 1024, None, "name is missing"),
    "brackets": (b"a = " + b"[" * 100_000, 1, "is nested more than 32 levels deep"),
    "dots": (b"\na" + b".a" * 100_000 + b" = 1", 2, "is nested more than 32 levels deep"),
    "dots of a header": (b"[a" + b".a" * 100_000 + b"]", 1, "is nested more than 32 levels deep"),
    "a string without an end": (b'a = "' + b'\\"' * 100_000, None, "is not TOML: Unterminated string"),
    "texts without an end": (b'a = """' + b'\\"""' * 100_000, None, "is not TOML: Unterminated string"),
    "approves too much": (
        (HEAD + PASS_RULE.replace("PASS", "FAIL")).encode(),
        5,
        "rule 1 may not be approve",
    ),
    "too much": (HEAD.encode() + b"[[rules]]\n" * (MOST_ENTRIES + 1), None, f"has more than {MOST_ENTRIES}"),
    "too many values": (b"a = [" + b"1," * MOST_ENTRIES + b"1]", None, f"has more than {MOST_ENTRIES}"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_is_no_table_is_a_list_of_faults(name: str) -> None:
    raw, line, said = FAULTS[name]
    table, findings = examine("x", raw, Table.load(None), ())
    assert table is None
    first = findings[0]
    assert (first.severity, first.line, first.said[: len(said)]) == ("error", line, said)
    assert first.cure


def test_a_table_is_examined_with_its_warnings() -> None:
    table, findings = examine("x", PACKAGED.read_bytes() + PASS_RULE.encode(), Table.load(None), ())
    assert table is not None
    (found,) = findings
    assert (found.severity, found.said[:22]) == ("warning", "rule 10 never decides:")


def test_an_endpoint_that_does_not_exist_is_an_error() -> None:
    raw = (HEAD + PASS_RULE + '[deliveries]\napprove = "webhook:shop"\n').encode()
    table, findings = examine("x", raw, Table.load(None), ())
    assert table is None
    assert "which does not exist" in findings[0].said
    assert examine("x", raw, Table.load(None), ("shop",))[0] is not None


def test_rules_beyond_the_bound_of_comparisons_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_MOST_COMPARISONS", 45)
    rules = "".join(
        f'[[rules]]\ndecision = "review"\noverall_result = "FAIL"\nerror_code = "C{number}"\n'
        for number in range(12)
    )
    again = rules + '[[rules]]\ndecision = "review"\noverall_result = "FAIL"\nerror_code = "C1"\n'
    table, findings = examine("x", (HEAD + again).encode(), Table.load(None), ())
    assert table is not None
    (note,) = [each for each in findings if each.severity == "note"]
    assert note.said == "rules 11 to 13 are too many to be compared with all earlier ones"
    assert not [each for each in findings if "never decides" in each.said]


def test_the_parts_of_a_rule_are_as_many_as_are_counted() -> None:
    for sizes in ((1,), (3, 2), (4096,), (4097,), (100, 100)):
        names = ("error_code", "region")
        rule = Rule(
            "review",
            tuple(
                OneOf(name, frozenset(map(str, range(size))))
                for name, size in zip(names, sizes, strict=False)
            ),
        )
        assert rule.part_count == sum(1 for _ in rule.parts())


def test_entries_are_counted_without_recursion() -> None:
    assert entries({}) == 0
    assert entries({"a": 1, "b": [1, {"c": 2}]}) == 5
    deep: object = 1
    for _ in range(10_000):
        deep = [deep]
    assert entries({"a": deep}) == 10_001


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a.b.c = 1\n", None),
        ("a = [1.5, 2.5, 3.5, 4.5]\n", None),
        ('a = "x.x.x.x.x.x"\n', None),
        ("# a.b.c.d.e.f\n", None),
        ("a = [[[[1]]]]\n", 1),
        ("\n[a.b.c.d]\n", 2),
        ("a = {b = {c = {d = {e = 1}}}}\n", 1),
        ("]]]]a.b = 1\n", None),
    ],
)
def test_dots_and_brackets_are_levels(text: str, line: int | None) -> None:
    assert too_deep(text, 3) == line
