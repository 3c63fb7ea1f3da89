"""Regular expressions that every Python from 3.11.0 on matches alike."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.support.paths import ROOT

#: A possessive quantifier after a group, or an atomic group.
POSSESSIVE_GROUP: Final = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+|\(\?>")


@pytest.mark.parametrize("package", ["worker", "tasks", "schemas", "sandbox"])
def test_no_group_is_possessive(package: str) -> None:
    """Before 3.11.5 Python matches such a group wrong: issues 100061 and 106052 of CPython. Debian 12 has 3.11.2.

    It read `https://a.b//.` as a plain URL, and found no end of some strings of a table.
    """
    sources = {path: path.read_text() for path in (ROOT / package).rglob("*.py")}
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, each.start()) + 1}"
        for path, text in sources.items()
        for each in POSSESSIVE_GROUP.finditer(text)
    ]
    assert sources
    assert found == []


@pytest.mark.parametrize("wrong", [r"(?:a|b)*+", r"(?:a)++", r"(?:a){2,3}+", r"(?>a)"])
def test_such_a_group_would_be_found(wrong: str) -> None:
    assert POSSESSIVE_GROUP.search(wrong)
    assert not POSSESSIVE_GROUP.search(r"(?:[a-z]++|b)*(\.[0-9]*+)?")
