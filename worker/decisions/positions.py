"""Line numbers of the keys and values of a TOML file, which `tomllib` does not tell.

The text has been parsed before, so it is valid TOML, except for `too_deep`. The scan is linear and does not recurse.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Keys of tables and positions in arrays, from the top of the file.
Path: TypeAlias = tuple[str | int, ...]

#: Possessive quantifiers of one character, and branches that exclude each other: no text is scanned twice. After a
#: string without an end, the rest of the text is one token.
_TOKEN: Final = re.compile(
    r'''
    (?P<space>[ \t\r]++)
  | (?P<newline>\n)
  | (?P<comment>\#[^\n]*+)
  | (?P<string>"""(?:[^"\\]|\\.|"(?!""))*"{3,5} | \'\'\'(?:[^\']|\'(?!\'\'))*\'{3,5}
       | "(?:[^"\\\n]|\\.)*" | \'[^\'\n]*+\')
  | (?P<broken>["\'].*+)
  | (?P<mark>[\[\]{}=,.])
  | (?P<bare>[^\s\[\]{}=,.\#"\']++)
    ''',
    re.VERBOSE | re.DOTALL,
)


@dataclass(slots=True)
class _Container:
    """An array or an inline table that is open."""

    path: Path
    is_array: bool
    index: int = 0


@dataclass(slots=True)
class Positions:
    """Finds the line on which something begins."""

    lines: dict[Path, int] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Positions:
        positions = cls()
        _Scan(positions.lines).run(text)
        return positions

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of the nearest thing that holds it; None where that is the file."""
        return next((line for end in range(len(path), 0, -1) if (line := self.lines.get(path[:end]))), None)


def too_deep(text: str, most: int) -> int | None:
    """The line on which something is nested more than `most` levels deep, also by dots in a key; None: nothing is.

    It reads any text, in linear time: to parse a deep one takes time and memory that grow with the square of its depth.
    """
    level, dots = 0, 0
    for kind, found, line in _tokens(text):
        if kind == "mark" and found == ".":
            dots += 1
        elif kind in {"mark", "newline"}:
            dots = 0
            level = max(level + (found in "[{") - (found in "]}"), 0)
        if level + dots > most:
            return line
    return None


class _Scan:
    """One pass over the tokens of a file."""

    def __init__(self, lines: dict[Path, int]) -> None:
        self._lines = lines
        self._table: Path = ()
        #: How many tables each array of tables has so far.
        self._counts: dict[Path, int] = {}
        self._open: list[_Container] = []
        self._key: list[str] = []
        self._key_line = 0
        #: Marks of a header that are open: 1 for `[`, 2 for `[[`; 0: this is no header.
        self._header = 0
        self._wants_value = False

    def run(self, text: str) -> None:
        for kind, token, line in _tokens(text):
            if kind == "newline":
                self._end_of_line()
            elif kind == "mark" and (self._header or not self._wants_value):
                self._mark_outside(token, line)
            elif kind == "mark":
                self._mark_inside(token, line)
            elif self._wants_value:
                self._value(line)
            else:
                self._key_part(kind, token, line)

    def _end_of_line(self) -> None:
        if not self._open:
            self._key, self._wants_value, self._header = [], False, 0

    def _key_part(self, kind: str, word: str, line: int) -> None:
        if not self._key:
            self._key_line = line
        self._key.append(_unquoted(word) if kind == "string" else word)

    def _mark_outside(self, mark: str, line: int) -> None:
        """A mark of a header or between the parts of a key."""
        if mark == "[":
            self._header += 1
            self._key_line = line
        elif mark == "]" and self._key:
            self._enter_table()
        elif mark == "=":
            self._note((*self._base(), *self._key), self._key_line)
            self._wants_value = True
        elif mark == "}":
            self._close()

    def _mark_inside(self, mark: str, line: int) -> None:
        """A mark of a value."""
        if mark in "[{":
            self._value(line)
            self._open.append(_Container(self._path(), is_array=mark == "["))
            self._key, self._wants_value = [], mark == "["
        elif mark in "]}":
            self._close()
        elif mark == "," and self._open:
            top = self._open[-1]
            top.index += 1
            self._key, self._wants_value = [], top.is_array

    def _close(self) -> None:
        if self._open:
            closed = self._open.pop()
            # What follows is `,` or the end of what held it.
            self._key = [str(part) for part in closed.path[-1:]] if self._open else []
            self._wants_value = True

    def _value(self, line: int) -> None:
        if self._open and self._open[-1].is_array:
            self._note(self._path(), line)

    def _base(self) -> Path:
        return self._open[-1].path if self._open else self._table

    def _path(self) -> Path:
        """Of the value that begins here."""
        if self._open and self._open[-1].is_array:
            return (*self._open[-1].path, self._open[-1].index)
        return (*self._base(), *self._key)

    def _enter_table(self) -> None:
        path: Path = ()
        for number, part in enumerate(self._key, start=1):
            path = (*path, part)
            if self._header > 1 and number == len(self._key):
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        self._table = path
        self._note(path, self._key_line)
        # The second `]` of `[[…]]` finds no key.
        self._key = []

    def _note(self, path: Path, line: int) -> None:
        for end in range(1, len(path) + 1):
            self._lines.setdefault(path[:end], line)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    line = 1
    for found in _TOKEN.finditer(text):
        kind, token = str(found.lastgroup), found[0]
        if kind not in {"space", "comment"}:
            yield kind, token, line
        line += token.count("\n")


def _unquoted(word: str) -> str:
    """A quoted key. Its escapes are read as those of JSON."""
    if word.startswith("'"):
        return word[1:-1]
    try:
        return str(json.loads(word))
    except ValueError:
        return word[1:-1]
