"""The fields of a verification's hash: Python, the scripts and the documentation know the same ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.docs_pages import codes, page
from tests.support.paths import ROOT
from worker.ledger import codec, scripts
from worker.ledger.fields import Field
from worker.ledger.models import EvidenceState, Stage, Verification

if TYPE_CHECKING:
    from pathlib import Path

_LUA: Final = sorted((ROOT / "worker" / "ledger" / "lua").glob("*.lua"))
_PYTHON: Final = sorted(path for folder in ("worker", "tasks") for path in (ROOT / folder).rglob("*.py"))


def uses(text: str) -> set[str]:
    return set(re.findall(r"\bField\.([A-Z_]+)\b", text))


def test_the_docs_list_each_field_as_it_is_stored() -> None:
    listed = [
        (*codes(row[0]), *codes(row[1]), row[2]) for row in page("docs/architecture.md").rows("field |")
    ]
    assert listed == [(field.value, field.name, field.meaning) for field in Field]


def test_no_two_fields_share_a_letter() -> None:
    assert len(Field.__members__) == len(set(Field))
    assert all(re.fullmatch("[a-zA-Z]", field) for field in Field)
    assert all(field.key == field.encode() for field in Field)


@pytest.mark.parametrize("path", _LUA, ids=lambda path: path.stem)
def test_a_script_names_its_fields(path: Path) -> None:
    """No letter stands in it, neither as a text nor as a name of a table's entry."""
    text = re.sub(r"--.*", "", path.read_text())
    assert uses(text) <= set(Field.__members__)
    assert not re.findall(r"'[a-zA-Z]'|\"[a-zA-Z]\"", text)
    assert not re.findall(r"\b(?:fields|set)\.[a-z]\b", text)


def test_each_field_is_used() -> None:
    used = set[str]().union(*(uses(path.read_text()) for path in (*_LUA, *_PYTHON)))
    assert set(Field.__members__) <= used


@pytest.mark.parametrize("name", scripts.NAMES)
def test_what_redis_gets_has_the_letters(name: str) -> None:
    text = scripts.source(name)
    assert "Field" not in re.sub(r"--.*", "", text)
    assert f"redis.call('HSET', key('v:' .. id), '{Field.STAGE}', 'done')" in text


def test_a_field_that_does_not_exist_is_no_script() -> None:
    """A misspelt name fails when the scripts are loaded, in each process and test, not when a script comes to it."""
    with pytest.raises(KeyError, match="STAGES"):
        scripts.with_letters("redis.call('HGET', key('v:' .. id), Field.STAGES)")


#: What a worker needs of a verification. What else is stored serves the scripts and `ekyc status`.
_FULL: Final = Verification(
    "f302f5d2454a85c2", "ph", Stage.ROUTING, 1, 2, 3, 4, "HTTP_500", 5, 6, True, "tx", '{"n":1}', "PASS",
    "SUCCESS", "DOC_RESULT", 7, EvidenceState.COMPLETE, "approve", "{}", "UNREADABLE", 8, 9, 10, '{"l":80}',
    ("shop", "bank"), "backfill", "outcome", "decision", "v1a,signature", vendor_faults=11,
)  # fmt: skip

_STORED: Final = {
    b"s": b"routing", b"e": b"1", b"p": b"2", b"n": b"3", b"f": b"4", b"a": b"HTTP_500", b"l": b"5", b"t": b"6",
    b"u": b"1", b"i": b"tx", b"x": b'{"n":1}', b"o": b"PASS", b"r": b"SUCCESS", b"w": b"DOC_RESULT", b"z": b"7",
    b"k": b"complete", b"y": b"approve", b"d": b"{}", b"q": b"UNREADABLE", b"m": b"8",
    b"j": b'{"l":80}', b"D": b"shop bank", b"P": b"backfill", b"O": b"outcome", b"E": b"decision",
    b"G": b"v1a,signature", b"F": b"11",
}  # fmt: skip


def test_each_stored_letter_is_read_into_its_attribute() -> None:
    read = codec.verification("ph", "f302f5d2454a85c2", _STORED, read_at_ms=9, clock_ahead_ms=10)
    assert read == _FULL
    rest = {field.key for field in Field} - _STORED.keys()
    scripts_alone = (
        Field.CALL,
        Field.HOLDER,
        Field.STARTS,
        Field.NUDGED,
        Field.QUARANTINED_FROM,
        Field.ERASED_AT,
    )
    assert rest == {field.key for field in scripts_alone}


def test_the_mark_of_an_erased_one_has_the_time_of_its_erasure() -> None:
    read = codec.verification("ph", "a", {b"s": b"erased", b"X": b"7"}, read_at_ms=9)
    assert read == Verification("a", "ph", Stage.ERASED, 7, read_at_ms=9)


def test_what_is_not_stored_has_its_default() -> None:
    """An empty text, too, is none."""
    stored = {b"s": b"polling", b"e": b"1", b"w": b"", b"o": b"", b"f": b"0"}
    read = codec.verification("ph", "a", stored, read_at_ms=9)
    assert read == Verification("a", "ph", Stage.POLLING, 1, read_at_ms=9)
