"""The fields of a stored answer as rows: what the vendor read off the document. Pure.

All of it is foreign text. It is cut, and never read as anything but text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.errors import SchemaError
from schemas.vendor_json import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Rows that are shown, and characters of a name and of a value.
MOST_ROWS: Final = 400
MOST_NAME: Final = 120
MOST_TEXT: Final = 600

#: Links of images: each opens the document for everyone who has it, and an inline image is no text. They may stand
#: within other text, such as JSON.
_LINK: Final = re.compile(r"https?:\S|\bdata:\S|//[^\s/]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field. `left_out`: characters of the value that are not shown."""

    name: str
    value: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class AnswerFields:
    """The fields of an answer, in its order. `more`: how many are not shown."""

    rows: tuple[FieldRow, ...] = ()
    more: int = 0


def fields_of(raw: bytes) -> AnswerFields:
    """Return the fields of an answer. Raises ``SchemaError`` if it is not JSON."""
    document = parse(raw)
    if not isinstance(document, dict):
        raise SchemaError("", "must be an object")
    rows: list[FieldRow] = []
    count = 0
    for name, value in _leaves(document):
        count += 1
        if count <= MOST_ROWS:
            rows.append(_row(name, value))
    return AnswerFields(tuple(rows), count - len(rows))


def _leaves(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every value that is no object and no list, with the names that lead to it."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            inner = [(_joined(name, str(key)), each) for key, each in value.items()]
        elif isinstance(value, list):
            inner = [(_joined(name, str(place)), each) for place, each in enumerate(value, start=1)]
        else:
            yield name, value
            continue
        if not inner:
            yield name, None
        waiting.extend(reversed(inner))


def _joined(name: str, inner: str) -> str:
    # What is shown is cut anyway; names within names must not grow with the square of the depth.
    return f"{name[:MOST_NAME]}.{inner[:MOST_NAME]}" if name else inner[:MOST_NAME]


def _row(name: str, value: Any) -> FieldRow:
    text = value if isinstance(value, str) else json.dumps(value)
    text = "–" if value is None else text
    name = "(a name with a link)" if _has_link(name) else name[:MOST_NAME]
    if _has_link(text):
        return FieldRow(name, f"(a link or an inline file of {len(text):,} characters)")
    return FieldRow(name, text[:MOST_TEXT], max(0, len(text) - MOST_TEXT))


def _has_link(text: str) -> bool:
    # JSON within a text may have a backslash before each slash.
    return _LINK.search(text.replace("\\", "")) is not None
