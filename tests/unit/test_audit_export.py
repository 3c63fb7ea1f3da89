"""The audit log as CSV: no cell is a formula, whatever separates the columns for the spreadsheet that opens it."""

from __future__ import annotations

import csv
import io

import pytest

from worker.ledger.audit import Entry
from worker.records.audit_export import as_csv, cell

#: What a text begins with to be a formula.
SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def exported(detail: str) -> str:
    entry = Entry(1_790_000_000_000, "endpoint_pause", "ann", "console", "ph", "shop", detail)
    return "".join(as_csv([entry]))


def formulas(text: str, delimiter: str) -> list[str]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [each for row in rows for each in row if each.strip().startswith(SIGNS)]


@pytest.mark.parametrize("separator", [";", "\t", "|", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("between", ["", " ", '"', '" "', ";", "\t"])
def test_no_cell_is_a_formula_under_any_separator(separator: str, between: str) -> None:
    for sign in SIGNS:
        for start in ("", "ticket 12"):
            text = exported(f"{start}{separator}{between}{sign}1+1{separator}{between}{sign}2")
            assert not [found for each in ",;\t|" for found in formulas(text, each)], text


def test_what_begins_with_a_sign_is_no_formula() -> None:
    for sign in SIGNS:
        for start in ("", " ", "\t", "\n"):
            assert cell(f"{start}{sign}1+1").startswith("'")


@pytest.mark.parametrize(
    "text", ["plain", "ticket 12; maintenance", "a - b; c", "2026-11-30", "1=1", "a;b;c", "region ph; 5 + 3"]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert cell(text) == text
