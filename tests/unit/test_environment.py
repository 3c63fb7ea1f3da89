"""Reading one variable: what it becomes, and the line about one that cannot be used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from worker.environment import Environment, Range

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ANY")]:
        monkeypatch.delenv(name)


def read(monkeypatch: pytest.MonkeyPatch, kind: str, text: str, **options: Any) -> tuple[Any, list[str]]:
    monkeypatch.setenv("ANY", text)
    env = Environment()
    return getattr(env, kind)("ANY", "the default", **options), env.faults


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("str", "a b", "a b"),
        ("str", " a ", " a "),
        ("list", "a, b,,", ["a", " b", "", ""]),
        ("int", "7", 7),
        ("int", " -7 ", -7),
        ("float", "7", 7.0),
        ("float", " 1e3 ", 1000.0),
        *((kind, blank, "the default") for kind in ("str", "list", "int", "float") for blank in ("", " ", "\n")),
    ],
)  # fmt: skip
def test_a_variable_becomes_a_value(
    monkeypatch: pytest.MonkeyPatch, kind: str, text: str, value: Any
) -> None:
    assert read(monkeypatch, kind, text) == (value, [])


@pytest.mark.parametrize(
    ("kind", "text", "fault"),
    [
        ("int", "seven", "ANY: must be a whole number"),
        ("int", "7.5", "ANY: must be a whole number"),
        ("int", "9" * 5000, "ANY: must be a whole number"),
        ("float", "seven", "ANY: must be a number"),
        ("float", "nan", "ANY: must be a number"),
        ("float", "-inf", "ANY: must be a number"),
        ("float", "1e999", "ANY: must be a number"),
    ],
)
def test_what_is_no_number_is_a_line_without_the_value(
    monkeypatch: pytest.MonkeyPatch, kind: str, text: str, fault: str
) -> None:
    assert read(monkeypatch, kind, text) == ("the default", [fault])


@pytest.mark.parametrize(
    ("limits", "good", "bad", "fault"),
    [
        (Range(1, 100), ["1", "100"], ["0.99", "100.01"], "ANY: must be 1 to 100"),
        (Range(3600), ["3600", "1e12"], ["3599"], "ANY: must be 3600 or more"),
        (Range(0, min_inclusive=False), ["0.001"], ["0", "-1"], "ANY: must be more than 0"),
    ],
)
def test_a_number_outside_its_range_is_a_line(
    monkeypatch: pytest.MonkeyPatch, limits: Range, good: list[str], bad: list[str], fault: str
) -> None:
    for text in good:
        assert read(monkeypatch, "float", text, validate=limits) == (float(text), [])
    for text in bad:
        assert read(monkeypatch, "float", text, validate=limits) == ("the default", [fault])


def test_a_file_counts_before_the_variable_and_its_blanks_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "one").write_text("  from a file \n")
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("ANY", "from the variable")
    monkeypatch.setenv("ANY_FILE", str(tmp_path / "one"))
    assert Environment().str("ANY", None) == "from a file"
    monkeypatch.setenv("ANY_FILE", str(tmp_path / "empty"))
    assert Environment().str("ANY", None) is None
    monkeypatch.setenv("ANY_FILE", "")
    assert Environment().str("ANY", None) == "from the variable"


@pytest.mark.parametrize(
    ("kind", "said"),
    [("missing", "does not exist"), ("folder", "is a folder"), ("bytes", "cannot be read as text")],
)
def test_a_file_that_cannot_be_read_is_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("ANY_FILE", str(tmp_path / kind))
    env = Environment()
    assert env.str("ANY", "the default") == "the default"
    assert env.faults == [f"ANY_FILE: the file that it names {said}"]


def test_every_fault_and_every_name_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANY", "x")
    monkeypatch.setenv("ANY_OTHER", "y")
    env = Environment()
    assert (env.int("ANY", 1), env.float("ANY_OTHER", 2.0), env.str("ANY_UNSET", None)) == (1, 2.0, None)
    assert env.faults == ["ANY: must be a whole number", "ANY_OTHER: must be a number"]
    assert env.names == {"ANY", "ANY_OTHER", "ANY_UNSET"}
