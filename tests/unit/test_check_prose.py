"""The check of prose in `make lint`."""

from __future__ import annotations

import pytest

from tools.check_prose import faults, files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It is for whoever asks.", "whoever"),
        ("The lease begins anew.", "anew"),
        ("JSON, in the place of HTML.", "in the place of"),
        ("The pipeline is told.", "is told"),
        ("It has ten in hands.", "in hands"),
        ("See to it that they end.", "See to it that"),
    ],
)
def test_an_idiom_is_found_with_its_line(text: str, words: str) -> None:
    assert [(line, said) for line, said, _ in faults(f"First.\n{text}\n")] == [(2, words)]


def test_plain_words_are_none() -> None:
    assert faults("A recommendation: the amended manifest, renewed; retold and untold.") == []


def test_the_code_is_read() -> None:
    names = {file.name for file in files(["worker"])}
    assert {"rules.py", "claim.lua", "default.toml"} <= names
