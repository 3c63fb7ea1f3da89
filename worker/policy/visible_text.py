"""Text of other people and systems, made safe to look at: characters that cannot be seen are written out."""

from __future__ import annotations

from typing import Final

#: Letters and marks that fonts draw as nothing, or as a blank, and that Python counts as printable.
_BLANK: Final = frozenset(
    map(
        chr,
        (
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            0x2800,
            0x3164,
            0xFFA0,
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)


def visible(text: str) -> str:
    """Return `text` with each character that changes what is seen without being seen as ⟨U+202E⟩."""
    return "".join(
        each if each.isprintable() and each not in _BLANK else f"⟨U+{ord(each):04X}⟩" for each in text
    )
