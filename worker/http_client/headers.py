"""The headers of a response: a case-insensitive mapping, parsed from libcurl's lines all at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A header line with a name of RFC 9110, section 5.1. Possessive quantifiers prevent backtracking: linear time.
_FIELD: Final = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]++):([^\r\n]*+)\r?\n", re.MULTILINE)


class Headers(Mapping[str, str]):
    """Headers with names in lower case. Repeated headers are joined by commas.

    One is created for each response: the dictionary of `requests` takes ten times as long.
    """

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    @classmethod
    def of(cls, lines: list[bytes]) -> tuple[Headers, bool]:
        """Return the headers of some lines, and whether every line is a valid header."""
        fields = _FIELD.findall(b"".join(lines).decode("latin-1"))
        values = {name.lower(): value.strip(" \t") for name, value in fields}
        if len(values) < len(fields):
            values = {}
            for name, value in fields:
                key, text = name.lower(), value.strip(" \t")
                values[key] = f"{values[key]}, {text}" if key in values else text
        return cls(values), len(fields) == len(lines)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
