"""Text of others is shown with all of its characters."""

from __future__ import annotations

import time

import pytest

from worker.policy.visible_text import visible


@pytest.mark.parametrize(
    "text", ["", "ph", "a b", "Bună ziua", "證件", "مرحبا", "שלום", "e\u0301", "👍", "<b>&amp;`"]
)
def test_what_can_be_seen_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("\ufeff", "⟨U+FEFF⟩"),
        ("\u3164", "⟨U+3164⟩"),
        ("a\ufe0f", "a⟨U+FE0F⟩"),
        ("a\u00a0b", "a⟨U+00A0⟩b"),
        ("a\r\n\x00b", "a⟨U+000D⟩⟨U+000A⟩⟨U+0000⟩b"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_the_time_grows_with_the_length_alone() -> None:
    def took(length: int) -> float:
        began = time.thread_time()
        visible("\u202e" * length)
        return time.thread_time() - began

    # Ten times off: 8 times as much text takes 8 times as long.
    assert took(160_000) < 80 * max(took(20_000), 1e-3)
